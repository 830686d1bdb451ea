"""Sessions over HTTP and sockets, on two nodes that share one PostgreSQL and one NATS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from duologue.clock import DAY, MINUTE, from_rfc3339, now_ms
from duologue_lab.servers.nats import nats_server
from duologue_lab.servers.postgres import Postgres
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, api_of, new_phone
from tests.support.sign_in import SmsApi, elsewhere, problem

pytestmark = pytest.mark.anyio

SECRET = "3c9f0b51d0a4e87726c1f5b29d8e4a63"
NOT_SIGNED_IN = (401, "not_signed_in")
NOT_FOUND = (404, "not_found")
WITHIN = 1.0
"""Seconds in which a revocation holds everywhere, and what is checked may take another half."""


@pytest.fixture(scope="module")
def store(postgres: Postgres) -> Iterator[str]:
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def nodes(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[DuologueServer]]:
    with ExitStack() as stack:
        env = {
            "DUOLOGUE_DATABASE_URL": store,
            "DUOLOGUE_BUS_URL": stack.enter_context(nats_server()).url,
            "DUOLOGUE_SIGN_IN": "sms",
            "DUOLOGUE_SECRET": SECRET,
            "DUOLOGUE_TRUSTED_PROXIES": "127.0.0.1",
            "DUOLOGUE_ALLOW_SIMULATED_PHONES": "true",
        }
        folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
        yield [stack.enter_context(DuologueServer(folder, env=env)) for folder in folders]


class Home:
    """Two nodes, and people who sign in on the first."""

    def __init__(self, here: Api, there: Api) -> None:
        self.here, self.there = here, there
        self.sms = SmsApi(here.http)
        self.sms_there = SmsApi(there.http)

    async def device(self, phone: str, name: str = "", *forwarded: str) -> Device:
        new = await self.sms.sign_in(phone, *forwarded, device_name=name)
        return Device(self.here, phone, new["token"], new["user"]["id"], new["session"]["id"])

    async def devices(self, count: int) -> list[Device]:
        """So many devices of a new person."""
        phone = new_phone()
        return [await self.device(phone, f"device {number}") for number in range(count)]

    def moved(self, device: Device) -> Device:
        """The same device, calling the other node."""
        return Device(self.there, device.phone, device.token, device.user_id, device.session_id)


@pytest.fixture
async def home(nodes: list[DuologueServer]) -> AsyncIterator[Home]:
    async with api_of(nodes[0].url) as here, api_of(nodes[1].url) as there:
        yield Home(here, there)


async def listed(device: Device) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await device.call("GET", "/v1/sessions"))["items"]
    return items


async def refused_within(device: Device, seconds: float) -> float:
    """Return the seconds until a token was refused; from then on it always is."""
    began = time.monotonic()
    while (answer := await device.ask("GET", "/v1/me")).is_success:
        assert time.monotonic() - began < seconds + 0.5, "the token still opens things"
        await asyncio.sleep(0.02)
    assert problem(answer) == NOT_SIGNED_IN
    return time.monotonic() - began


async def test_the_list_shows_every_device_the_newest_first(home: Home) -> None:
    phone = new_phone()
    first = await home.device(phone, "Ana's phone", "203.0.113.9")
    second = await home.device(phone, "", "2001:db8::9")
    sessions = await listed(second)
    assert [each["id"] for each in sessions] == [second.session_id, first.session_id]
    assert [each["device_name"] for each in sessions] == ["", "Ana's phone"]
    assert [each["ip"] for each in sessions] == ["2001:db8::9", "203.0.113.9"]
    assert [each["current"] for each in sessions] == [True, False]
    assert [each["current"] for each in await listed(home.moved(first))] == [False, True]
    assert set(sessions[0]) == {"id", "device_name", "created_at", "last_seen_at", "ip", "current"}
    assert all("token" not in str(each) for each in sessions)


async def test_last_seen_tells_the_minute_at_most(home: Home) -> None:
    [device] = await home.devices(1)
    [session] = await listed(device)
    seen, created = from_rfc3339(session["last_seen_at"]), from_rfc3339(session["created_at"])
    assert seen == created or seen % MINUTE == 0


@pytest.mark.parametrize(("name", "status"), [("é" * 64, 201), ("x" * 65, 422), ("a\nb", 422), ("\x7f", 422)])
async def test_a_device_name_is_one_short_line(home: Home, name: str, status: int) -> None:
    phone = new_phone()
    started = await home.sms.start(phone)
    answer = await home.sms.redeem(started["id"], await home.sms.code(phone), device_name=name)
    assert answer.status_code == status


async def test_a_new_sign_in_is_told_to_the_other_devices_on_every_node(home: Home) -> None:
    phone = new_phone()
    old = await home.device(phone)
    async with home.moved(old).online() as socket:
        new = await home.device(phone, "new one")
        told = await socket.event("session.created")
    assert (told["id"], told["device_name"], told["current"]) == (new.session_id, "new one", False)
    assert [event["type"] for event in await new.log()].count("session.created") == 2


async def test_a_revocation_holds_on_both_nodes_within_a_second(home: Home) -> None:
    owner, lost = await home.devices(2)
    elsewhere_ = home.moved(lost)
    assert (await elsewhere_.ask("GET", "/v1/me")).is_success
    assert (await owner.ask("DELETE", f"/v1/sessions/{lost.session_id}")).status_code == 204
    assert problem(await lost.ask("GET", "/v1/me")) == NOT_SIGNED_IN
    assert await refused_within(elsewhere_, WITHIN) < WITHIN + 0.5
    assert [each["id"] for each in await listed(owner)] == [owner.session_id]


async def test_a_revocation_closes_the_sockets_of_the_device_on_every_node(home: Home) -> None:
    owner, lost = await home.devices(2)
    async with (
        lost.online() as here,
        home.moved(lost).online() as there,
        home.moved(owner).online() as witness,
    ):
        began = time.monotonic()
        await owner.ask("DELETE", f"/v1/sessions/{lost.session_id}")
        closed = await asyncio.gather(here.closing(), there.closing())
        assert time.monotonic() - began < WITHIN + 0.5
        assert [code for code, _ in closed] == [4003, 4003]
        ended = await witness.event("session.ended")
        assert ended["id"] == lost.session_id
        await witness.settled()


async def test_a_revoked_token_opens_nothing_by_any_way(home: Home) -> None:
    owner, lost = await home.devices(2)
    await owner.ask("DELETE", f"/v1/sessions/{lost.session_id}")
    for device in (lost, home.moved(lost)):
        await refused_within(device, WITHIN)
        for method, path in [
            ("GET", "/v1/sessions"),
            ("DELETE", "/v1/sessions"),
            ("DELETE", "/v1/sessions/current"),
            ("GET", "/v1/chats"),
            ("GET", "/v1/events?wait=1"),
            ("GET", "/v1/events/stream"),
            ("GET", "/v1/me/export"),
        ]:
            assert problem(await device.ask(method, path)) == NOT_SIGNED_IN
        async with device.knocking() as socket:
            await socket.say("hello", token=device.token)
            assert (await socket.closing())[0] == 4001
    assert len(await listed(owner)) == 1


async def test_all_others_can_be_revoked_at_once(home: Home) -> None:
    devices = await home.devices(4)
    assert (await devices[1].ask("DELETE", "/v1/sessions")).status_code == 204
    for device in (devices[0], *devices[2:]):
        assert problem(await device.ask("GET", "/v1/me")) == NOT_SIGNED_IN
    assert [each["id"] for each in await listed(devices[1])] == [devices[1].session_id]
    kinds = [event["type"] for event in await devices[1].log()]
    assert kinds.count("session.ended") == 3
    assert (await devices[1].ask("DELETE", "/v1/sessions")).status_code == 204


async def test_one_can_sign_oneself_out(home: Home) -> None:
    stays, leaves = await home.devices(2)
    assert (await leaves.ask("DELETE", "/v1/sessions/current")).status_code == 204
    assert problem(await leaves.ask("GET", "/v1/me")) == NOT_SIGNED_IN
    assert [each["id"] for each in await listed(stays)] == [stays.session_id]


async def test_nobody_ends_the_sessions_of_others(home: Home) -> None:
    [mine], [theirs] = await home.devices(1), await home.devices(1)
    for path in (theirs.session_id, "ses_0000000000000001", "ses_x", "usr_0000000000000001", "CURRENT"):
        assert problem(await mine.ask("DELETE", f"/v1/sessions/{path}")) == NOT_FOUND
    assert (await theirs.ask("GET", "/v1/me")).is_success


async def test_a_session_ends_once(home: Home) -> None:
    owner, lost = await home.devices(2)
    path = f"/v1/sessions/{lost.session_id}"
    answers = await asyncio.gather(*(device.ask("DELETE", path) for device in [owner, home.moved(owner)] * 3))
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 5
    assert [event["type"] for event in await owner.log()].count("session.ended") == 1


@pytest.mark.parametrize("token", ["dlg_", "dlg_" + "A" * 43, "x" * 10_000, "dlg_\u00e9"])
async def test_a_token_that_was_never_given_out_opens_nothing(home: Home, token: str) -> None:
    headers = [(b"authorization", b"Bearer " + token.encode("latin-1"))]
    assert problem(await home.here.http.get("/v1/me", headers=headers)) == NOT_SIGNED_IN


async def test_a_code_sent_by_one_node_is_redeemed_on_the_other(home: Home) -> None:
    phone = new_phone()
    started = await home.sms.start(phone)
    answer = await home.sms_there.redeem(started["id"], await home.sms.code(phone))
    assert answer.status_code == 201


async def test_a_code_redeemed_on_both_nodes_at_once_is_one_session(home: Home) -> None:
    phone = new_phone()
    started = await home.sms.start(phone)
    code = await home.sms.code(phone)
    tries = [each.redeem(started["id"], code) for each in (home.sms, home.sms_there) for _ in range(10)]
    answers = await asyncio.gather(*tries)
    assert [answer.status_code for answer in answers].count(201) == 1
    refused: set[tuple[int, str]] = {problem(answer) for answer in answers if answer.status_code != 201}
    assert refused == {(401, "code_expired")}


async def test_one_number_asked_for_on_both_nodes_at_once_gets_one_sms(home: Home) -> None:
    phone = new_phone()
    answers = await asyncio.gather(
        *(each.ask(phone) for each in (home.sms, home.sms_there) for _ in range(10))
    )
    assert [answer.status_code for answer in answers].count(202) == 1
    received = [len(await each.texts(phone, wait=0.5)) for each in (home.sms, home.sms_there)]
    assert sum(received) == 1


async def test_limits_are_common_to_both_nodes(home: Home) -> None:
    phone = new_phone()
    turns = [home.sms, home.sms_there] * 7
    asked = [await node.ask(phone, elsewhere(number)) for number, node in enumerate(turns)]
    assert [answer.status_code for answer in asked] == [202] * 12 + [429] * 2


async def test_an_idle_session_is_ended_by_whichever_node_looks_first(
    home: Home, nodes: list[DuologueServer], store: str
) -> None:
    owner, idle = await home.devices(2)
    _backdate(store, idle, 91 * DAY)
    assert problem(await home.moved(idle).ask("GET", "/v1/me")) == NOT_SIGNED_IN
    assert [each["id"] for each in await listed(home.moved(owner))] == [owner.session_id]
    async with owner.online() as socket:
        await asyncio.to_thread(nodes[1].restart)
        assert (await socket.event("session.ended"))["id"] == idle.session_id


@pytest.mark.slow
async def test_an_open_socket_keeps_its_session_in_use(home: Home, store: str) -> None:
    [device] = await home.devices(1)
    async with device.online():
        _backdate(store, device, 89 * DAY)
        async with asyncio.timeout(40):
            while _last_seen(store, device) < now_ms() - DAY:
                await asyncio.sleep(0.2)


def _backdate(url: str, device: Device, ms: int) -> None:
    with psycopg.connect(url) as connection:
        changed = connection.execute(
            "UPDATE sessions SET last_seen_at = %s WHERE id = %s",
            [now_ms() - ms, int(device.session_id[4:], 16)],
        )
        assert changed.rowcount == 1


def _last_seen(url: str, device: Device) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT last_seen_at FROM sessions WHERE id = %s", [int(device.session_id[4:], 16)]
        ).fetchone()
        assert row
        return int(row[0])
