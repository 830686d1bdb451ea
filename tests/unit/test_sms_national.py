"""National language tables of the GSM alphabet, against texts as phones encode them."""

from __future__ import annotations

import unicodedata

import pytest

from duologue.providers.sms.alphabets import decode, in_languages
from duologue.providers.sms.national import extension_table, is_known, main_table

LANGUAGES = range(14)

# 3GPP TS 23.038, A.3.1 and A.3.3, in the order of their codes.
TURKISH = (
    "@£$¥€éùıòÇ\nĞğ\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bŞşßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "İABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§çabcdefghijklmnopqrstuvwxyzäöñüà"
)
PORTUGUESE = (
    "@£$¥êéúíóç\nÔô\rÁáΔ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ !\"#º%&'()*+,-./0123456789:;<=>?"
    "ÍABCDEFGHIJKLMNOPQRSTUVWXYZÃÕÚÜ§~abcdefghijklmnopqrstuvwxyzãõ`üà"
)


def test_turkish_and_portuguese_have_the_alphabets_of_the_standard() -> None:
    assert main_table(1) == TURKISH
    assert main_table(3) == PORTUGUESE
    assert main_table(2) == main_table(0), "Spanish has an extension only"


@pytest.mark.parametrize(
    ("locking", "single", "data", "text"),
    [
        (1, 0, "0c41201d0711", "ğA şı_"),
        (0, 1, "1b631b671b691b531b651b28", "çğıŞ€{"),
        (0, 2, "60 44 1b6f 6e6465 20 6573741b6173 3f", "¿Dónde estás?"),
        (0, 3, "6e1b7b6f 20 1b05 1b0e", "não êÁ"),
        (3, 3, "6e7b6f 7c 18 1b12 1b65", "nãoõ€Φ€"),
        (4, 4, "152f5015", "কনাক"),
        (6, 0, "2f424c5f2759 20 2c", "नमस्ते ,"),
        (0, 6, "1b1c1b1d 1b19 1b41", "०१।A"),
        (7, 0, "2f424c5f155044 2c 2415", "ನಮಸ್ಕಾರ,ಡಕ"),
        (11, 0, "274800", "தழ\ufffd"),
        (12, 12, "1b1c1b651b30", "౦€౽"),
        (13, 13, "003d4e1b3f1b1d", "اسم۔۱"),
    ],
)
def test_a_text_is_read_in_its_tables(locking: int, single: int, data: str, text: str) -> None:
    assert decode(bytes.fromhex(data), in_languages("gsm", locking, single)) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_table_is_whole_and_has_no_character_twice(language: int) -> None:
    table = main_table(language)
    chars = [char for char in table if char != "\ufffd"]
    assert len(table) == 128
    assert len(set(chars)) == len(chars)
    assert all(char in "\n\r\x1b" or unicodedata.category(char) not in {"Cn", "Co", "Cc"} for char in chars)
    assert {*"0123456789 \n\r.,:;!?()", *"abcdefghijklmnopqrstuvwxyz"} <= set(chars)
    extension = extension_table(language)
    assert {extension[code] for code in (0x14, 0x28, 0x29, 0x2F, 0x3C, 0x3D, 0x3E, 0x40, 0x65)} == set(
        "^{}\\[~]|€"
    )
    assert all(unicodedata.category(char) not in {"Cn", "Co"} for char in extension.values())


def test_a_language_without_tables_is_read_in_the_default_alphabet() -> None:
    assert [is_known(language) for language in (0, 1, 13, 14, 255)] == [True, True, True, False, False]
    assert decode(b"\x09\x1be", in_languages("gsm", 14, 255)) == "Ç€"


def test_a_header_of_languages_changes_no_other_alphabet() -> None:
    assert in_languages("ucs2", 1, 1) == "ucs2"
    assert in_languages("latin1", 1, 1) == "latin1"
    assert in_languages("gsm", 0, 0) == "gsm"
