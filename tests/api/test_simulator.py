"""The phone simulator over HTTP: handsets that receive, answer and misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import api_of, new_phone
from tests.support.sign_in import SmsApi, code_in, problem

pytestmark = pytest.mark.anyio

SERVICE = "+12025550100"
NORMAL = {"reachable": True, "delay_ms": 0, "loss": 0.0, "duplicate": 0.0, "reorder": 0.0, "multipart": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    options = ["--sign-in", "sms", "--sms-app-name", "Ж" * 80]
    with DuologueServer(tmp_path_factory.mktemp("server"), *options) as server:
        yield server


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[SmsApi]:
    async with api_of(server.url) as client:
        yield SmsApi(client.http)


async def behave(api: SmsApi, phone: str, **how: Any) -> dict[str, Any]:
    answer = await api.http.put(f"/v1/sim/phones/{phone}", json=how)
    assert answer.status_code == 200, answer.text
    now: dict[str, Any] = answer.json()
    return now


async def total(api: SmsApi, metric: str) -> float:
    """The sum of a counter over its labels."""
    lines = (await api.http.get("/metrics")).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric + "{"))


async def test_a_handset_shows_what_it_received(api: SmsApi) -> None:
    phone = new_phone()
    assert await api.texts(phone) == []
    await api.start(phone)
    [sms] = await api.texts(phone, wait=20)
    assert set(sms) == {"id", "from", "to", "text", "parts", "received_at"}
    assert (sms["id"], sms["from"], sms["to"]) == ("1", SERVICE, phone)
    assert sms["parts"] == 2, "a text beyond GSM-7 takes parts of 67 characters"
    assert code_in(sms["text"])
    assert await api.texts(phone, after=1) == []


async def test_a_long_poll_wakes_at_once(api: SmsApi) -> None:
    phone = new_phone()
    waiting = [asyncio.create_task(api.texts(phone, wait=60)) for _ in range(3)]
    while phone not in (await api.http.get("/v1/sim/phones")).json()["items"]:
        await asyncio.sleep(0.01)
    began = time.monotonic()
    await api.start(phone)
    assert [len(items) for items in await asyncio.gather(*waiting)] == [1, 1, 1]
    assert time.monotonic() - began < 5


async def test_a_long_poll_ends_with_its_time(api: SmsApi) -> None:
    began = time.monotonic()
    assert await api.texts(new_phone(), wait=0.3) == []
    assert 0.3 <= time.monotonic() - began < 10


async def test_the_handsets_in_use_are_listed_the_latest_first(api: SmsApi) -> None:
    phones = [new_phone() for _ in range(3)]
    for phone in phones:
        await api.texts(phone)
    assert (await api.http.get("/v1/sim/phones")).json()["items"][:3] == phones[::-1]


async def test_a_handset_writes_to_a_service_number(api: SmsApi) -> None:
    before = await total(api, "duologue_sms_inbound_total")
    path = f"/v1/sim/phones/{new_phone()}/messages"
    answers = [await api.http.post(path, json={"to": SERVICE, "text": text}) for text in ("hi", "a" * 200)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({answer.json()["id"] for answer in answers}) == 2
    async with asyncio.timeout(20):
        while await total(api, "duologue_sms_inbound_total") < before + 3:
            await asyncio.sleep(0.01)


async def test_settings_change_one_by_one(api: SmsApi) -> None:
    phone = new_phone()
    assert await behave(api, phone) == NORMAL
    assert await behave(api, phone, loss=0.5, multipart=False) == NORMAL | {"loss": 0.5, "multipart": False}
    now = await behave(api, phone, reachable=False, delay_ms=10)
    assert now == NORMAL | {"loss": 0.5, "multipart": False, "reachable": False, "delay_ms": 10}
    assert await behave(api, phone, **NORMAL) == NORMAL


async def test_an_unreachable_handset_gets_its_sms_when_it_is_back_and_sends_nothing(api: SmsApi) -> None:
    phone = new_phone()
    await behave(api, phone, reachable=False)
    started = await api.start(phone)
    assert await api.texts(phone, wait=0.2) == []
    answer = await api.http.post(f"/v1/sim/phones/{phone}/messages", json={"to": SERVICE, "text": "hi"})
    assert problem(answer) == (422, "invalid")
    assert "phone" in answer.json()["errors"]
    await behave(api, phone, reachable=True)
    assert (await api.redeem(started["id"], await api.code(phone))).status_code == 201


async def test_a_slow_network_delivers_late(api: SmsApi) -> None:
    phone = new_phone()
    await behave(api, phone, delay_ms=400)
    began = time.monotonic()
    await api.start(phone)
    assert len(await api.texts(phone, wait=20)) == 1
    assert time.monotonic() - began >= 0.4


async def test_an_sms_may_get_lost_or_come_twice(api: SmsApi) -> None:
    lossy, doubling = new_phone(), new_phone()
    await behave(api, lossy, loss=1)
    await behave(api, doubling, duplicate=1)
    for phone in (lossy, doubling):
        await api.start(phone)
    assert [sms["id"] for sms in await api.texts(doubling, wait=20)] == ["1", "2"]
    assert len({sms["text"] for sms in await api.texts(doubling)}) == 1
    assert await api.texts(lossy) == []


async def test_receipts_come_back_for_each_part(api: SmsApi) -> None:
    before = await total(api, "duologue_sms_receipts_total")
    phone = new_phone()
    await behave(api, phone, reorder=1)
    await api.start(phone)
    async with asyncio.timeout(20):
        while await total(api, "duologue_sms_receipts_total") < before + 4:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"loss": 1.5}, "loss"),
        ({"duplicate": -0.1}, "duplicate"),
        ({"reorder": "often"}, "reorder"),
        ({"delay_ms": 600_001}, "delay_ms"),
        ({"delay_ms": 1.5}, "delay_ms"),
        ({"reachable": None}, "reachable"),
        ({"unreachable": True}, "unreachable"),
    ],
)
async def test_settings_that_make_no_sense_are_refused(api: SmsApi, how: dict[str, Any], field: str) -> None:
    phone = new_phone()
    answer = await api.http.put(f"/v1/sim/phones/{phone}", json=how)
    assert problem(answer) == (422, "invalid")
    assert field in answer.json()["errors"]
    assert await behave(api, phone) == NORMAL


@pytest.mark.parametrize("phone", ["0612345678", "abc", "+33", "+999123456789"])
async def test_a_handset_has_a_possible_number(api: SmsApi, phone: str) -> None:
    path = f"/v1/sim/phones/{phone}"
    answers = [
        await api.http.get(f"{path}/messages"),
        await api.http.post(f"{path}/messages", json={"to": SERVICE, "text": "hi"}),
        await api.http.put(path, json={}),
    ]
    assert [problem(answer) for answer in answers] == [(422, "invalid_phone")] * 3


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=1.5", "wait=61", "wait=-1", "wait=nan", "wait=x"]
)
async def test_a_query_that_makes_no_sense_is_refused(api: SmsApi, query: str) -> None:
    answer = await api.http.get(f"/v1/sim/phones/{new_phone()}/messages?{query}")
    assert problem(answer) == (422, "invalid")


@pytest.mark.parametrize(
    "number",
    ["+15005550001", "+15005550002", "+15005550004", "+15005550009"],
    ids=["bad", "route", "stop", "fixed"],
)
async def test_dead_numbers_fail_as_with_a_real_provider(api: SmsApi, number: str) -> None:
    assert problem(await api.ask(number)) == (503, "sms_unavailable")


async def test_nobody_but_the_simulator_can_sign_its_callbacks(api: SmsApi) -> None:
    for kind in ("status", "inbound"):
        for headers in ({}, {"X-Simulator-Signature": "0" * 64}):
            answer = await api.http.post(f"/v1/sms/simulator/{kind}", content=b"{}", headers=headers)
            assert problem(answer) == (403, "bad_signature")


async def test_a_waiting_handset_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with DuologueServer(tmp_path, "--sign-in", "sms") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            waiting = asyncio.create_task(http.get("/v1/sim/phones/+33612345678/messages?wait=30"))
            await http.get("/v1/sim/phones")
            started = time.monotonic()
            assert await asyncio.to_thread(server.stop) == 0
            assert time.monotonic() - started < 6
            assert (await waiting).json() == {"items": []}
