"""The heartbeat: who answers stays, who is silent is given up. Its seconds are shortened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from duologue.core import limits
from duologue.socket import connection, connection_registry
from duologue.socket.connection import Connection
from tests.support.client import PATIENCE, api_of
from tests.support.node import Running, node_running

pytestmark = pytest.mark.anyio

HEARTBEAT, SILENCE = 0.2, 1.0


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    assert (limits.HEARTBEAT, connection_registry.SILENCE) == (25, 35.0), "what the contract says"
    monkeypatch.setattr(connection, "HEARTBEAT", HEARTBEAT)
    monkeypatch.setattr(connection_registry, "SILENCE", SILENCE)
    monkeypatch.setattr(connection_registry, "CHECK_EVERY", 0.02)
    async with node_running(tmp_path) as running:
        yield running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_client_that_says_nothing_but_answers_pings_stays(running: Running) -> None:
    async with api_of(running.url) as api:
        ana = await api.device()
        async with ana.online() as client:
            (connection,) = cast(set[Connection], running.node.registry.connections)
            first = connection.pinged_at
            await until(lambda: connection.pinged_at > first + 3 * SILENCE)
            await client.settled()
            assert connection.pinged_at - first >= 3 * SILENCE


async def test_a_client_that_answers_nothing_is_given_up_with_1001(running: Running) -> None:
    async with api_of(running.url) as api:
        ana, ben, _ = await api.friends()
        async with ana.online() as watcher, ben.online() as dead:
            await watcher.say("watch", user_ids=[ben.user_id])
            assert (await watcher.hear("presence"))["online"] is True
            start = asyncio.get_running_loop().time()
            dead.connection.transport.pause_reading()
            connections = cast(set[Connection], running.node.registry.connections)
            await until(lambda: min(connection.heard_at for connection in connections) > start + SILENCE)
            dead.connection.transport.resume_reading()
            assert await dead.closing() == (1001, "no sign of life")
            assert (await watcher.hear("presence"))["online"] is False


async def test_a_ping_is_due_after_25_seconds_and_the_end_after_35_of_silence(tmp_path: Path) -> None:
    async with node_running(tmp_path) as running, api_of(running.url) as api:
        ana = await api.device()
        async with ana.online() as client:
            (connection,) = cast(set[Connection], running.node.registry.connections)
            pinged = connection.pinged_at
            connection.beat(pinged + 24.9, 35.0)
            assert connection.pinged_at == pinged
            connection.beat(pinged + 25.0, 35.0)
            assert connection.pinged_at == pinged + 25.0
            await client.settled()
            connection.beat(connection.heard_at + 35.0, 35.0)
            await client.settled()
            connection.beat(connection.heard_at + 35.1, 35.0)
            assert await client.closing() == (1001, "no sign of life")


async def test_one_connection_that_fails_does_not_stop_the_heart(running: Running) -> None:
    class Broken:
        beats = 0

        def beat(self, now: float, silence: float) -> None:  # noqa: ARG002
            self.beats += 1
            raise RuntimeError("a bug of this connection's own")

        def on_shutdown(self) -> None:
            """Nothing is in flight here."""

    broken = Broken()
    running.node.registry.connections.add(broken)
    await until(lambda: broken.beats > 3)
    running.node.registry.connections.discard(broken)
