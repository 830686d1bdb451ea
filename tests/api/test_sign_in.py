"""Signing in by SMS over HTTP, on a real server with simulated phones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import api_of, new_phone
from tests.support.sign_in import SmsApi, bearer, elsewhere, problem, wrong

pytestmark = pytest.mark.anyio

PROXY, OTHER = "127.0.0.1", "127.0.0.2"
"""Two addresses of this machine; the server takes the first one for its proxy."""
EXPIRED = (401, "code_expired")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    options = ["--sign-in", "sms", "--trusted-proxies", PROXY, "--sms-denied-countries", "MC"]
    options += [
        "--public-url",
        "https://chat.example:8443/",
        "--sms-app-name",
        "Talk",
        "--allow-simulated-phones",
    ]
    with DuologueServer(tmp_path_factory.mktemp("server"), *options) as server:
        yield server


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[SmsApi]:
    async with api_of(server.url) as client:
        yield SmsApi(client.http)


def when(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_wish_for_a_code_is_accepted_and_says_until_when(api: SmsApi) -> None:
    answer = await api.ask(new_phone())
    assert answer.status_code == 202
    started = answer.json()
    assert set(started) == {"id", "expires_at", "resend_at", "channel"}
    assert started["id"].startswith("vrf_")
    assert started["channel"] == "sms"
    assert (when(started["expires_at"]) - when(started["resend_at"])).total_seconds() == 540
    assert answer.headers["cache-control"] == "no-store"


async def test_the_sms_tells_whose_code_it_is_and_browsers_where_it_belongs(api: SmsApi) -> None:
    phone = new_phone()
    await api.start(phone)
    [sms] = await api.texts(phone, wait=20)
    code = await api.code(phone)
    first, last = sms["text"].split("\n")
    assert first == f"Votre code Talk : {code}. Ne le communiquez à personne."
    assert last == f"@chat.example #{code}"
    assert (sms["to"], sms["parts"]) == (phone, 1)


async def test_a_code_opens_a_session_and_its_token_all_the_rest(api: SmsApi) -> None:
    phone = new_phone()
    started = await api.start(phone)
    answer = await api.redeem(started["id"], await api.code(phone), device_name="Ana's phone")
    assert answer.status_code == 201
    new = answer.json()
    assert set(new) == {"token", "session", "user", "new_user"}
    assert new["new_user"] is True
    assert new["user"]["phone"] == phone
    assert new["session"]["device_name"] == "Ana's phone"
    assert new["session"]["current"] is True
    me = await api.http.get("/v1/me", headers=bearer(new))
    assert me.json() == new["user"]


async def test_known_and_unknown_numbers_get_the_same_answer(api: SmsApi) -> None:
    known, unknown = new_phone(), new_phone()
    await api.sign_in(known)
    told = []
    for phone in (known, unknown):
        answer = await api.ask(phone)
        body = answer.json()
        span = when(body["expires_at"]) - when(body["resend_at"])
        told.append(
            (answer.status_code, sorted(body), body["channel"], len(body["id"]), span, sorted(answer.headers))
        )
    assert told[0] == told[1]


async def test_asking_again_too_soon_is_put_off_until_the_time_that_was_told(api: SmsApi) -> None:
    phone = new_phone()
    started = await api.start(phone)
    again = await api.ask(phone)
    assert problem(again) == (429, "rate_limited")
    assert 1 <= int(again.headers["retry-after"]) <= 60
    assert again.headers["ratelimit-policy"] == '"codes";q=5;w=3600'
    assert again.headers["ratelimit"] == f'"codes";r=0;t={again.headers["retry-after"]}'
    assert len(await api.texts(phone, wait=20)) == 1
    answer = await api.redeem(started["id"], await api.code(phone))
    assert answer.status_code == 201


async def test_wrong_codes_are_counted_down_and_then_the_right_one_is_too_late(api: SmsApi) -> None:
    phone = new_phone()
    started = await api.start(phone)
    code = await api.code(phone)
    for left in (4, 3, 2, 1, 0):
        answer = await api.redeem(started["id"], wrong(code))
        assert problem(answer) == (401, "code_wrong")
        assert answer.json()["attempts_left"] == left
    last = [await api.redeem(started["id"], attempt) for attempt in (wrong(code), code)]
    assert [problem(answer) for answer in last] == [EXPIRED, EXPIRED]
    assert last[0].json() == last[1].json()


async def test_a_code_is_good_for_one_session(api: SmsApi) -> None:
    phone = new_phone()
    started = await api.start(phone)
    code = await api.code(phone)
    assert (await api.redeem(started["id"], code)).status_code == 201
    assert problem(await api.redeem(started["id"], code)) == EXPIRED


async def test_a_code_redeemed_over_many_connections_at_once_is_one_session(server: DuologueServer) -> None:
    limits = httpx.Limits(max_connections=30)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, trust_env=False, timeout=30) as http:
        api = SmsApi(http)
        phone = new_phone()
        started = await api.start(phone)
        code = await api.code(phone)
        answers = await asyncio.gather(*(api.redeem(started["id"], code) for _ in range(30)))
        [winner] = [answer for answer in answers if answer.status_code == 201]
        assert {problem(answer) for answer in answers if answer is not winner} == {EXPIRED}
        listed = await http.get("/v1/sessions", headers=bearer(winner.json()))
        assert len(listed.json()["items"]) == 1


async def test_one_number_asked_for_over_many_connections_at_once_gets_one_sms(api: SmsApi) -> None:
    phone = new_phone()
    answers = await asyncio.gather(*(api.ask(phone) for _ in range(20)))
    assert [answer.status_code for answer in answers].count(202) == 1
    assert [answer.status_code for answer in answers].count(429) == 19
    assert len(await api.texts(phone, wait=20)) == 1


@pytest.mark.parametrize(
    "verification_id",
    [
        "",
        "vrf_",
        "vrf_1",
        "vrf_0000000000000001",
        "vrf_ffffffffffffffff",
        "usr_0000000000000001",
        "vrf_00000000000000GG",
        "é",
    ],
)
@pytest.mark.parametrize("code", ["", "000000", "１２３４５６", "abcdef", "12345\x00"])
async def test_what_cannot_be_a_code_is_like_one_that_is_over(
    api: SmsApi, verification_id: str, code: str
) -> None:
    assert problem(await api.redeem(verification_id, code)) == EXPIRED


@pytest.mark.parametrize("code", ["", "12345", "1234567", " 123456", "0x12ab", "１２３４５６", "\x00", "⁶"])
async def test_what_is_not_six_digits_is_a_wrong_code(api: SmsApi, code: str) -> None:
    started = await api.start(new_phone())
    answer = await api.redeem(started["id"], code)
    assert problem(answer) == (401, "code_wrong")
    assert answer.json()["attempts_left"] == 4


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/verifications", {}, "phone"),
        ("/v1/verifications", {"phone": 33612345678}, "phone"),
        ("/v1/verifications", {"phone": "+33612345678", "channel": "call"}, "channel"),
        ("/v1/sessions", {}, "verification_id"),
        ("/v1/sessions", {"verification_id": "vrf_0000000000000001"}, "code"),
        ("/v1/sessions", {"code": "123456"}, "verification_id"),
        ("/v1/sessions", {"verification_id": "vrf_0000000000000001", "code": 123456}, "code"),
        ("/v1/sessions", {"verification_id": "vrf_0000000000000001", "code": "1" * 17}, "code"),
        ("/v1/sessions", {"verification_id": "v" * 65, "code": "123456"}, "verification_id"),
        ("/v1/sessions", {"verification_id": "x", "code": "1", "device_name": "a\nb"}, "device_name"),
    ],
)
async def test_a_body_that_is_wrong_names_the_field(api: SmsApi, path: str, body: Any, field: str) -> None:
    answer = await api.http.post(path, json=body)
    assert problem(answer) == (422, "invalid")
    assert field in answer.json()["errors"]


@pytest.mark.parametrize("phone", ["0612345678", "+336", "+999123456789", "+33899123456"])
async def test_a_number_that_cannot_get_a_code_is_refused_with_a_hint(api: SmsApi, phone: str) -> None:
    answer = await api.ask(phone)
    assert problem(answer) == (422, "invalid_phone")
    assert answer.json()["errors"]["phone"]


async def test_a_country_that_the_operator_denies_gets_no_codes(api: SmsApi) -> None:
    assert problem(await api.ask("+37793150000")) == (403, "country_not_allowed")


async def test_a_number_alone_signs_nobody_in(api: SmsApi) -> None:
    phone = new_phone()
    for extra in ({}, {"verification_id": "vrf_0000000000000001", "code": "123456"}):
        answer = await api.http.post("/v1/sessions", json={"phone": phone, **extra})
        assert problem(answer) == (403, "verification_required")


async def test_the_server_says_that_it_wants_a_code(api: SmsApi) -> None:
    assert (await api.http.get("/v1/server")).json()["sign_in"] == "sms"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ([], PROXY),
        (["203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9", "10.1.1.1, garbage"], PROXY),
        (["127.0.0.1, 203.0.113.9:4711"], "203.0.113.9"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["garbage"], PROXY),
        ([""], PROXY),
    ],
)
async def test_a_session_shows_the_address_that_our_proxy_saw(
    api: SmsApi, forwarded: list[str], address: str
) -> None:
    assert (await api.sign_in(new_phone(), *forwarded))["session"]["ip"] == address


async def test_whoever_is_not_our_proxy_can_claim_no_address(server: DuologueServer) -> None:
    transport = httpx.AsyncHTTPTransport(local_address=OTHER)
    async with httpx.AsyncClient(base_url=server.url, transport=transport, timeout=30) as http:
        signed_in = await SmsApi(http).sign_in(new_phone(), "203.0.113.9", PROXY)
        assert signed_in["session"]["ip"] == OTHER


@pytest.mark.parametrize(
    ("mine", "neighbour", "other"),
    [
        ("192.0.2.{}", "192.0.2.250", "192.0.3.1"),
        ("2001:db8:77:{:x}::1", "2001:db8:77:ffff::1", "2001:db8:78::1"),
    ],
)
async def test_a_network_has_one_allowance_whatever_it_claims(
    api: SmsApi, mine: str, neighbour: str, other: str
) -> None:
    asked = [await api.ask(new_phone(), f"{elsewhere(n)}, {mine.format(n)}") for n in range(1, 21)]
    assert {answer.status_code for answer in asked} == {202}
    for claim in (neighbour, f"{other}, {neighbour}", f"127.0.0.1, {neighbour}"):
        answer = await api.ask(new_phone(), claim)
        assert problem(answer) == (429, "rate_limited")
        assert 3500 < int(answer.headers["retry-after"]) <= 3600
    assert (await api.ask(new_phone(), other)).status_code == 202


async def test_made_up_verifications_use_up_nothing_of_their_network(api: SmsApi) -> None:
    phone = new_phone()
    started = await api.start(phone, "198.18.5.77")
    tries = [await api.redeem(f"vrf_{n:016x}", "000000", f"198.18.5.{n}") for n in range(1, 81)]
    assert [problem(answer) for answer in tries] == [EXPIRED] * 80
    assert (await api.redeem(started["id"], await api.code(phone), "198.18.5.78")).status_code == 201


async def test_limits_and_codes_survive_a_crash(server: DuologueServer) -> None:
    crowded, other = new_phone(), new_phone()
    async with api_of(server.url) as client:
        api = SmsApi(client.http)
        sent = [await api.ask(crowded, elsewhere(n)) for n in range(12)]
        assert {answer.status_code for answer in sent} == {202}
        started = await api.start(other, elsewhere(40))
        code = await api.code(other)
        await api.redeem(started["id"], wrong(code))
    await asyncio.to_thread(server.restart, kill=True)
    async with api_of(server.url) as client:
        api = SmsApi(client.http)
        for phone, address in ((crowded, elsewhere(20)), (other, elsewhere(40))):
            assert problem(await api.ask(phone, address)) == (429, "rate_limited")
        assert (await api.redeem(started["id"], wrong(code))).json()["attempts_left"] == 3
        assert (await api.redeem(started["id"], code)).status_code == 201
