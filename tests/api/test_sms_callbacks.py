"""Callbacks of SMS providers over HTTP: taken from them alone, as often as they like."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from twilio.request_validator import RequestValidator

from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api
from tests.support.sign_in import problem

pytestmark = pytest.mark.anyio

PUBLIC = "https://chat.example"
TOKEN, SECRET = "twilio-auth-token", "kannel-secret"
SID = "AC" + "0" * 31 + "1"
TWILIO = f"twilio://{SID}:{TOKEN}@/?from=%2B15005550006"
KANNEL = f"gateway+https://user:password@gateway.example/?preset=kannel&secret={SECRET}"
JASMIN = f"gateway+https://user:password@gateway.example/?preset=jasmin&secret={SECRET}"
DELIVERED = {"MessageSid": "SM1", "MessageStatus": "delivered", "AccountSid": SID, "ErrorCode": ""}
REPLY = {
    "MessageSid": "SM2",
    "From": "+33612345678",
    "To": "+15005550006",
    "Body": "C'est moi",
    "NumMedia": "0",
}
FORGED = (403, "bad_signature")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    options = ["--sms-url", f"{TWILIO} {KANNEL} {JASMIN}", "--public-url", PUBLIC, "--allow-open-network"]
    with DuologueServer(tmp_path_factory.mktemp("server"), *options) as server:
        yield server


def signature(path: str, form: dict[str, str], *, token: str = TOKEN, public: str = PUBLIC) -> str:
    return str(RequestValidator(token).compute_signature(f"{public}{path}", form))


async def call(
    api: Api, path: str, form: dict[str, str], sign: str | None = None, **headers: str
) -> httpx.Response:
    """A callback as Twilio makes it."""
    signed = {"X-Twilio-Signature": signature(path, form) if sign is None else sign}
    content = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode(form).encode()
    return await api.http.post(path, content=body, headers=signed | content | headers)


async def counted(api: Api, metric: str) -> float:
    """Return the value of a counter with labels; 0 if it has never counted."""
    metrics = (await api.http.get("/metrics")).text
    found = re.search(rf"^{re.escape(metric)} ([0-9.e+]+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_an_authentic_receipt_is_taken(api: Api) -> None:
    metric = 'duologue_sms_receipts_total{provider="twilio",state="delivered"}'
    before = await counted(api, metric)
    answer = await call(api, "/v1/sms/twilio/status", DELIVERED)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await counted(api, metric) == before + 1


async def test_repeats_and_late_comers_are_answered_alike(api: Api) -> None:
    states = ["delivered", "sent", "delivered", "queued", "delivered"]
    forms = [{**DELIVERED, "MessageStatus": state} for state in states]
    answers = [await call(api, "/v1/sms/twilio/status", form) for form in forms]
    assert [answer.status_code for answer in answers] == [204] * 5


async def test_a_reply_is_taken_and_never_logged(api: Api, server: DuologueServer) -> None:
    answers = [await call(api, "/v1/sms/twilio/inbound", REPLY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert "C'est moi" not in server.log
    assert "33612345678" not in server.log


@pytest.mark.parametrize("path", ["/v1/sms/twilio/status", "/v1/sms/twilio/inbound"])
@pytest.mark.parametrize(
    "sign", ["", "x", "é".encode().decode("latin-1"), base64.b64encode(b"\0" * 20).decode()]
)
async def test_an_unsigned_callback_is_forbidden(api: Api, path: str, sign: str) -> None:
    body = urlencode(DELIVERED).encode()
    answer = await api.http.post(
        path, content=body, headers=[(b"x-twilio-signature", sign.encode("latin-1"))]
    )
    assert problem(answer) == FORGED


@pytest.mark.parametrize(
    "sign",
    [
        signature("/v1/sms/twilio/status", DELIVERED, token="guessed"),
        signature("/v1/sms/twilio/inbound", DELIVERED),
        signature("/v1/sms/twilio/status", {**DELIVERED, "MessageStatus": "failed"}),
        signature("/v1/sms/twilio/status", DELIVERED, public="https://evil.example"),
        signature("/v1/sms/twilio/status", {}),
    ],
    ids=["token", "path", "body", "host", "nothing"],
)
async def test_a_signature_for_something_else_is_forbidden(api: Api, sign: str) -> None:
    assert problem(await call(api, "/v1/sms/twilio/status", DELIVERED, sign)) == FORGED


async def test_a_host_header_moves_no_signature(api: Api) -> None:
    path = "/v1/sms/twilio/status"
    forged = signature(path, DELIVERED, public="http://other.localhost")
    assert problem(await call(api, path, DELIVERED, forged, Host="other.localhost")) == FORGED
    assert (await call(api, path, DELIVERED, Host="other.localhost")).status_code == 204
    assert problem(await call(api, path, DELIVERED, Host="evil.example")) == (400, "bad_host")


async def test_an_authentic_callback_without_its_id_is_invalid(api: Api) -> None:
    form = {"MessageStatus": "delivered"}
    assert problem(await call(api, "/v1/sms/twilio/status", form)) == (422, "invalid")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/sms/simulator/status",
        "/v1/sms/smpp/status",
        "/v1/sms/twilio-2/status",
        "/v1/sms/twilio/other",
        "/v1/sms/twilio",
    ],
)
async def test_who_is_no_provider_here_is_not_found(api: Api, path: str) -> None:
    assert problem(await call(api, path, DELIVERED)) == (404, "not_found")


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"=&=&%zz", b"{", b"a" * 5_000])
@pytest.mark.parametrize("provider", ["twilio", "gateway"])
async def test_rubbish_is_forbidden_like_any_forgery(api: Api, provider: str, body: bytes) -> None:
    answer = await api.http.post(f"/v1/sms/{provider}/inbound", content=body)
    assert problem(answer) == FORGED


async def test_too_much_is_too_large(api: Api) -> None:
    answer = await api.http.post("/v1/sms/twilio/status", content=b"a" * 70_000)
    assert problem(answer) == (413, "too_large")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_gateway_calls_with_its_token_in_the_query(api: Api, method: str) -> None:
    metric = 'duologue_sms_receipts_total{provider="gateway",state="delivered"}'
    before = await counted(api, metric)
    query: dict[str, Any] = {"token": SECRET, "id": "vrf_1", "state": "1"}
    answers = [await api.http.request(method, "/v1/sms/gateway/status", params=query) for _ in range(2)]
    expected = 200 if method == "GET" else 204
    assert [(answer.status_code, answer.content) for answer in answers] == [(expected, b"")] * 2
    assert await counted(api, metric) == before + 2


@pytest.mark.parametrize("token", [None, "", "x", SECRET.upper(), f"{SECRET} "])
async def test_a_gateway_without_its_token_is_forbidden(api: Api, token: str | None) -> None:
    query = {"id": "vrf_1", "state": "1"} | ({} if token is None else {"token": token})
    for kind in ("status", "inbound"):
        for method in ("GET", "POST"):
            assert problem(await api.http.request(method, f"/v1/sms/gateway/{kind}", params=query)) == FORGED


async def test_a_gateways_token_is_not_logged(api: Api, server: DuologueServer) -> None:
    await api.http.get("/v1/sms/gateway/status", params={"token": f"{SECRET}-wrong", "id": "1", "state": "1"})
    assert SECRET not in server.log


async def test_a_gateway_that_wants_to_hear_certain_words_hears_them(api: Api) -> None:
    form = {"id": "07033084", "message_status": "DELIVRD", "level": "2"}
    answer = await api.http.post("/v1/sms/gateway-2/status", params={"token": SECRET}, data=form)
    assert (answer.status_code, answer.text) == (200, "ACK/Jasmin")
    refused = await api.http.post("/v1/sms/gateway-2/status", params={"token": "guess"}, data=form)
    assert "ACK" not in refused.text
