"""Apprise sends to exactly the number that was meant, or says no."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import phonenumbers
import pytest

from duologue.providers.sms.apprise import AppriseService, service_for
from duologue.providers.sms.provider import BadProviderUrl, OutgoingSms, Rejected
from duologue.providers.sms.registry import open_provider
from tests.support.sms_http import Answer, HttpProvider

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

FRENCH = "+33612345678"
HEX = "a" * 32
SERVICES = {
    "twilio": f"twilio://AC{HEX}:{HEX}@15005550006/{{to}}",
    "vonage": "vonage://key12345:secret1234567890@15005550006/{to}",
    "sinch": f"sinch://{HEX}:{HEX}@15005550006/{{to}}",
    "d7sms": "d7sms://token@{to}",
    "clicksend": "clicksend://user:password@{to}",
    "bulksms": "bulksms://user:password@{to}",
    "smseagle": "smseagle://token@host/{to}",
    "sns": "sns://AKIAIOSFODNN7EXAMPLE/wJalrXUtnFEMI/K7MDENG/us-east-1/{to}",
    "seven": "seven://key/{to}",
    "46elks": "46elks://user:password@15005550006/{to}",
    "json": "json://user:password@host/send/{to}",
}


def shorter_mobiles() -> list[str]:
    """A mobile number of each region whose numbers have fewer than ten digits, country code included."""
    found = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if number else ""
        if 0 < len(text[1:]) < 10:
            found.append(text)
    return found


def recipients(service: Any) -> str:
    return str(
        {name: value for name, value in vars(service[0]).items() if "target" in name or name == "phone"}
    )


@pytest.mark.parametrize("kind", sorted(SERVICES))
def test_a_usual_number_is_the_only_recipient(kind: str) -> None:
    service = service_for(SERVICES[kind], FRENCH)
    assert service is not None
    assert kind == "json" or recipients(service).count("33612345678") == 1


@pytest.mark.parametrize("kind", ["twilio", "vonage", "sinch"])
async def test_a_number_that_the_plugin_drops_is_rejected_rather_than_sent_to_the_operator(kind: str) -> None:
    provider = open_provider(f"apprise+{SERVICES[kind]}")
    numbers = shorter_mobiles()
    assert {"+299221234", "+376312345", "+298211234"} <= set(numbers)
    for number in [*numbers, "+881234567890123"]:
        with pytest.raises(Rejected) as refused:
            await provider.send(OutgoingSms(number, "code 918273", "ref-1"))
        assert refused.value.cause == "number"
    await provider.aclose()


@pytest.mark.parametrize("kind", sorted(SERVICES))
def test_each_service_takes_a_short_number_as_it_is_or_not_at_all(kind: str) -> None:
    for number in shorter_mobiles():
        service = service_for(SERVICES[kind], number)
        assert service is None or kind == "json" or recipients(service).count(number[1:]) == 1


@pytest.mark.parametrize(
    "url",
    [
        SERVICES["twilio"].replace("{to}", "15005550099/{to}"),
        f"twilio://AC{HEX}:{HEX}@15005550006/15005550099?format={{to}}",
        "mailto://user:password@gmail.com?to=me@example.com&cc={to}@sms.example",
        "freemobile://user@password?x={to}",
    ],
)
def test_a_url_that_sends_to_anybody_else_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(BadProviderUrl):
        open_provider(f"apprise+{url}")


def test_north_american_services_may_leave_the_country_code_out() -> None:
    template = "voipms://password:user@example.com/15005550006/{to}"
    assert service_for(template, "+12025550123") is not None
    assert service_for(template, FRENCH) is None


@pytest.fixture
async def heard() -> AsyncIterator[HttpProvider]:
    remote = HttpProvider(lambda _: Answer(200))
    yield remote
    remote.close()


async def test_a_long_text_goes_out_whole_and_without_a_title(heard: HttpProvider) -> None:
    provider = open_provider(f"apprise+form://{heard.address}/{{to}}?overflow=split")
    assert isinstance(provider, AppriseService)
    text = "Ana:\n" + "word " * 7000
    await provider.send(OutgoingSms(FRENCH, text, "ref-1"))
    await provider.aclose()
    [request] = heard.heard
    assert (request.form["title"], request.form["message"]) == ("", text.rstrip())
