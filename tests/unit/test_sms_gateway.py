"""HTTP gateways: what the presets really ask for, what their callbacks mean, and gateways of one's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from duologue.providers.sms.provider import (
    BadCallback,
    BadProviderUrl,
    BadSignature,
    Callback,
    Rejected,
    Unavailable,
)
from duologue.providers.sms.registry import open_provider
from tests.support.gateway_stand import BASE, SECRET, Stand, sms
from tests.support.sms_http import Answer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    yield stand
    await stand.close()


# Kannel


async def test_kannel_gets_its_headers_and_the_text_as_the_body(stand: Stand) -> None:
    kannel = stand.open(f"preset=kannel&from=+15550000&secret={SECRET}")
    accepted = await kannel.send(sms(text="héllo 😀", callback_base=BASE, valid_for=601))
    heard = stand.last
    assert (heard.method, heard.path, heard.body.decode()) == ("POST", "/cgi-bin/sendsms", "héllo 😀")
    assert heard.headers["content-type"] == "text/plain; charset=UTF-8"
    assert "authorization" not in heard.headers
    wanted = {
        "username": "user",
        "password": "pass",
        "from": "+15550000",
        "to": "+33612345678",
        "coding": "2",
        "validity": "10",
        "dlr-mask": "31",
        "dlr-url": f"{BASE}/gateway/status?token={SECRET}&id=ref-1&state=%d&code=%A",
    }
    assert {name: heard.headers[f"x-kannel-{name}"] for name in wanted} == wanted
    assert (accepted.provider_ids, accepted.receipts) == (("ref-1",), 1)


async def test_kannel_is_asked_for_no_receipt_where_nobody_could_take_it(stand: Stand) -> None:
    kannel = stand.open("preset=kannel&from=+15550000")
    await kannel.send(sms(callback_base=BASE))
    assert "x-kannel-dlr-url" not in stand.last.headers
    assert "x-kannel-dlr-mask" not in stand.last.headers
    assert stand.last.headers["x-kannel-coding"] == "0"
    assert not kannel.capabilities.receipts


@pytest.mark.parametrize(
    ("number", "state"),
    [("1", "delivered"), ("2", "undelivered"), ("4", "queued"), ("8", "sent"), ("16", "failed")],
)
async def test_each_kind_of_kannels_reports_has_its_state(stand: Stand, number: str, state: str) -> None:
    kannel = stand.open(f"preset=kannel&secret={SECRET}")
    url = f"{BASE}/gateway/status?token={SECRET}&id=ref-1&state={number}&code=NACK%2F0x0b"
    [receipt] = kannel.parse_status(Callback(url, {}))
    assert (receipt.provider_id, receipt.state, receipt.code) == ("ref-1", state, "NACK/0x0b")


@pytest.mark.parametrize("charset", ["UTF-8", "UTF-16BE", "ISO-8859-1", "windows-1252"])
async def test_kannels_texts_are_read_in_the_charset_that_it_names(stand: Stand, charset: str) -> None:
    kannel = stand.open(f"preset=kannel&secret={SECRET}")
    fields = {"token": SECRET, "id": "in-1", "from": "+33612345678", "to": "+15550000", "charset": charset}
    url = f"{BASE}/gateway/inbound?{urlencode(fields)}&{urlencode({'text': 'héllo'.encode(charset)})}"
    assert kannel.parse_inbound(Callback(url, {}))[0].text == "héllo"
    with pytest.raises(BadCallback, match="character set"):
        kannel.parse_inbound(Callback(url.replace(charset, "klingon"), {}))


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(400, "Number(s) has/have been denied by white- and/or black-lists."), "number"),
        (Answer(403, "Not routable. Do not try again."), "number"),
        (Answer(400, "Sender missing and no global set, rejected"), "provider"),
        (Answer(202, "Something else"), "provider"),
    ],
)
async def test_kannels_refusals_say_whose_fault_it_is(stand: Stand, answer: Answer, cause: str) -> None:
    stand.answer = answer
    with pytest.raises(Rejected) as refused:
        await stand.open("preset=kannel").send(sms())
    assert refused.value.cause == cause


@pytest.mark.parametrize(
    ("answer", "unknown", "retry_after"),
    [
        (Answer(403, "Authorization failed for sendsms"), False, None),
        (Answer(503, "Temporal failure, try again later.", {"Retry-After": "30"}), False, 30),
        (Answer(429, "slow", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), False, None),
        (Answer(500, "oops"), False, None),
        (Answer(302, "", {"Location": "/login"}), False, None),
        (Answer(408, ""), True, None),
        (Answer(504, ""), True, None),
    ],
)
async def test_trouble_says_whether_the_sms_may_be_out_and_when_to_try_again(
    stand: Stand, answer: Answer, unknown: bool, retry_after: float | None
) -> None:
    stand.answer = answer
    with pytest.raises(Unavailable) as trouble:
        await stand.open("preset=kannel").send(sms())
    assert (trouble.value.outcome_unknown, trouble.value.retry_after) == (unknown, retry_after)


# SMS Gateway for Android


def android_call(event: str, payload: dict[str, Any], *, event_id: str = "e1", at: float = 0) -> Callback:
    body = json.dumps({"event": event, "id": event_id, "payload": payload}).encode()
    stamp = str(int(time.time() + at))
    signature = hmac.new(SECRET.encode(), body + stamp.encode(), hashlib.sha256).hexdigest()
    return Callback(f"{BASE}/gateway/status", {"x-signature": signature, "x-timestamp": stamp}, body)


async def test_android_gets_json_with_our_reference_as_the_id(stand: Stand) -> None:
    stand.answer = Answer(202, '{"id": "ref-1", "state": "Pending"}')
    accepted = await stand.open("preset=android").send(sms(text="a" * 200, valid_for=90))
    assert stand.last.path == "/3rdparty/v1/messages"
    assert stand.last.headers["authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
    assert json.loads(stand.last.body) == {
        "id": "ref-1",
        "textMessage": {"text": "a" * 200},
        "phoneNumbers": ["+33612345678"],
        "ttl": 90,
        "withDeliveryReport": True,
    }
    assert (accepted.provider_ids, accepted.parts, accepted.receipts) == (("ref-1",), 2, 2)


@pytest.mark.parametrize(
    ("preset", "path"), [("android-local", "/messages"), ("android-cloud", "/3rdparty/v1/messages")]
)
async def test_the_server_in_the_app_and_the_cloud_have_paths_of_their_own(
    stand: Stand, preset: str, path: str
) -> None:
    stand.answer = Answer(202, '{"id": "ref-1"}')
    android = stand.open(f"preset={preset}")
    await android.send(sms())
    assert stand.last.path == path
    assert android.capabilities.idempotent


async def test_android_reports_each_part_under_an_event_id_of_its_own(stand: Stand) -> None:
    android = stand.open(f"preset=android&secret={SECRET}")
    calls = [
        android_call("sms:delivered", {"messageId": "ref-1"}, event_id=each) for each in ("e1", "e2", "e1")
    ]
    receipts = [android.parse_status(call)[0] for call in calls]
    assert [receipt.event for receipt in receipts] == ["e1", "e2", "e1"]
    assert len(set(receipts)) == 2


async def test_android_repeats_of_an_inbound_sms_are_one_and_genuine_repeats_are_two(stand: Stand) -> None:
    android = stand.open(f"preset=android&secret={SECRET}")
    payload = {"messageId": "a80532bb", "message": "ok", "sender": "+33612345678", "recipient": None}
    first = payload | {"receivedAt": "2026-01-19T20:11:53.000+03:00"}
    later = payload | {"receivedAt": "2026-01-19T20:12:10.000+03:00"}
    ids = [
        android.parse_inbound(android_call("sms:received", each, event_id=event))[0].provider_id
        for each, event in ((first, "e1"), (first, "e2"), (later, "e3"))
    ]
    assert ids[0] == ids[1] != ids[2]


async def test_android_numbers_in_national_form_are_read_in_the_phones_region(stand: Stand) -> None:
    payload = {"messageId": "m", "message": "hi", "phoneNumber": "2025550123", "receivedAt": "t"}
    call = android_call("sms:received", payload)
    here = stand.open(f"preset=android&secret={SECRET}&region=US").parse_inbound(call)[0]
    assert (here.sender, here.to) == ("+12025550123", None)
    nowhere = stand.open(f"preset=android&secret={SECRET}").parse_inbound(call)[0]
    assert nowhere.sender == "2025550123"


async def test_android_failures_come_with_their_reason_and_pings_with_nothing(stand: Stand) -> None:
    android = stand.open(f"preset=android&secret={SECRET}")
    failed = android_call("sms:failed", {"messageId": "ref-1", "reason": "RESULT_ERROR_LIMIT_EXCEEDED"})
    [receipt] = android.parse_status(failed)
    assert (receipt.state, receipt.code) == ("failed", "RESULT_ERROR_LIMIT_EXCEEDED")
    ping = android_call("system:ping", {"health": {}})
    assert android.parse_status(ping) == []
    assert android.parse_inbound(ping) == []


@pytest.mark.parametrize("off", [-400, 400])
async def test_a_time_stamp_too_far_off_is_refused(stand: Stand, off: float) -> None:
    android = stand.open(f"preset=android&secret={SECRET}")
    with pytest.raises(BadSignature, match="time stamp"):
        android.parse_status(android_call("sms:sent", {"messageId": "ref-1"}, at=off))


async def test_an_authentic_body_that_is_not_json_is_senseless(stand: Stand) -> None:
    android = stand.open(f"preset=android&secret={SECRET}")
    stamp = str(int(time.time()))
    signature = hmac.new(SECRET.encode(), b"{" + stamp.encode(), hashlib.sha256).hexdigest()
    headers = {"x-signature": signature, "x-timestamp": stamp}
    with pytest.raises(BadCallback):
        android.parse_status(Callback(f"{BASE}/gateway/status", headers, b"{"))


# httpSMS


def httpsms_call(token: str, kind: str = "message.send.expired") -> Callback:
    body = json.dumps({"type": kind, "id": "e1", "data": {"message_id": "m1"}}).encode()
    return Callback(f"{BASE}/gateway/status", {"authorization": f"Bearer {token}"}, body)


async def test_httpsms_gets_its_key_and_ours_as_the_request_id(stand: Stand) -> None:
    stand.answer = Answer(200, '{"data": {"id": "32343a19", "status": "pending"}}')
    accepted = await stand.open("preset=httpsms&from=+15550000").send(sms())
    assert (stand.last.path, stand.last.headers["x-api-key"]) == ("/v1/messages/send", "pass")
    assert json.loads(stand.last.body) == {
        "content": "hello",
        "from": "+15550000",
        "to": "+33612345678",
        "request_id": "ref-1",
    }
    assert accepted.provider_ids == ("32343a19",)


async def test_httpsms_tokens_are_checked(stand: Stand) -> None:
    httpsms = stand.open(f"preset=httpsms&secret={SECRET}")
    now = int(time.time())
    good = jwt.encode({"exp": now + 600, "nbf": now - 600}, SECRET, algorithm="HS256")
    [receipt] = httpsms.parse_status(httpsms_call(good))
    assert (receipt.provider_id, receipt.state) == ("m1", "undelivered")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    bad = [
        jwt.encode({"exp": now + 600}, SECRET + "x", algorithm="HS256"),
        jwt.encode({"exp": now - 4000}, SECRET, algorithm="HS256"),
        jwt.encode({"exp": now + 600, "nbf": now + 4000}, SECRET, algorithm="HS256"),
        jwt.encode({"exp": now + 600}, SECRET * 2, algorithm="HS512"),
        f"{none}.{good.split('.')[1]}.",
        f"{none}.{good.split('.')[1]}.{good.split('.')[2]}",
        good[:-2],
        "a.b.c",
        "£.£.£",
        "",
    ]
    for token in bad:
        with pytest.raises(BadSignature):
            httpsms.parse_status(httpsms_call(token))


# A gateway of one's own

CUSTOM = """
url = "{base}/{digits}?ref={reference}"
method = "PUT"
query = { who = "{from}" }
basic_auth = false
accepted = "^OK"
bad_number = "unknown subscriber"
[headers]
Authorization = "Bearer {password}"
[form]
text = "{text}"
notify = "{callback}"
[signature]
kind = "token"
[status]
source = "form"
id = "msg"
state = "status"
part = "part"
states = { D = "delivered", F = "failed" }
[inbound]
source = "form"
id = "msg"
sender = "from"
text = "text"
"""


async def test_a_gateway_of_ones_own_is_described_in_a_file(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(CUSTOM)
    stand.answer = Answer(200, "OK 17")
    own = stand.open(f"spec={tmp_path}/own.toml&from=Shop&secret={SECRET}", "/send")
    accepted = await own.send(sms(text="a&b=ü", reference="r/1", callback_base=BASE))
    heard = stand.last
    assert (heard.method, heard.path) == ("PUT", "/send/33612345678?ref=r%2F1&who=Shop")
    assert heard.headers["authorization"] == "Bearer pass"
    assert heard.form == {"text": "a&b=ü", "notify": f"{BASE}/gateway/status?token={SECRET}"}
    assert accepted.provider_ids == ("r/1",)
    url = f"{BASE}/gateway/status?token={SECRET}"
    [receipt] = own.parse_status(Callback(url, {}, b"msg=r%2F1&status=D&part=2"))
    assert (receipt.provider_id, receipt.state, receipt.part) == ("r/1", "delivered", 2)
    [message] = own.parse_inbound(Callback(url, {}, b"msg=9&from=%2B33612345678&text=hi"))
    assert (message.provider_id, message.sender, message.text) == ("9", "+33612345678", "hi")


async def test_it_is_judged_by_its_own_words(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(CUSTOM)
    own = stand.open(f"spec={tmp_path}/own.toml")
    stand.answer = Answer(200, "ERR unknown subscriber")
    with pytest.raises(Rejected) as refused:
        await own.send(sms())
    assert refused.value.cause == "number"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("colour = 'red'\n", "unknown key 'colour' in the file"),
        ("text = '{text}'\n", "at most one of json, form and text"),
        ("= nonsense\n", "Invalid"),
    ],
)
async def test_a_mistake_in_the_file_is_explained(tmp_path: Path, change: str, sentence: str) -> None:
    (tmp_path / "own.toml").write_text(change + CUSTOM)
    with pytest.raises(BadProviderUrl) as refused:
        open_provider(f"gateway+https://u:p@host?spec={tmp_path}/own.toml")
    assert sentence in str(refused.value)


async def test_a_missing_id_costs_the_receipts_but_not_the_sms(stand: Stand) -> None:
    stand.answer = Answer(200, "<html>")
    assert (await stand.open("preset=httpsms").send(sms())).provider_ids == ("ref-1",)


async def test_without_a_secret_every_callback_is_refused(stand: Stand) -> None:
    kannel = stand.open("preset=kannel")
    with pytest.raises(BadSignature):
        kannel.parse_status(Callback(f"{BASE}/gateway/status?token=&id=ref-1&state=1", {}))
