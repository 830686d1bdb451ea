"""National language tables of the GSM 7-bit alphabet (3GPP TS 23.038, annex A).

A phone that writes Turkish, Spanish, Portuguese or an Indian language may use another table instead of the default
alphabet (a locking shift) or instead of its extension (a single shift). The header of its text names them by a number
(TS 23.040, 9.2.3.24.15 and 16). Copies of the tables differ in single characters (the comma of the Indian ones, one
letter of Kannada): here they are as phones have them (Android, Firefox OS).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from duologue.providers.sms.segments import DEFAULT, EXTENSION, gsm_decode

_UNDEFINED: Final = "\ufffd"
"""Stands at the codes for which a table has no character."""

# Turkish (1) and Portuguese (3) differ from the default alphabet (A.3.1, A.3.3) and its extension (A.2.1 to A.2.3) in
# single characters. Spanish (2) has an extension only.
_LATIN_MAIN: Final[dict[int, dict[int, str]]] = {
    1: {0x04: "€", 0x07: "ı", 0x0B: "Ğ", 0x0C: "ğ", 0x1C: "Ş", 0x1D: "ş", 0x40: "İ", 0x60: "ç"},  # noqa: RUF001
    3: {
        0x04: "ê", 0x06: "ú", 0x07: "í", 0x08: "ó", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á",
        0x12: "ª", 0x13: "Ç", 0x14: "À", 0x15: "∞", 0x16: "^", 0x17: "\\", 0x18: "€", 0x19: "Ó", 0x1A: "|",
        0x1C: "Â", 0x1D: "â", 0x1E: "Ê", 0x24: "º", 0x40: "Í", 0x5B: "Ã", 0x5C: "Õ", 0x5D: "Ú", 0x60: "~",
        0x7B: "ã", 0x7C: "õ", 0x7D: "`",
    },
}  # fmt: skip
_LATIN_EXTENSION: Final[dict[int, dict[int, str]]] = {
    1: {0x47: "Ğ", 0x49: "İ", 0x53: "Ş", 0x63: "ç", 0x67: "ğ", 0x69: "ı", 0x73: "ş"},  # noqa: RUF001
    2: {
        0x09: "ç", 0x41: "Á", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x61: "á", 0x69: "í", 0x6F: "ó", 0x75: "ú",
    },
    3: {
        0x05: "ê", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á", 0x12: "Φ", 0x13: "Γ", 0x15: "Ω",
        0x16: "Π", 0x17: "Ψ", 0x18: "Σ", 0x19: "Θ", 0x1F: "Ê", 0x41: "À", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú",
        0x5B: "Ã", 0x5C: "Õ", 0x61: "Â", 0x69: "í", 0x6F: "ó", 0x75: "ú", 0x7B: "ã", 0x7C: "õ", 0x7F: "â",
    },
}  # fmt: skip


# Nine Indian scripts stand in Unicode in one order, and so in their tables (A.3.4 to A.3.12): by places in the
# script's block, hexadecimal. `.`: the character of the default alphabet stays.
_LETTERS: Final = """
    01 02 03 05 06 07 08 09 0A 0B . 0C 0D . 0E 0F
    10 11 12 13 14 15 16 17 18 19 1A . 1B 1C 1D 1E
    . . 1F 20 21 22 23 24 ) ( 25 26 . 27 . 28
    . . . . . . . . . . . . 29 2A 2B .
    2C 2D 2E 2F 30 31 32 33 34 35 36 37 38 39 3C 3D
    3E 3F 40 41 42 43 44 45 46 47 48 49 4A 4B 4C 4D
"""
_TAIL: Final = (0x60, *range(0x7B, 0x80))
"""The codes behind those; the Latin letters between them stay."""
_OWN: Final = (0x19, 0x1A, *range(0x1C, 0x28), *range(0x2A, 0x2F), *range(0x30, 0x3C))
"""The codes of an extension at which a script has characters of its own."""
_COMMON: Final[dict[int, str]] = (
    dict(enumerate("@£$¥¿\"¤%&'")) | dict(enumerate("<=>¡^¡_#*", 0x10))
    | {0x0B: "*", 0x0C: "+", 0x0E: "-", 0x0F: "/"}
    | {code: chr(code) for code in range(ord("A"), ord("Z") + 1)}
)  # fmt: skip
"""What all extensions of Indian languages have besides the default one (A.2.4 to A.2.13)."""
_DANDAS: Final = "0964 0965"


class _Script(NamedTuple):
    """The tables of an Indian language. Its characters are places in its block (two digits) or code points (four)."""

    block: int
    """The first code point of the block."""
    tail: str
    """The characters at `_TAIL`."""
    own: str
    """The characters at `_OWN`, from the first code on; `-`: none."""
    absent: str = ""
    """Letters that the script doesn't have."""
    letters: str = _LETTERS

    def char(self, written: str) -> str:
        place = int(written, 16)
        return chr(place if len(written) > 2 else self.block + place)


_SCRIPTS: Final[dict[int, _Script]] = {
    # Bengali
    4: _Script(
        0x0980, "4E 57 5C 5D 70 71",
        "66 67 68 69 6A 6B 6C 6D 6E 6F 5F 60 61 62 63 72 73 74 75 76 77 78 79 7A",
        absent="0D 0E 11 12 29 31 33 34 35 45 46 49 4A",
    ),
    # Gujarati
    5: _Script(
        0x0A80, "50 60 61 62 63 71", f"{_DANDAS} 66 67 68 69 6A 6B 6C 6D 6E 6F",
        absent="0E 12 29 31 34 46 4A",
    ),
    # Hindi
    6: _Script(
        0x0900, "50 72 7B 7C 7E 7F",
        "64 65 66 67 68 69 6A 6B 6C 6D 6E 6F 51 52 53 54 58 59 5A 5B 5C 5D 5E 5F 60 61 62 63 70 71",
    ),
    # Kannada
    7: _Script(
        0x0C80, "55 56 60 61 62 63", f"{_DANDAS} 66 67 68 69 6A 6B 6C 6D 6E 6F 5E 71 72",
        absent="01 0D 11 29 34 45 49",
    ),
    # Malayalam
    8: _Script(
        0x0D00, "57 60 61 62 63 79",
        f"{_DANDAS} 66 67 68 69 6A 6B 6C 6D 6E 6F 70 71 72 73 74 75 7A 7B 7C 7D 7E 7F",
        absent="01 0D 11 29 3C 45 49",
    ),
    # Oriya
    9: _Script(
        0x0B00, "56 57 60 61 62 63", f"{_DANDAS} 66 67 68 69 6A 6B 6C 6D 6E 6F 5C 5D 5F 70 71",
        absent="0D 0E 11 12 29 31 34 45 46 49 4A",
    ),
    # Punjabi
    10: _Script(
        0x0A00, "51 70 71 72 73 74", f"{_DANDAS} 66 67 68 69 6A 6B 6C 6D 6E 6F 59 5A 5B 5C 5E 75",
        absent="0B 0C 0D 0E 11 12 29 31 34 37 3D 43 44 45 46 49 4A",
    ),
    # Tamil
    11: _Script(
        0x0B80, "50 57 70 71 72 79", f"{_DANDAS} 66 67 68 69 6A 6B 6C 6D 6E 6F 73 74 75 76 77 78 7A",
        absent="01 0B 0C 0D 11 16 17 18 1B 1D 20 21 22 25 26 27 2B 2C 2D 3C 3D 43 44 45 49",
    ),
    # Telugu
    12: _Script(
        0x0C00, "55 56 60 61 62 63", "- - 66 67 68 69 6A 6B 6C 6D 6E 6F 58 59 78 79 7A 7B 7C 7D 7E 7F",
        absent="0D 11 29 34 3C 45 49",
    ),
    # Urdu, whose letters stand in an order of their own
    13: _Script(
        0x0600, "54 55 51 53 56 70",
        "00 01 F0 F1 F2 F3 F4 F5 F6 F7 F8 F9 0C 0D 0E 0F 10 11 12"
        " 13 14 1B 1F 40 52 58 6B 6C 72 73 CD",
        letters="""
            27 22 28 7B 80 7E A6 2A C2 7F . 79 7D . 7A 7C
            2B 2C 81 84 83 85 86 87 2D 2E 2F . 8C 88 89 8A
            . . 8F 8D 30 31 91 93 ) ( 99 32 . 96 . 98
            . . . . . . . . . . . . 9A 33 34 .
            35 36 37 38 39 41 42 A9 AA AB AF B3 B1 44 45 46
            BA BB BC 48 C4 D5 C1 BE 21 CC D0 D2 4D 50 4F 57
        """,
    ),
}  # fmt: skip
_URDU_STOP: Final = {13: {0x3F: "\u06d4"}}
"""The full stop of Urdu stands behind the codes of `_OWN`."""


def is_known(language: int) -> bool:
    """Tell whether there are tables for this number of a language. 0 is the default alphabet."""
    return language == 0 or language in _LATIN_EXTENSION or language in _SCRIPTS


def decode(data: bytes, locking: int, single: int) -> str:
    """Return the text of unpacked septets in the tables of two languages; for others it is the default one."""
    return gsm_decode(data, main_table(locking), extension_table(single))


@cache
def main_table(language: int) -> str:
    """Return the characters in place of the default alphabet. The position of each is its code."""
    table = dict(enumerate(DEFAULT)) | _LATIN_MAIN.get(language, {})
    if script := _SCRIPTS.get(language):
        absent = script.absent.split()
        for code, written in enumerate(script.letters.split()):
            if written in absent:
                table[code] = _UNDEFINED
            elif written != ".":
                table[code] = written if written in "()" else script.char(written)
        table |= zip(_TAIL, map(script.char, script.tail.split()), strict=True)
    return "".join(table.values())


@cache
def extension_table(language: int) -> Mapping[int, str]:
    """Return the characters behind an escape, by code, in place of the default extension."""
    script = _SCRIPTS.get(language)
    if script is None:
        return EXTENSION | _LATIN_EXTENSION.get(language, {})
    own = zip(_OWN, script.own.split(), strict=False)
    own_chars = {code: script.char(written) for code, written in own if written != "-"}
    return EXTENSION | _COMMON | own_chars | _URDU_STOP.get(language, {})
