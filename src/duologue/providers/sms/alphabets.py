"""Alphabets of texts from phones: which one a data coding names, and how its bytes are read."""

from __future__ import annotations

from typing import Final, Literal

from duologue.providers.sms import national
from duologue.providers.sms.segments import gsm_decode

Alphabet = Literal["gsm", "latin1", "ucs2", "jis", "jis-extended", "cyrillic", "hebrew", "korean"]

# SMPP 3.4, 5.2.19. 2 and 4 are bytes of no alphabet: as Latin-1, none of them is lost.
# 9 (pictograms) and 10 (music codes) are Japanese networks' variants of JIS.
_CODINGS: Final[dict[int, Alphabet]] = {
    1: "latin1", 2: "latin1", 3: "latin1", 4: "latin1", 5: "jis", 6: "cyrillic", 7: "hebrew", 8: "ucs2",
    9: "jis", 10: "jis", 13: "jis-extended", 14: "korean",
}  # fmt: skip
_FIRST_GROUP: Final = 0x10
"""Lower codings are SMPP's own; from here on the coding groups of 3GPP TS 23.038, clause 4, hold."""
_CODECS: Final[dict[Alphabet, str]] = {
    "latin1": "latin-1", "cyrillic": "iso8859-5", "hebrew": "iso8859-8", "korean": "cp949",
}  # fmt: skip
_ESCAPE: Final = b"\x1b"


def alphabet_of(coding: int, usual: Alphabet) -> Alphabet:
    """The alphabet of a `data_coding`. `usual` is what the carrier calls its default alphabet.

    A reserved coding is the default alphabet (23.038, clause 4).
    """
    if coding < _FIRST_GROUP:
        return _CODINGS.get(coding, usual)
    group, low = coding >> 4, coding & 0x0F
    if group < 0x8:  # General and deletion groups: bits 3 and 2 are the alphabet.
        return _of_bits(low >> 2, usual)
    if group == 0xE:  # A waiting message, kept, in UCS-2. 0xC and 0xD are the same in the default alphabet.
        return "ucs2"
    if group == 0xF:  # Message classes: bit 2 is the alphabet.
        return _of_bits(low >> 2 & 1, usual)
    return usual


def _of_bits(bits: int, usual: Alphabet) -> Alphabet:
    found: tuple[Alphabet, ...] = (usual, "latin1", "ucs2", usual)
    return found[bits]


def in_languages(alphabet: Alphabet, locking: int, single: int) -> str:
    """The GSM alphabet with the tables of national languages (their numbers of 23.038); others have none."""
    return f"gsm-{locking}-{single}" if alphabet == "gsm" and (locking or single) else alphabet


def decode(data: bytes, alphabet: str) -> str:
    """The text in `data`; bytes that the alphabet doesn't have show as U+FFFD.

    Give it all parts of a long text together: networks cut between any two bytes.
    """
    if alphabet == "gsm":
        return gsm_decode(data)
    if alphabet.startswith("gsm-"):
        return national.decode(data, *map(int, alphabet.split("-")[1:]))
    if alphabet == "ucs2":
        return _utf16(data)
    if alphabet in ("jis", "jis-extended"):
        return _japanese(data, extended=alphabet == "jis-extended")
    return data.decode(_CODECS.get(alphabet, "utf-8"), "replace")  # type: ignore[call-overload]


def _utf16(data: bytes) -> str:
    """UCS-2 as phones send it: UTF-16, big-endian unless a byte order mark says otherwise."""
    little = data.startswith(b"\xff\xfe")
    return data.decode("utf-16-le" if little else "utf-16-be", "replace").removeprefix("\ufeff")


def _japanese(data: bytes, *, extended: bool) -> str:
    """JIS X 0208 or 0212: with escape sequences it is ISO-2022-JP; without, Shift JIS or EUC."""
    if _ESCAPE in data:
        return data.decode("iso2022_jp_ext", "replace")
    return data.decode("euc_jp" if extended else "shift_jis", "replace")
