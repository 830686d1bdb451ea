"""Workers of one host: one port, one PostgreSQL, and a bus of their own between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from duologue_lab.servers.process import ServerError
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, Socket, api_of

pytestmark = pytest.mark.anyio

WORKERS = 3
SOCKETS = 12
"""Enough of them that no worker is without: the odds against it are one in a hundred."""


REPLACED_WITHIN = 6.0
"""Seconds until a worker that hangs is ended; 5 are promised, and one is for a busy machine."""


@pytest.fixture
def host(postgres_url: str, tmp_path: Path) -> Iterator[DuologueServer]:
    env = {"DUOLOGUE_DATABASE_URL": postgres_url, "DUOLOGUE_WORKERS": str(WORKERS)}
    with DuologueServer(tmp_path, env=env) as server:
        yield server


@pytest.fixture
async def api(host: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(host.url) as api:
        yield api


@asynccontextmanager
async def everywhere(device: Device) -> AsyncIterator[list[Socket]]:
    """The device connected so often that each worker has some of it."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(device.online()) for _ in range(SOCKETS)]


def workers_of(host: DuologueServer) -> list[psutil.Process]:
    return psutil.Process(host.pid).children()


async def until_replaced(host: DuologueServer, victim: psutil.Process) -> None:
    async with asyncio.timeout(30):
        while len([each for each in workers_of(host) if each.pid != victim.pid]) < WORKERS:
            await asyncio.sleep(0.05)


async def test_whatever_worker_one_is_on_the_log_is_the_same(api: Api, host: DuologueServer) -> None:
    assert len(workers_of(host)) == WORKERS
    one, other, chat_id = await api.friends()
    start = (await other.log())[-1]["seq"]
    async with everywhere(other) as sockets:
        await asyncio.gather(*(one.post(chat_id, f"message {number}") for number in range(30)))
        for socket in sockets:
            await socket.until(start + 30)
        assert all(socket.applied[:30] == sockets[0].applied[:30] for socket in sockets)


async def test_typing_and_presence_cross_workers(api: Api) -> None:
    one, other, chat_id = await api.friends()
    async with everywhere(other) as watchers:
        for watcher in watchers:
            await watcher.say("watch", user_ids=[one.user_id])
            assert (await watcher.hear("presence"))["online"] is False
        async with one.online() as socket:
            for watcher in watchers:
                assert (await watcher.hear("presence"))["online"] is True
            await socket.say("typing", chat_id=chat_id, active=True)
            for watcher in watchers:
                assert (await watcher.hear("typing"))["active"] is True
            async with everywhere(other) as latecomers:
                for watcher in latecomers:
                    await watcher.say("watch", user_ids=[one.user_id])
                    assert (await watcher.hear("presence"))["online"] is True
        for watcher in watchers:
            assert (await watcher.hear("presence"))["online"] is False


async def test_a_revoked_session_ends_on_every_worker_within_a_second(api: Api) -> None:
    device = await api.device()
    async with everywhere(device) as sockets:
        started = time.monotonic()
        await device.call("DELETE", "/v1/sessions/current")
        for socket in sockets:
            assert (await socket.closing())[0] == 4003
        assert time.monotonic() - started < 1.5


async def test_a_worker_that_dies_is_replaced_and_nothing_is_missed(api: Api, host: DuologueServer) -> None:
    one, other, chat_id = await api.friends()
    start = (await other.log())[-1]["seq"]
    victim = workers_of(host)[0]
    victim.kill()
    await until_replaced(host, victim)
    async with everywhere(other) as sockets:
        await one.post(chat_id, "after the crash")
        for socket in sockets:
            await socket.until(start + 1)


async def test_a_worker_that_hangs_is_replaced_within_five_seconds(api: Api, host: DuologueServer) -> None:
    one, other, chat_id = await api.friends()
    start = (await other.log())[-1]["seq"]
    victim = workers_of(host)[0]
    victim.suspend()
    suspended_at = time.monotonic()
    await until_replaced(host, victim)
    assert time.monotonic() - suspended_at < REPLACED_WITHIN
    async with everywhere(other) as sockets:
        await one.post(chat_id, "after it hung")
        for socket in sockets:
            await socket.until(start + 1)
    assert "worker 0 hangs" in host.log


def test_told_to_stop_all_workers_do(host: DuologueServer) -> None:
    workers = workers_of(host)
    assert host.stop() == 0
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


def test_if_their_parent_is_killed_no_worker_stays_behind(host: DuologueServer) -> None:
    workers = workers_of(host)
    psutil.Process(host.pid).kill()
    _, alive = psutil.wait_procs(workers, timeout=15)
    assert not alive
    host.restart(kill=True)
    assert len(workers_of(host)) == WORKERS


def test_a_worker_that_does_not_stop_is_killed(host: DuologueServer) -> None:
    workers = workers_of(host)
    workers[0].suspend()
    assert host.stop() == 0
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.parametrize("url", ["", "postgresql://postgres@/nowhere?host=/nonexistent"])
def test_workers_that_cannot_start_say_why(url: str, tmp_path: Path) -> None:
    host = DuologueServer(tmp_path, env={"DUOLOGUE_DATABASE_URL": url, "DUOLOGUE_WORKERS": "2"})
    with pytest.raises(ServerError, match="need PostgreSQL" if not url else "nonexistent"):
        host.start()
