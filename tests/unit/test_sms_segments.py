"""Parts and alphabets, against the tables of 3GPP TS 23.038 and against arbitrary texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.providers.sms.segments import (
    encoding_of,
    gsm_decode,
    gsm_encode,
    measure,
    price,
    region_of,
    split,
)

GSM = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = "\f^{}\\[~]|€"


@pytest.mark.parametrize(
    ("text", "encoding", "units", "parts"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("€" * 80, "GSM-7", 160, 1),
        ("a" * 159 + "€", "GSM-7", 161, 2),
        ("ж" * 70, "UCS-2", 70, 1),
        ("ж" * 71, "UCS-2", 71, 2),
        ("ж" * 134, "UCS-2", 134, 2),
        ("ж" * 135, "UCS-2", 135, 3),
        ("😀" * 35, "UCS-2", 70, 1),
        ("a" * 69 + "😀", "UCS-2", 71, 2),
        ("`", "UCS-2", 1, 1),
    ],
)
def test_sizes_are_those_of_the_standard(text: str, encoding: str, units: int, parts: int) -> None:
    found = measure(text)
    assert (found.encoding, found.units, found.parts) == (encoding, units, parts)


def test_the_default_alphabet_is_complete_and_each_character_comes_back() -> None:
    assert len(GSM) == 127
    assert gsm_encode(GSM) == bytes(code for code in range(128) if code != 0x1B)
    assert gsm_decode(gsm_encode(GSM + EXTENDED)) == GSM + EXTENDED
    assert len(gsm_encode(EXTENDED)) == 2 * len(EXTENDED)


def test_an_extension_code_without_a_meaning_shows_its_default_character() -> None:
    assert gsm_decode(bytes([0x1B, 0x41])) == "A"
    assert gsm_decode(bytes([0x1B, 0x1B, 0x41])) == " A"
    assert gsm_decode(bytes([0x41, 0x1B])) == "A"


def test_an_escape_sequence_is_not_torn_apart() -> None:
    first, second = split("a" * 152 + "€" + "b" * 10)
    assert (first, second) == ("a" * 152, "€" + "b" * 10)


def test_a_surrogate_pair_is_not_torn_apart() -> None:
    first, second = split("ж" * 66 + "😀" + "ж" * 10)
    assert (first, second) == ("ж" * 66, "😀" + "ж" * 10)


@given(st.text(alphabet=st.sampled_from(GSM + EXTENDED), max_size=700))
def test_parts_of_a_gsm_text_make_it_up_and_fit(text: str) -> None:
    parts = split(text)
    assert "".join(parts) == text
    assert measure(text).parts == len(parts)
    assert all(len(gsm_encode(part)) <= (160 if len(parts) == 1 else 153) for part in parts)
    assert gsm_decode(gsm_encode(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_parts_of_any_text_make_it_up_and_fit(text: str) -> None:
    parts = split(text, "UCS-2")
    assert "".join(parts) == text
    assert all(len(part.encode("utf-16-be")) <= (140 if len(parts) == 1 else 134) for part in parts)
    assert encoding_of(text) == "UCS-2" or all(char in GSM + EXTENDED for char in text)


def test_the_price_is_that_of_all_parts_in_the_numbers_region() -> None:
    table = {"FR": 60_000, "US": 8_000, "*": 100_000}
    assert price("a" * 161, "+33612345678", table) == 120_000
    assert price("hi", "+12025550100", table) == 8_000
    assert price("hi 😀", "+81312345678", table) == 100_000


def test_a_region_without_a_price_has_none() -> None:
    assert price("hi", "+33612345678", {"US": 1}) is None
    assert price("hi", "not a number", {"US": 1}) is None
    assert price("hi", "+33612345678", {"FR": 0}) == 0


@pytest.mark.parametrize(
    ("phone", "region"),
    [("+33612345678", "FR"), ("+14165550100", "CA"), ("+12025550100", "US"), ("+88213300655", "001")],
)
def test_the_region_is_that_of_the_number(phone: str, region: str) -> None:
    assert region_of(phone) == region
