"""Back-pressure: what waits for a slow client is bounded, and a client that takes no answers isn't read."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from duologue.core.limits import MAX_OUTBOUND
from duologue.socket import connection as socket_module
from duologue.socket.connection import Connection
from duologue.socket.wire import Wire
from tests.support.client import JSON, PATIENCE, Api, Device, Socket, api_of, opened_over
from tests.support.node import Running, node_running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with node_running(tmp_path) as running:
        running.node.registry.limited = False
        yield running


@pytest.fixture
async def api(running: Running) -> AsyncIterator[Api]:
    async with api_of(running.url) as api:
        yield api


@asynccontextmanager
async def narrow(device: Device) -> AsyncIterator[Socket]:
    """A socket for which the client's kernel takes next to nothing while nobody reads."""
    sock = sockets.socket()
    sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    host, port = device.api.url.removeprefix("http://").split(":")
    sock.connect((host, int(port)))
    sock.setblocking(False)
    async with opened_over(sock, device.api.url, JSON, "/v1/socket", device.authorization) as socket:
        yield socket


class WatchedWire:
    """Stands before a wire and notes the most that ever waited in it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.most = 0

    def send(self, payload: bytes, *, binary: bool = False, urgent: bool = True) -> None:
        self._wire.send(payload, binary=binary, urgent=urgent)
        self.most = max(self.most, self._wire.buffered_bytes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)


def connection_of(running: Running, device: Device) -> Connection:
    """The server's end of this device's only socket."""
    (found,) = (
        connection
        for connection in cast(set[Connection], running.node.registry.connections)
        if connection.caller and f"usr_{connection.caller.user_id:016x}" == device.user_id
    )
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def fill(peer: Device, chat_id: str, count: int) -> None:
    """Long messages for somebody to read."""
    async with peer.online() as socket:
        for first in range(0, count, 20):
            for number in range(first, min(first + 20, count)):
                text = f"{number} ".ljust(4_000, "x")
                await socket.say("send", chat_id=chat_id, text=text, client_id=f"{first}-{number}")
            for _ in range(first, min(first + 20, count)):
                await socket.hear("sent")


async def test_a_slow_reader_of_live_events_is_closed_before_too_much_waits(
    running: Running, api: Api
) -> None:
    ana, ben, chat_id = await api.friends()
    async with narrow(ana) as slow:
        await slow.hello()
        await slow.hear("caught_up")
        connection = connection_of(running, ana)
        slow.connection.transport.pause_reading()
        watched = WatchedWire(connection.wire)
        connection.wire = cast(Wire, watched)
        await fill(ben, chat_id, 200)
        assert MAX_OUTBOUND * 0.9 < watched.most <= MAX_OUTBOUND
        slow.connection.transport.resume_reading()
        assert await slow.closing() == (4008, "too slow")
        position = slow.applied[-1]["seq"]
    async with ana.online(after=position) as resumed:
        assert resumed.applied[-1]["seq"] == len(await ana.log())


async def test_a_slow_reader_of_a_long_log_is_given_half_a_minute_and_then_closed(
    running: Running, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert socket_module.DRAIN_WITHIN == 30
    monkeypatch.setattr(socket_module, "DRAIN_WITHIN", 0.5)
    ana, ben, chat_id = await api.friends()
    await fill(ben, chat_id, 300)
    async with narrow(ana) as slow:
        slow.connection.transport.pause_reading()
        await slow.say("hello", after=0)
        await until(lambda: any(connection.caller for connection in running.node.registry.connections))  # type: ignore[attr-defined]
        connection = connection_of(running, ana)
        await until(lambda: connection.wire.buffered_bytes > 0)
        await asyncio.sleep(0.2)
        assert connection.wire.buffered_bytes < MAX_OUTBOUND / 2, "a replay waits for its reader"
        slow.after = 0
        await asyncio.sleep(0.5)
        slow.connection.transport.resume_reading()
        assert await slow.closing() == (4008, "too slow")
        assert 0 < len(slow.applied) < 200


async def test_a_reader_who_is_slow_but_reads_gets_a_long_log_whole(running: Running, api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await fill(ben, chat_id, 300)
    async with narrow(ana) as slow:
        await slow.hello(after=0)
        for _ in range(10):
            slow.connection.transport.pause_reading()
            await asyncio.sleep(0.02)
            slow.connection.transport.resume_reading()
            await slow.next()
        await slow.hear("caught_up")
        assert [event["seq"] for event in slow.applied] == list(range(1, len(await ana.log()) + 1))


async def test_typing_is_not_queued_for_a_slow_reader(running: Running, api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with narrow(ana) as slow, ben.online() as peer:
        await slow.hello()
        await slow.hear("caught_up")
        connection = connection_of(running, ana)
        slow.connection.transport.pause_reading()
        await fill(ben, chat_id, 50)
        await until(lambda: connection.resumed is not None)
        waiting = connection.wire.buffered_bytes
        for _ in range(500):
            await peer.say("typing", chat_id=chat_id, active=True)
        await peer.settled()
        assert connection.wire.buffered_bytes <= waiting
        slow.connection.transport.resume_reading()
        await slow.settled()
        assert "typing" not in slow.ops()


async def test_a_client_that_reads_no_answers_is_not_read_but_loses_none(running: Running, api: Api) -> None:
    ana, _, chat_id = await api.friends()
    async with narrow(ana) as client:
        await client.hello()
        await client.hear("caught_up")
        connection = connection_of(running, ana)
        client.connection.transport.pause_reading()
        count = 3_000
        for number in range(count):
            await client.say("send", chat_id=chat_id, text="x" * 200, client_id=str(number))
            if number % 50 == 0:
                await asyncio.sleep(0)
        await until(lambda: connection.intake.output_full)
        await asyncio.sleep(0.2)
        assert connection.wire.buffered_bytes <= MAX_OUTBOUND
        client.connection.transport.resume_reading()
        sent = [await client.hear("sent") for _ in range(count)]
        assert [answer["client_id"] for answer in sent] == [str(number) for number in range(count)]
    assert (await ana.chat(chat_id))["last_seq"] == count
