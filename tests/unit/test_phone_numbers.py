"""Phone numbers: E.164 or a hint, and never two spellings of one number."""

from __future__ import annotations

import contextlib

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.core.phone_numbers import parse_phone
from duologue.errors import ApiError

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+33612345678", "+33612345678"),
        ("+33 6 12 34 56 78", "+33612345678"),
        ("+33.6.12.34.56.78", "+33612345678"),
        ("+1 (202) 555-0100", "+12025550100"),
        ("+33\u00a06\u202f12 34 56 78", "+33612345678"),
        ("+390612345678", "+390612345678"),
        ("+4915123456789", "+4915123456789"),
        # East Asian keyboards: a plus, digits and a blank of full width.
        ("＋44 7911 123456", "+447911123456"),
        ("＋４４　７９１１ １２３４５６", "+447911123456"),
        # Address books put marks around what is copied, and typographers use other dashes.
        ("\u202a+44 7911 123456\u202c", "+447911123456"),
        ("+44\u20117911\u2013123456", "+447911123456"),
    ],
)
def test_a_number_is_kept_in_e164(text: str, number: str) -> None:
    assert parse_phone(text) == number


@pytest.mark.parametrize(
    ("old", "present"),
    [
        ("+54 11 2345-6789", "+5491123456789"),
        ("+54 9 11 2345-6789", "+5491123456789"),
        ("+55 21 8765-4321", "+5521987654321"),
        ("+55 21 98765-4321", "+5521987654321"),
        ("+52 1 55 1234 5678", "+525512345678"),
        ("+52 55 1234 5678", "+525512345678"),
        ("+229 90 01 12 34", "+2290190011234"),
        ("+229 01 90 01 12 34", "+2290190011234"),
    ],
)
def test_two_spellings_of_a_number_are_one_number(old: str, present: str) -> None:
    assert parse_phone(old) == present


@pytest.mark.parametrize("number", ["+552133334444", "+551177123456", "+548001234567", "+528001234567"])
def test_fixed_lines_and_services_have_one_spelling(number: str) -> None:
    assert parse_phone(number) == number


def test_an_operators_own_number_keeps_its_spelling() -> None:
    assert parse_phone("+54 11 2345-6789", respell=False) == "+541123456789"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "start with"),
        ("0612345678", "start with"),
        ("0033612345678", r"try \+33612345678"),
        ("+33", "too few"),
        ("+336123", "too short"),
        ("+3361234567890123", "too long"),
        ("+999123456789", "no country"),
        ("+330612345678", r"try \+33612345678"),
        ("+33612345678x", "only digits"),
        ("+٣٣٦١٢٣٤٥٦٧٨", "only digits"),
        ("+33612345678\n", "only digits"),
        ("++33612345678", "only digits"),
        ("tel:+33612345678", "start with"),
        ("+33612345678;ext=1", "only digits"),
        ("+", "only digits"),
    ],
)
def test_anything_else_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ApiError, match=hint) as caught:
        parse_phone(text)
    assert caught.value.code == "invalid_phone"
    assert set(caught.value.errors or {}) == {"phone"}


def test_the_field_that_was_wrong_is_named() -> None:
    with pytest.raises(ApiError) as caught:
        parse_phone("12", "to")
    assert set(caught.value.errors or {}) == {"to"}


@pytest.mark.parametrize("region", REGIONS)
def test_every_country_can_take_part(region: str) -> None:
    mobile = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    example = mobile or phonenumbers.example_number(region)
    assert example is not None
    number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    assert parse_phone(number) == number


@given(st.text(max_size=40))
def test_what_is_taken_is_canonical(text: str) -> None:
    with contextlib.suppress(ApiError):
        number = parse_phone(text)
        assert number[0] == "+"
        assert number[1:].isdecimal()
        assert parse_phone(number) == number
