"""Several nodes on one PostgreSQL and one NATS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import pytest

from duologue_lab.servers.nats import NatsServer, nats_server
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, api_of

pytestmark = pytest.mark.anyio

CROSSINGS = 50
SECRET = "3c9f0b51d0a4e87726c1f5b29d8e4a63"


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    with nats_server() as server:
        yield server


@pytest.fixture
def nodes(postgres_url: str, nats: NatsServer, tmp_path: Path) -> Iterator[list[DuologueServer]]:
    env = {
        "DUOLOGUE_DATABASE_URL": postgres_url,
        "DUOLOGUE_BUS_URL": nats.url,
        "DUOLOGUE_SECRET": SECRET,
        "DUOLOGUE_RATE_LIMITS": "off",
    }
    with DuologueServer(tmp_path / "a", env=env) as one, DuologueServer(tmp_path / "b", env=env) as other:
        yield [one, other]


@asynccontextmanager
async def apis(nodes: list[DuologueServer]) -> AsyncIterator[list[Api]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(api_of(node.url)) for node in nodes]


def on(api: Api, device: Device) -> Device:
    """The same device, calling another node."""
    return Device(api, device.phone, device.token, device.user_id, device.session_id)


async def test_a_message_crosses_nodes_within_milliseconds(nodes: list[DuologueServer]) -> None:
    async with apis(nodes) as (here, there):
        one, other, chat_id = await here.friends()
        times = []
        async with one.online() as sender, on(there, other).online() as receiver:
            for number in range(CROSSINGS):
                started = time.perf_counter()
                await sender.say("send", chat_id=chat_id, text="over there", client_id=f"c{number}")
                message = await receiver.event("message.created")
                times.append(time.perf_counter() - started)
                assert message["client_id"] == f"c{number}"
        print(f"median {median(times) * 1000:.1f} ms from send to the other node's reader")  # noqa: T201


async def test_devices_on_two_nodes_see_the_same_log(nodes: list[DuologueServer]) -> None:
    async with apis(nodes) as (here, there):
        one, other, chat_id = await here.friends()
        start = (await one.log())[-1]["seq"]
        async with (
            one.online() as first,
            on(there, one).online() as second,
            on(there, other).online() as peer,
        ):
            await asyncio.gather(
                first.talk((f"a{n}" for n in range(50)), chat_id=chat_id),
                peer.talk((f"b{n}" for n in range(50)), chat_id=chat_id),
                second.talk((f"c{n}" for n in range(50)), chat_id=chat_id),
            )
            for socket in (first, second):
                await socket.until(start + 150)
            assert first.applied[:150] == second.applied[:150]


async def test_a_session_revoked_on_one_node_ends_on_the_other_within_a_second(
    nodes: list[DuologueServer],
) -> None:
    async with apis(nodes) as (here, there):
        device = await here.device()
        async with on(there, device).online() as socket:
            assert (await on(there, device).ask("GET", "/v1/me")).is_success
            started = time.monotonic()
            await device.call("DELETE", "/v1/sessions/current")
            assert (await socket.closing())[0] == 4003
            while (await on(there, device).ask("GET", "/v1/me")).is_success:
                await asyncio.sleep(0.05)
            assert time.monotonic() - started < 1.5


async def test_an_account_deleted_on_one_node_ends_its_sockets_on_the_other_within_a_second(
    nodes: list[DuologueServer],
) -> None:
    async with apis(nodes) as (here, there):
        one, other, _ = await here.friends()
        async with on(there, one).online() as socket, on(there, other).online() as peer:
            started = time.monotonic()
            await one.call("DELETE", "/v1/me")
            assert (await socket.closing())[0] == 4003
            assert time.monotonic() - started < 1
            assert (await peer.event("user.updated"))["phone"] is None


async def test_what_happened_while_nats_was_away_arrives_when_it_is_back(
    nodes: list[DuologueServer], nats: NatsServer
) -> None:
    async with apis(nodes) as (here, there):
        one, other, chat_id = await here.friends()
        async with on(there, other).online() as receiver:
            nats.stop(kill=True)
            await one.post(chat_id, "said into the void")
            nats.start()
            assert (await receiver.event("message.created"))["text"] == "said into the void"
            await one.post(chat_id, "and again")
            assert (await receiver.event("message.created"))["text"] == "and again"
