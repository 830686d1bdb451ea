"""Length of a text on the air: alphabet, units and parts (3GPP TS 23.038 and 23.040), and its price."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import phonenumbers

Encoding = Literal["GSM-7", "UCS-2"]

# 23.038, 6.2.1: the position is the code. 0x1B escapes to the extension table and stands for no character.
DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPE = 0x1B  # the code of GSM 03.38 that leads to the extension table
EXTENSION = {
    0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\",
    0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|", 0x65: "€",
}  # fmt: skip
_CODES = {char: bytes([code]) for code, char in enumerate(DEFAULT) if code != _ESCAPE} | {
    char: bytes([_ESCAPE, code]) for code, char in EXTENSION.items()
}
_LIMITS: dict[Encoding, tuple[int, int]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}
MAX_PARTS = 255  # parts of one text


@dataclass(frozen=True, slots=True)
class Measure:
    """A text's size: `units` are septets in GSM-7 and UTF-16 units in UCS-2."""

    encoding: Encoding
    units: int
    parts: int


def measure(text: str) -> Measure:
    """The size of `text`. An empty text is one part."""
    encoding = encoding_of(text)
    width = _width(encoding)
    return Measure(encoding, sum(map(width, text)), len(split(text)))


def encoding_of(text: str) -> Encoding:
    """GSM-7 if the default alphabet and its extension hold every character, else UCS-2."""
    return "GSM-7" if all(char in _CODES for char in text) else "UCS-2"


def split(text: str, encoding: Encoding | None = None) -> list[str]:
    """`text` as the parts that a network sends: no escape sequence or surrogate pair is torn apart."""
    encoding = encoding or encoding_of(text)
    whole, part = _LIMITS[encoding]
    width = _width(encoding)
    if sum(map(width, text)) <= whole:
        return [text]
    return list(_chunks(text, part, width))


def _chunks(text: str, limit: int, width: Callable[[str], int]) -> Iterator[str]:
    start = used = 0
    for index, char in enumerate(text):
        if used + width(char) > limit:
            yield text[start:index]
            start, used = index, 0
        used += width(char)
    yield text[start:]


def _width(encoding: Encoding) -> Callable[[str], int]:
    return _septets if encoding == "GSM-7" else _utf16_units


def _septets(char: str) -> int:
    return len(_CODES[char])


def _utf16_units(char: str) -> int:
    return 2 if ord(char) > 0xFFFF else 1


def gsm_encode(text: str) -> bytes:
    """One septet a byte, unpacked, as SMPP carries it. Raises `KeyError` for a foreign character."""
    return b"".join(_CODES[char] for char in text)


def gsm_decode(data: bytes, main: str = DEFAULT, extension: Mapping[int, str] = EXTENSION) -> str:
    """Text of unpacked septets. A code that the extension lacks shows as that of the main table (23.038, 6.2.1.1).

    `main` has a character for each code; `sms.national` has the tables of languages.
    """
    chars: list[str] = []
    escaped = False
    for byte in data:
        code = byte & 0x7F
        if code == _ESCAPE and not escaped:
            escaped = True
            continue
        plain = " " if code == _ESCAPE else main[code]
        chars.append(extension.get(code, plain) if escaped else plain)
        escaped = False
    return "".join(chars)


def region_of(phone: str) -> str | None:
    """The dialling region of an E.164 number (`FR`; `001` for a network without a country), if it has one."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(phone))
    except phonenumbers.NumberParseException:
        return None


def price(text: str, to: str, table: Mapping[str, int]) -> int | None:
    """Return the price of sending `text` to the E.164 number `to`, by the price of one part per region.

    `table` maps regions (`FR`; `*` for all others) to a price in any unit, e.g. millionths of a euro.
    None: the table has no price for that region, so nobody said what it may cost.
    """
    part = table.get(region_of(to) or "*", table.get("*"))
    return None if part is None else part * measure(text).parts
