"""Nodes whose bus hangs, is cut, or is attacked: devices still hear, and an ended session writes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import nats as nats_client
import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from duologue_lab.servers.nats import NatsServer, nats_server
from duologue_lab.servers.postgres import Postgres
from duologue_lab.servers.process import halt
from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, Api, Device, Socket, api_of
from tests.support.tunnel import Tunnel, tunnel_to

pytestmark = pytest.mark.anyio

SECRET = "3c9f0b51d0a4e87726c1f5b29d8e4a63"
HEARD_WITHIN = 2.0
"""Seconds in which a connected device hears of what was acknowledged, whatever the bus does."""
TRUSTED_FOR = 1.0
"""Seconds for which an ended session may still write on a node that was not told."""


@pytest.fixture(scope="module")
def bus() -> Iterator[NatsServer]:
    with nats_server() as server:
        yield server


@pytest.fixture(scope="module")
def tunnel(bus: NatsServer) -> Iterator[Tunnel]:
    """Link between the nodes and the bus."""
    with tunnel_to(bus.port) as tunnel:
        yield tunnel


@pytest.fixture(scope="module")
def urls(
    postgres: Postgres, tunnel: Tunnel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    with postgres.database() as database_url:
        env = {
            "DUOLOGUE_DATABASE_URL": database_url,
            "DUOLOGUE_BUS_URL": f"nats://127.0.0.1:{tunnel.port}",
            "DUOLOGUE_SECRET": SECRET,
            "DUOLOGUE_RATE_LIMITS": "off",
        }
        folder = tmp_path_factory.mktemp("nodes")
        with DuologueServer(folder / "a", env=env) as one, DuologueServer(folder / "b", env=env) as other:
            yield one.url, other.url


@pytest.fixture
def nats(bus: NatsServer, tunnel: Tunnel) -> Iterator[NatsServer]:
    """It may be paused, killed or cut off, and runs again afterwards."""
    yield bus
    tunnel.speak()
    if bus.running:
        bus.resume()
    else:
        bus.start()


@pytest.fixture
async def nodes(urls: tuple[str, str], nats: NatsServer) -> AsyncIterator[tuple[Api, Api]]:
    async with api_of(urls[0]) as one, api_of(urls[1]) as other:
        for api in (one, other):
            await health(api, "ok")
        yield one, other


async def health(api: Api, status: str) -> httpx.Response:
    """The answer to the probe once it has this status."""
    async with asyncio.timeout(30):
        while (answer := await api.http.get("/readyz")).json().get("status") != status:
            await asyncio.sleep(0.05)
    return answer


def on(api: Api, device: Device) -> Device:
    """The same device, calling another node."""
    return Device(api, device.phone, device.token, device.user_id, device.session_id)


async def write_until_closed(device: Device, chat_id: str, socket: Socket) -> tuple[dict[str, float], int]:
    """Send without a pause until the socket is closed: when each message was handed over, and the close code."""
    said = {}
    try:
        for number in itertools.count():
            said[f"late {number}"] = time.time()
            await socket.say("send", chat_id=chat_id, text=f"late {number}", client_id=f"l{number}")
            await asyncio.sleep(0.01)
    except ConnectionClosed as end:
        return said, end.rcvd.code if end.rcvd else 0
    raise AssertionError


async def stored(device: Device, chat_id: str) -> set[str]:
    texts = [event["data"]["text"] for event in await device.log() if event["type"] == "message.created"]
    return set(texts)


async def assert_ended_everywhere(ending: Device, elsewhere: Device, peer: Device, chat_id: str) -> None:
    """End a session on one node while it writes on another, and has an idle socket there."""
    async with elsewhere.online() as socket, elsewhere.online() as idle:
        writing = asyncio.create_task(write_until_closed(elsewhere, chat_id, socket))
        await asyncio.sleep(0.3)
        await ending.call("DELETE", "/v1/sessions/current")
        ended_at = time.time()
        said, code = await writing
        assert (code, (await idle.closing())[0]) == (4003, 4003)
        assert time.time() - ended_at < HEARD_WITHIN
    kept = await stored(peer, chat_id)
    assert kept, "it did write before"
    late = {text for text, at in said.items() if at > ended_at + TRUSTED_FOR}
    assert not kept & late


async def test_an_ended_session_writes_nothing_on_a_node_whose_bus_hangs(
    nodes: tuple[Api, Api], nats: NatsServer
) -> None:
    here, there = nodes
    one, other, chat_id = await here.friends()
    async with on(there, one).online():
        nats.pause()
        await assert_ended_everywhere(one, on(there, one), other, chat_id)


async def test_a_session_that_ends_while_a_body_comes_in_writes_nothing(
    nodes: tuple[Api, Api], nats: NatsServer
) -> None:
    here, there = nodes
    for ending_at, hangs in ((here, False), (there, True)):
        one, other, chat_id = await here.friends()
        if hangs:
            nats.pause()
        body = b'{"text":"too late","client_id":"too late"}'
        head = (
            f"POST /v1/chats/{chat_id}/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {one.token}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(here.url).port)
        writer.write(head.encode() + body[:20])
        await asyncio.sleep(0.3)
        await on(ending_at, one).call("DELETE", "/v1/sessions/current")
        await asyncio.sleep(TRUSTED_FOR)
        writer.write(body[20:])
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 401 ")
        writer.close()
        assert not await stored(other, chat_id)


FAULTS = ["paused", "killed", "silent"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_acknowledged_while_the_bus_fails_is_heard_within_two_seconds(
    nodes: tuple[Api, Api], nats: NatsServer, tunnel: Tunnel, fault: str
) -> None:
    here, there = nodes
    one, other, chat_id = await here.friends()
    async with on(there, other).online() as receiver:
        poll = asyncio.create_task(
            on(there, other).ask("GET", f"/v1/events?after={(await other.log())[-1]['seq']}&wait=30")
        )
        await asyncio.sleep(0.5)
        if fault == "paused":
            nats.pause()
        elif fault == "killed":
            nats.stop(kill=True)
        else:
            tunnel.go_silent()
        for number in range(4):
            await one.post(chat_id, f"into silence {number}")
            said_at = time.monotonic()
            assert (await receiver.event("message.created"))["text"] == f"into silence {number}"
            assert time.monotonic() - said_at < HEARD_WITHIN
        assert (await poll).json()["items"]
    assert (await health(here, "degraded")).is_success


async def test_a_lost_bus_is_degraded_and_serves(nodes: tuple[Api, Api], nats: NatsServer) -> None:
    here, _ = nodes
    nats.stop(kill=True)
    answer = await health(here, "degraded")
    assert answer.status_code == httpx.codes.OK
    assert "bus" in answer.json()["detail"]
    await (await here.device()).call("GET", "/v1/me")
    nats.start()
    assert (await health(here, "ok")).json() == {"status": "ok"}


async def test_rubbish_on_the_bus_is_counted_and_harms_nobody(
    nodes: tuple[Api, Api], nats: NatsServer
) -> None:
    here, there = nodes
    one, other, chat_id = await here.friends()
    client = await nats_client.connect(nats.url)
    async with on(there, other).online() as receiver:
        for number in range(200):
            await client.publish("duologue.sealed", b"rubbish" * 20)
            if number % 20 == 0:
                await one.post(chat_id, f"through it {number}")
                assert (await receiver.event("message.created"))["text"] == f"through it {number}"
    await client.flush()
    await client.close()
    async with asyncio.timeout(30):
        while await forgeries(there) < 200:
            await asyncio.sleep(0.05)
    assert await forgeries(there) == 200


async def forgeries(api: Api) -> float:
    lines = (await api.http.get("/metrics")).text.splitlines()
    name = 'duologue_bus_refused_total{reason="forged"}'
    return sum(float(line.split()[1]) for line in lines if line.startswith(name))


WORKERS = 2


@contextlib.contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    halt(process.pid)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def test_a_worker_that_hung_believes_no_session_that_ended_meanwhile(
    postgres_url: str, tmp_path: Path
) -> None:
    """It reads what the device sent before it reads what its siblings said."""
    env = {"DUOLOGUE_DATABASE_URL": postgres_url, "DUOLOGUE_WORKERS": str(WORKERS)}
    with DuologueServer(tmp_path, env=env) as server:
        workers = psutil.Process(server.pid).children()
        async with AsyncExitStack() as stack:
            api = await stack.enter_async_context(api_of(server.url))
            one, other, chat_id = await api.friends()
            sockets = [await stack.enter_async_context(one.online()) for _ in range(12)]
            with stopped(workers[0]):
                # Not for so long that it would be replaced.
                await asyncio.sleep(TRUSTED_FOR)
                ended = await end_by_any(server, one)
                assert ended
                for number, socket in enumerate(sockets):
                    with contextlib.suppress(ConnectionClosed):
                        await socket.say(
                            "send", chat_id=chat_id, text=f"late {number}", client_id=f"l{number}"
                        )
            for socket in sockets:
                assert (await socket.closing())[0] == 4003
            assert not await stored(other, chat_id)


async def end_by_any(server: DuologueServer, device: Device) -> bool:
    """End the session by whichever worker answers: the kernel chooses."""
    for _ in range(20):
        async with httpx.AsyncClient(base_url=server.url, timeout=0.2, trust_env=False) as http:
            with contextlib.suppress(httpx.TimeoutException):
                answer = await http.delete("/v1/sessions/current", headers=device.authorization)
                return answer.is_success
    return False


async def test_nodes_that_share_a_database_without_a_bus_hear_and_end_sessions_all_the_same(
    postgres_url: str, tmp_path: Path
) -> None:
    env = {"DUOLOGUE_DATABASE_URL": postgres_url, "DUOLOGUE_RATE_LIMITS": "off"}
    with DuologueServer(tmp_path / "a", env=env) as a, DuologueServer(tmp_path / "b", env=env) as b:
        async with api_of(a.url) as here, api_of(b.url) as there:
            one, other, chat_id = await here.friends()
            async with on(there, other).online() as receiver:
                said_at = time.monotonic()
                await one.post(chat_id, "over there")
                assert (await receiver.event("message.created"))["text"] == "over there"
                assert time.monotonic() - said_at < HEARD_WITHIN
            await assert_ended_everywhere(one, on(there, one), other, chat_id)
