"""Phone numbers in the client, read and written, against libphonenumber, for every country."""

from __future__ import annotations

from collections.abc import Iterator

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from playwright.sync_api import Page

from duologue.core.phone_numbers import parse_phone
from duologue.errors import ApiError
from duologue_lab.servers.server import DuologueServer
from tests.browser.conftest import Open

pytestmark = pytest.mark.browser

KINDS = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
OLD = ["+541123456789", "+552187654321", "+5215512345678", "+22990011234"]
ODD = {"MX", "AR", "BR"}
"""Where what one dials at home isn't the number behind the trunk prefix."""


@pytest.fixture
def page(server: DuologueServer, open_page: Open) -> Page:
    page = open_page(server.url)
    page.evaluate("""async () => {
      const base = document.querySelector("script[type=module]").src;
      Object.assign(window, await import(new URL("phone.js", base).href));
    }""")
    return page


def examples() -> Iterator[tuple[str, phonenumbers.PhoneNumber]]:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in KINDS:
            number = phonenumbers.example_number_for_type(region, kind)
            if number:
                yield region, number


def test_every_countrys_numbers_are_taken_as_they_are_written(page: Page) -> None:
    written, expected = [], []
    for region, number in examples():
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        for form in (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL):
            if form == PhoneNumberFormat.NATIONAL and region in ODD:
                continue
            written.append([phonenumbers.format_number(number, form), region])
            expected.append(parse_phone(e164))
    found = page.evaluate("(all) => all.map(([text, region]) => read(text, region))", written)
    wrong = [
        (*one, answer["phone"], answer["problem"])
        for one, answer, right in zip(written, found, expected, strict=True)
        if answer["problem"] or answer["phone"] != right
    ]
    assert wrong == []


def test_what_the_server_would_take_is_never_refused(page: Page) -> None:
    numbers = [
        f"+{code}{'2' * length}"
        for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE
        if phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code] != ("001",)
        for length in range(3, 13)
    ]
    refused = page.evaluate("(all) => all.filter((number) => read(number, 'US').problem !== null)", numbers)
    assert [number for number in refused if taken(number)] == []
    assert len(refused) > len(numbers) / 4


def taken(number: str) -> bool:
    try:
        parse_phone(number)
    except ApiError:
        return False
    return True


def test_mobile_numbers_are_shown_as_people_write_them(page: Page) -> None:
    shown = page.evaluate(
        "(all) => all.map((number) => pretty(number).replaceAll('\\u00a0', ' '))",
        ["+33612345678", "+447700900123", "+12025550123", "+4917612345678", "+999123"],
    )
    assert shown[:3] == ["+33 6 12 34 56 78", "+44 7700 900123", "+1 202 555 0123"]
    assert shown[4] == "+999123"


def test_digits_of_every_script_are_digits(page: Page) -> None:
    texts = [
        "٠٦١٢٣٤٥٦٧٨",
        "０６ １２ ３４ ５６ ７８",
        "०६१२३४५६७८",
        "0033 6 12 34 56 78",
        "+33 (0)6 12 34 56 78",
    ]
    found = page.evaluate("(all) => all.map((text) => read(text, 'FR').phone)", texts)
    assert found == ["+33612345678"] * len(texts)


def test_the_field_and_the_server_agree_on_every_countrys_numbers_of_every_kind(page: Page) -> None:
    numbers = [
        phonenumbers.format_number(number, PhoneNumberFormat.E164)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for kind in PhoneNumberType.values()
        if (number := phonenumbers.example_number_for_type(region, kind))
    ]
    written = [*numbers, *OLD, "＋33 6 12 34 56 78", "\u202a+33 6 12 34 56 78\u202c"]
    found = page.evaluate("(all) => all.map((text) => read(text, 'JP'))", written)
    wrong = [
        (text, answer["phone"], answer["problem"])
        for text, answer in zip(written, found, strict=True)
        if taken(text) and (answer["problem"] or answer["phone"] != parse_phone(text))
    ]
    assert wrong == []
    assert all(map(taken, written[len(numbers) :]))


def test_old_spellings_are_taken_in_their_national_form_too(page: Page) -> None:
    typed = [["011 2345-6789", "AR"], ["(21) 8765-4321", "BR"], ["90 01 12 34", "BJ"], ["55 1234 5678", "MX"]]
    found = page.evaluate("(all) => all.map(([text, region]) => read(text, region).phone)", typed)
    assert found == ["+5491123456789", "+5521987654321", "+2290190011234", "+525512345678"]
