"""Twilio: the documented request, its errors and its callbacks, read with the SDK's own validator."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from duologue.providers.sms.provider import (
    BadCallback,
    BadSignature,
    Callback,
    OutgoingSms,
    Rejected,
    Unavailable,
)
from duologue.providers.sms.registry import open_provider
from duologue.providers.sms.twilio import Twilio
from tests.support.sms_http import Answer, Heard, HttpProvider

pytestmark = pytest.mark.anyio

SID = "AC" + "0" * 32
TOKEN = "an-auth-token"
BASE = "https://chat.example/v1/sms"


class Stand:
    """The stand-in and a provider that talks to it."""

    def __init__(self, sender: str = "+15005550006") -> None:
        self.next = Answer(201, '{"sid": "SM1", "status": "queued"}')
        self.remote = HttpProvider(lambda _: self.next)
        provider = open_provider(f"twilio://{SID}:{TOKEN}@/?from={sender}&api=http://{self.remote.address}")
        assert isinstance(provider, Twilio)
        self.provider = provider

    async def form(self, **fields: object) -> dict[str, str]:
        """The form of a request for an SMS."""
        wish = {"to": "+33612345678", "text": "hello", "reference": "r"} | fields
        await self.provider.send(OutgoingSms(**wish))  # type: ignore[arg-type]
        return self.last.form

    @property
    def last(self) -> Heard:
        return self.remote.heard[-1]

    async def close(self) -> None:
        await self.provider.aclose()
        self.remote.close()


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    yield stand
    await stand.close()


async def test_the_request_is_the_documented_one(stand: Stand) -> None:
    form = await stand.form(text="héllo €", callback_base=BASE, valid_for=120.7)
    assert stand.last.method == "POST"
    assert stand.last.path == f"/2010-04-01/Accounts/{SID}/Messages.json"
    credentials = base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
    assert stand.last.headers["authorization"] == f"Basic {credentials}"
    assert stand.last.headers["content-type"] == "application/x-www-form-urlencoded"
    assert form == {
        "To": "+33612345678",
        "From": "+15005550006",
        "Body": "héllo €",
        "StatusCallback": f"{BASE}/twilio/status",
        "ValidityPeriod": "120",
    }


async def test_without_a_public_address_no_callback_is_asked_for(stand: Stand) -> None:
    assert "StatusCallback" not in await stand.form()


async def test_a_service_number_takes_the_place_of_the_default_sender(stand: Stand) -> None:
    assert (await stand.form(sender="+15005550007"))["From"] == "+15005550007"


async def test_a_messaging_service_is_named_as_such() -> None:
    stand = Stand("MG0123")
    form = await stand.form()
    await stand.close()
    assert form["MessagingServiceSid"] == "MG0123"
    assert "From" not in form


@pytest.mark.parametrize(("seconds", "period"), [(0.2, "1"), (36_000, "36000"), (1_000_000, "36000")])
async def test_the_validity_stays_within_what_twilio_takes(stand: Stand, seconds: float, period: str) -> None:
    assert (await stand.form(valid_for=seconds))["ValidityPeriod"] == period


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (400, 21211, "number"),
        (400, 21614, "number"),
        (400, 21610, "opted_out"),
        (400, 21617, "content"),
        (400, 21408, "provider"),
        (400, 21606, "provider"),
        (404, 20404, "provider"),
    ],
)
async def test_a_refusal_says_whose_fault_it_is(stand: Stand, status: int, code: int, cause: str) -> None:
    stand.next = Answer(status, f'{{"code": {code}, "message": "no", "status": {status}}}')
    with pytest.raises(Rejected) as refused:
        await stand.form()
    assert (refused.value.cause, refused.value.code) == (cause, str(code))


@pytest.mark.parametrize(
    ("answer", "unknown"),
    [
        (Answer(429, '{"code": 20429, "message": "Too Many Requests", "status": 429}'), False),
        (Answer(400, '{"code": 21611, "message": "queue full", "status": 400}'), False),
        (Answer(401, '{"code": 20003, "message": "Authenticate", "status": 401}'), False),
        (Answer(500, '{"code": 20500, "message": "Internal", "status": 500}'), False),
        (Answer(503, "<html>"), False),
        (Answer(502, "<html>Bad gateway</html>"), True),
        (Answer(504, ""), True),
        (Answer(201, "<html>"), True),
        (Answer(201, "{}"), True),
        (
            Answer(
                429,
                '{"type": "about:blank", "title": "Too many", "status": 429, "code": 20429}',
            ),
            False,
        ),
    ],
)
async def test_trouble_says_whether_the_sms_may_be_out(stand: Stand, answer: Answer, unknown: bool) -> None:
    stand.next = answer
    with pytest.raises(Unavailable) as trouble:
        await stand.form()
    assert trouble.value.outcome_unknown is unknown


def signed(kind: str, form: dict[str, str], *, url: str = "", token: str = TOKEN) -> Callback:
    url = url or f"{BASE}/twilio/{kind}"
    signature = RequestValidator(token).compute_signature(url, form)
    return Callback(url, {"x-twilio-signature": signature}, urlencode(form).encode())


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("accepted", "queued"),
        ("queued", "queued"),
        ("sending", "queued"),
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("read", "delivered"),
        ("undelivered", "undelivered"),
        ("failed", "failed"),
        ("canceled", "failed"),
    ],
)
async def test_every_word_of_twilios_has_its_state(stand: Stand, word: str, state: str) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": word, "ErrorCode": "30008"}
    [receipt] = stand.provider.parse_status(signed("status", form))
    assert (receipt.provider_id, receipt.state, receipt.code) == ("SM1", state, "30008")


async def test_blank_fields_and_other_alphabets_are_part_of_the_signature(stand: Stand) -> None:
    form = {"MessageSid": "SM2", "From": "+33612345678", "To": "+15005550006", "Body": "привет 😀", "X": ""}
    [message] = stand.provider.parse_inbound(signed("inbound", form))
    assert (message.provider_id, message.sender, message.to) == ("SM2", "+33612345678", "+15005550006")
    assert message.text == "привет 😀"


async def test_an_empty_text_is_a_text(stand: Stand) -> None:
    form = {"MessageSid": "SM2", "From": "+33612345678", "To": "+15005550006", "Body": ""}
    assert stand.provider.parse_inbound(signed("inbound", form))[0].text == ""


async def test_another_accounts_signature_or_another_address_is_refused(stand: Stand) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "sent"}
    elsewhere = signed("status", form, url="https://evil.example/v1/sms/twilio/status")
    forged = [
        signed("status", form, token="another"),
        Callback(f"{BASE}/twilio/status", elsewhere.headers, elsewhere.body),
        Callback(f"{BASE}/twilio/status", signed("status", form).headers, b"MessageSid=SM2"),
    ]
    for call in forged:
        with pytest.raises(BadSignature):
            stand.provider.parse_status(call)


async def test_an_authentic_callback_without_an_id_is_refused_as_senseless(stand: Stand) -> None:
    with pytest.raises(BadCallback, match="MessageSid"):
        stand.provider.parse_status(signed("status", {"MessageStatus": "sent"}))
