"""SMPP 3.4 messages: bytes to and from PDUs, texts to submit_sm, and the meaning of a status.

The PDUs are encoded and parsed by smpplib, the oldest and most used SMPP library of Python. Its `Client` is
left alone: it blocks, is not safe with two threads (python-smpplib#187), checks no TLS host name, knows only
IPv4 and writes the password to the log.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from smpplib import command, consts, exceptions
from smpplib.command_codes import get_command_name

from duologue.providers.sms.provider import Rejected, Unavailable
from duologue.providers.sms.segments import encoding_of, gsm_encode, split

Alphabet = Literal["gsm", "latin1"]

HEADER = struct.Struct(">LLLL")
LONGEST_PDU = 1 << 16  # bytes

UDHI = 0x40
"""SMPP 3.4, 5.2.12: esm_class, a header stands before the text."""
# 5.2.19: data_coding.
_SMSC_DEFAULT, _LATIN1, _UCS2 = 0x00, 0x03, 0x08
# 4.6.1: strings end with NUL; the last of the single octets is the length of the message that follows.
_DELIVER = re.compile(rb"[^\0]*\0..[^\0]*\0..[^\0]*\0...[^\0]*\0[^\0]*\0.{4}(.)", re.DOTALL)

_PASSWORD = 8
"""Characters of a password (5.2.2)."""
_TEMPORARY = frozenset(
    {
        consts.SMPP_ESME_RSYSERR,
        consts.SMPP_ESME_RMSGQFUL,
        consts.SMPP_ESME_RTHROTTLED,
        consts.SMPP_ESME_RX_T_APPN,
    }
)
_BAD_NUMBER = frozenset(
    {consts.SMPP_ESME_RINVDSTADR, consts.SMPP_ESME_RINVDSTTON, consts.SMPP_ESME_RINVDSTNPI}
)


class Malformed(Exception):
    """Bytes that are no PDU that we know. `sequence` is the one to refuse."""

    def __init__(self, sequence: int) -> None:
        super().__init__("malformed PDU")
        self.sequence = sequence


@dataclass(frozen=True, slots=True)
class Pdu:
    """A PDU that arrived: its header, smpplib's view of the body, and its optional parameters."""

    name: str
    status: int
    sequence: int
    body: Any
    options: dict[int, bytes]


class _Sequence:
    """Source of sequence numbers for smpplib."""

    def __init__(self, number: int) -> None:
        self.sequence = number

    def next_sequence(self) -> int:
        return self.sequence


def encode(name: str, sequence: int, **values: Any) -> bytes:
    """The bytes of a PDU."""
    pdu = command.factory(name, client=_Sequence(sequence), **values)
    pdu.sequence = sequence
    if len(values.get("password", "")) > _PASSWORD:
        # smpplib would cut it to what the standard allows.
        pdu.params = {**pdu.params, "password": command.Param(type=str, max=len(values["password"]) + 1)}
    data: bytes = pdu.generate()
    return data


def decode(data: bytes) -> Pdu:
    """The PDU in `data`, its length field included. Raises `Malformed`."""
    _, code, status, sequence = HEADER.unpack_from(data)
    options: dict[int, bytes] = {}
    try:
        body = command.factory(get_command_name(code), client=_Sequence(sequence))
        # smpplib's parser stops at parameters that it doesn't expect, and takes a last character for a NUL.
        body.parse_optional_params = lambda tail: options.update(_options(tail))
        body.parse(data)
    except (exceptions.UnknownCommandError, struct.error, ValueError, TypeError, IndexError):
        raise Malformed(sequence) from None
    if body.command == "deliver_sm" and not _is_whole(data[HEADER.size :]):
        raise Malformed(sequence)
    return Pdu(body.command, status, sequence, body, options)


def _is_whole(body: bytes) -> bool:
    """Return whether a deliver_sm has all mandatory fields: smpplib starts over where a NUL is missing."""
    found = _DELIVER.match(body)
    return found is not None and len(body) >= found.end() + found[1][0]


def _options(tail: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(tail):
        tag, length = struct.unpack_from(">HH", tail, at)
        yield tag, tail[at + 4 : at + 4 + length]
        at += 4 + length


def address(number: str) -> tuple[int, int, str]:
    """Type of number, numbering plan and digits (5.2.5): international, short code or a name."""
    if number.startswith("+"):
        return consts.SMPP_TON_INTL, consts.SMPP_NPI_ISDN, number[1:]
    if number.isdecimal():
        return consts.SMPP_TON_NWSPEC, consts.SMPP_NPI_UNK, number
    return consts.SMPP_TON_ALNUM, consts.SMPP_NPI_UNK, number


def validity(seconds: float) -> str:
    """A relative time of 7.1.1: years, months, days, hours, minutes, seconds."""
    minutes, second = divmod(max(1, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"0000{min(days, 30):02}{hour:02}{minute:02}{second:02}000R"


def submissions(text: str, alphabet: Alphabet, reference: int) -> list[dict[str, Any]]:
    """The fields of each submit_sm that carries `text`; a header with `reference` (a byte) joins several."""
    pieces, coding, encoder = _encoded(text, alphabet)
    total = len(pieces)
    if total == 1:
        return [{"short_message": encoder(text), "data_coding": coding, "esm_class": 0}]
    return [
        {
            # 23.040, 9.2.3.24.1: five octets follow; concatenation, three octets: reference, total, number.
            "short_message": bytes([5, 0, 3, reference, total, number]) + encoder(piece),
            "data_coding": coding,
            "esm_class": UDHI,
        }
        for number, piece in enumerate(pieces, 1)
    ]


def _encoded(text: str, alphabet: Alphabet) -> tuple[list[str], int, Callable[[str], bytes]]:
    gsm = encoding_of(text) == "GSM-7"
    if gsm and alphabet == "gsm":
        return split(text), _SMSC_DEFAULT, gsm_encode
    if gsm and _is_latin1(text):
        # The carrier turns it into the GSM alphabet, whose lengths therefore still apply.
        return split(text), _LATIN1, lambda piece: piece.encode("latin-1")
    return split(text, "UCS-2"), _UCS2, lambda piece: piece.encode("utf-16-be")


def _is_latin1(text: str) -> bool:
    return all(ord(char) < 0x100 for char in text)


def message_id(answer: Pdu) -> str:
    """The id in a submit_sm_resp."""
    return (answer.body.message_id or b"").decode("latin-1")


def refusal(name: str, status: int) -> Rejected | Unavailable:
    """The error for a submit_sm_resp with this status."""
    code = status_name(status)
    if status in _TEMPORARY:
        return Unavailable(f"{name} is throttling or busy", code=code, retry_after=1)
    cause: Literal["number", "provider"] = "number" if status in _BAD_NUMBER else "provider"
    return Rejected(f"{name} refused it", code=code, cause=cause)


def status_name(status: int) -> str:
    """`ESME_RTHROTTLED` for 0x58; the number itself where it is the carrier's own."""
    return _STATUS_NAMES.get(status, f"0x{status:08x}")


_STATUS_NAMES: dict[int, str] = {
    value: name.removeprefix("SMPP_")
    for name, value in vars(consts).items()
    if name.startswith("SMPP_ESME_R")
}
