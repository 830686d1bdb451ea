"""Sign-in codes that a phone's owner sends by SMS: such a text is in no chat, and the code is void."""

from __future__ import annotations

import unicodedata
from enum import Enum, auto
from typing import Final

import msgspec

from duologue.core.secret import code_for
from duologue.storage.database import Tx
from duologue.storage.tables import verifications

_NO_DIGIT: Final = -1.0  # the value of a character that is no digit
_BASE: Final = 10  # digits are below it


class Given(Enum):
    """The finding about a text from a phone."""

    NOTHING = auto()
    """It holds no code of that phone."""
    LIVE = auto()
    """It held a code that could still be redeemed, which is void from now on."""
    VOID = auto()
    """It holds a code that an earlier text has made void."""


class GivenCodes(msgspec.Struct, frozen=True):
    """Finds the codes of a phone in its own texts, and makes them void. `secret` is what codes follow from."""

    secret: bytes

    def search(self, tx: Tx, phone: str, text: str, now: int) -> Given:
        """Look for the phone's codes in a text, whoever asked for them; make void those that could be redeemed."""
        digits = digits_of(text)
        found = Given.NOTHING
        for each in verifications.of_phone(tx, phone):
            if code_for(self.secret, each.id) not in digits:
                continue
            if each.usable(now) and verifications.void(tx, each.id, now):
                found = Given.LIVE
            elif each.voided_at is not None and found is Given.NOTHING:
                found = Given.VOID
        return found


def digits_of(text: str) -> str:
    """Return all digits of a text, of any script, in their order and as 0 to 9, whatever stands between them."""
    values = (unicodedata.numeric(character, _NO_DIGIT) for character in text)
    return "".join(str(int(value)) for value in values if value.is_integer() and 0 <= value < _BASE)
