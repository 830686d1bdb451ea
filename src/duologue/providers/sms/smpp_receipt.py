"""Delivery receipts of SMPP 3.4: optional parameters (5.3.2) and the text of appendix B.

Appendix B calls its format specific to the vendor, and vendors make use of that. Read as meant are: letters of
either case, blanks around values, whole words for the states, fields left out. Nothing that stands behind `text:` is
read, for those are the first words of the message: its writer must not be able to choose id, state or error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from duologue.providers.sms.provider import DeliveryState

# 5.3.2: tags of optional parameters.
RECEIPTED_ID, MESSAGE_STATE = 0x001E, 0x0427
# 5.2.28 and appendix B, in the order of the numbers that 5.2.28 gives them, from 1 on.
_STATES: Final[dict[str, DeliveryState]] = {
    "ENROUTE": "sent",
    "DELIVRD": "delivered",
    "EXPIRED": "undelivered",
    "DELETED": "failed",
    "UNDELIV": "undelivered",
    "ACCEPTD": "sent",
    "UNKNOWN": "undelivered",
    "REJECTD": "failed",
}
_WORDS: Final = dict(enumerate(_STATES, 1))
# What SMSCs write instead.
_MEANT: Final = {
    "DELIVERED": "DELIVRD",
    "UNDELIVERED": "UNDELIV",
    "UNDELIVERABLE": "UNDELIV",
    "UNDELIVRD": "UNDELIV",
    "FAILED": "UNDELIV",
    "ACCEPTED": "ACCEPTD",
    "BUFFERED": "ACCEPTD",
    "BUFFRED": "ACCEPTD",
    "REJECTED": "REJECTD",
    "EN_ROUTE": "ENROUTE",
} | {word: word for word in _STATES}
_END = re.compile(r"\btext\s*:", re.IGNORECASE)
_NAMES = r"id|sub|dlvrd|submit date|done date|stat|err"
_FIELD = re.compile(rf"\b({_NAMES})\s*:\s*((?!(?:{_NAMES})\s*:)\S*)", re.IGNORECASE)
_WHOLE = re.compile(
    r"\s*id:\s*\S+\s+sub:\s*\d{1,3}\s+dlvrd:\s*\d{1,3}\s+submit date:\s*\d{10,16}\s+done date:\s*\d{10,16}"
    r"\s+stat:\s*[a-z]{7}\s+err:\s*[0-9a-z]{1,3}\s+text:",
    re.IGNORECASE | re.ASCII,
)
"""All fields of appendix B in their order."""
_ERROR = re.compile(r"[0-9a-z]{1,3}", re.IGNORECASE | re.ASCII)
_LONGEST_ID: Final = 65
"""Octets of a message_id, its NUL included (5.2.23)."""


@dataclass(frozen=True, slots=True)
class SmscReport:
    """A receipt as an SMSC wrote it. `ids` has the parameter's id, the text's id, or both, in this order."""

    ids: tuple[tuple[str, str], ...]
    """Where each stood (`tlv` or `text`), and the id."""
    state: DeliveryState | None
    """None: it names no state that we know."""
    code: str | None

    @property
    def understood(self) -> bool:
        """It says of which message it speaks, and what became of it."""
        return bool(self.ids) and self.state is not None


def has_shape(text: str) -> bool:
    """The text begins as appendix B says: with an id, and further on a state."""
    found = _fields(text)
    return text.lstrip()[:2].lower() == "id" and bool(found.get("id")) and "stat" in found


def is_whole(text: str) -> bool:
    """The text begins with all fields of appendix B in their order, as no person writes."""
    return _WHOLE.match(text) is not None


def report(text: str, options: dict[int, bytes]) -> SmscReport:
    """The receipt in a text and its optional parameters; a parameter counts for more than the text."""
    found = _fields(text)
    told = options.get(RECEIPTED_ID, b"").rstrip(b"\0").decode("latin-1").strip()
    ids = [("tlv", told), ("text", found.get("id", ""))]
    word = _MEANT.get(found.get("stat", "").upper())
    if number := options.get(MESSAGE_STATE):
        word = _WORDS.get(number[0], word)
    error = found.get("err", "")
    if not _ERROR.fullmatch(error):
        error = ""
    return SmscReport(
        tuple((source, each) for source, each in ids if each and len(each) < _LONGEST_ID),
        _STATES[word] if word else None,
        f"{word}/{error}" if word and error else word,
    )


def _fields(text: str) -> dict[str, str]:
    """The fields in front of `text:`, the first of each name."""
    head = _END.split(text, maxsplit=1)[0]
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(head):
        fields.setdefault(name.lower(), value)
    return fields
