"""Gateways with presets: textbee, playSMS and Jasmin; what each is asked, and what its words mean."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest

from duologue.providers.sms.provider import Callback, Rejected, Unavailable
from tests.support.gateway_stand import BASE, SECRET, Stand, sms
from tests.support.sms_http import Answer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    yield stand
    await stand.close()


# textbee


async def test_textbee_picks_its_device_where_none_is_named(stand: Stand) -> None:
    stand.answer = Answer(200, '{"data": {"success": true, "smsBatchId": "b1"}}')
    stand.credentials = ":key"
    assert (await stand.open("preset=textbee").send(sms())).provider_ids == ("b1",)
    assert json.loads(stand.last.body) == {"recipients": ["+33612345678"], "message": "hello"}


@pytest.mark.parametrize("error", ["Device does not exist or is not enabled", "Failed to send SMS"])
async def test_textbees_own_trouble_is_no_refusal_of_the_sms(stand: Stand, error: str) -> None:
    stand.answer = Answer(400, json.dumps({"success": False, "error": error}))
    with pytest.raises(Unavailable):
        await stand.open("preset=textbee").send(sms())


async def test_textbees_failures_come_with_their_reason(stand: Stand) -> None:
    textbee = stand.open(f"preset=textbee&secret={SECRET}")
    body = b'{"webhookEvent":"MESSAGE_FAILED","smsId":"s","smsBatchId":"b1","errorCode":"RADIO_OFF"}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    [receipt] = textbee.parse_status(Callback(f"{BASE}/gateway/status", {"x-signature": signature}, body))
    assert (receipt.provider_id, receipt.state, receipt.code) == ("b1", "failed", "RADIO_OFF")


# playSMS


@pytest.mark.parametrize(
    ("error", "kind"), [(100, Unavailable), (103, Unavailable), (201, Rejected), (602, Rejected)]
)
async def test_playsms_says_in_its_answer_what_is_wrong(
    stand: Stand, error: int, kind: type[Exception]
) -> None:
    stand.answer = Answer(200, f'{{"status":"ERR","error":"{error}"}}')
    with pytest.raises(kind):
        await stand.open("preset=playsms").send(sms())


async def test_playsms_is_told_of_letters_beyond_gsm(stand: Stand) -> None:
    stand.answer = Answer(200, '{"data":[{"status":"OK","error":"0","smslog_id":"30"}]}')
    playsms = stand.open("preset=playsms")
    assert (await playsms.send(sms(text="ж"))).provider_ids == ("30",)
    assert (stand.last.form["unicode"], stand.last.form["msg"]) == ("1", "ж")
    assert not playsms.capabilities.receipts
    assert not playsms.capabilities.inbound


# Jasmin


async def test_jasmin_gets_plain_letters_as_text_and_others_in_hexadecimal(stand: Stand) -> None:
    stand.answer = Answer(200, 'Success "07033084-5cfd"')
    jasmin = stand.open("preset=jasmin")
    assert (await jasmin.send(sms(text="héllo €", valid_for=601))).provider_ids == ("07033084-5cfd",)
    assert stand.last.form == {
        "username": "user",
        "password": "pass",
        "to": "33612345678",
        "from": "",
        "coding": "0",
        "content": "héllo €",
        "validity-period": "10",
    }
    await jasmin.send(sms(text="ж"))
    assert (stand.last.form["coding"], stand.last.form["hex-content"]) == ("8", "0436")
    assert "content" not in stand.last.form


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("ESME_ROK", "sent"),
        ("ESME_RINVDSTADR", "failed"),
        ("DELIVRD", "delivered"),
        ("UNDELIV", "undelivered"),
        ("REJECTD", "failed"),
    ],
)
async def test_jasmins_words_have_their_states(stand: Stand, word: str, state: str) -> None:
    jasmin = stand.open(f"preset=jasmin&secret={SECRET}")
    form = {"id": "07033084", "message_status": word, "level": "1"}
    [receipt] = jasmin.parse_status(Callback(f"{BASE}?token={SECRET}", {}, urlencode(form).encode()))
    assert (receipt.provider_id, receipt.state, receipt.code) == ("07033084", state, word)


@pytest.mark.parametrize(
    ("coding", "content", "text"),
    [
        ("0", b"h\x05llo \x1be", "héllo €"),
        ("3", "héllo".encode("latin-1"), "héllo"),
        ("8", "жук".encode("utf-16-be"), "жук"),
    ],
)
async def test_jasmins_texts_are_read_in_their_coding(
    stand: Stand, coding: str, content: bytes, text: str
) -> None:
    jasmin = stand.open(f"preset=jasmin&secret={SECRET}")
    form = {"id": "m", "from": "33612345678", "to": "12345", "coding": coding, "content": content}
    [message] = jasmin.parse_inbound(Callback(f"{BASE}?token={SECRET}", {}, urlencode(form).encode()))
    assert message.text == text


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, 'Error "Argument [to] has an invalid value: [x]."'), Rejected),
        (Answer(412, 'Error "No route found"'), Rejected),
        (Answer(403, 'Error "Authentication failure for username:user"'), Unavailable),
        (Answer(402, 'Error "Cannot charge submit_sm"'), Unavailable),
        (Answer(500, 'Error "Cannot send submit_sm"'), Unavailable),
    ],
)
async def test_jasmins_refusals_are_told_apart(stand: Stand, answer: Answer, kind: type[Exception]) -> None:
    stand.answer = answer
    with pytest.raises(kind):
        await stand.open("preset=jasmin").send(sms())


# Receipts


@pytest.mark.parametrize(("preset", "asked"), [("kannel", "x-kannel-dlr-mask"), ("jasmin", "dlr")])
async def test_receipts_are_asked_for_only_where_they_can_be_sent_to(
    stand: Stand, preset: str, asked: str
) -> None:
    stand.answer = Answer(200, 'Success "1"' if preset == "jasmin" else "0: Accepted for delivery")
    gateway = stand.open(f"preset={preset}&secret={SECRET}")
    await gateway.send(sms())
    assert asked not in stand.last.headers | stand.last.form
    await gateway.send(sms(callback_base=BASE))
    assert asked in stand.last.headers | stand.last.form
