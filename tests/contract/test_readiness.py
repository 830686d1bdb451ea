"""`/readyz` says whether the store takes writes, also when nobody writes; reads are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from duologue_lab.servers.postgres import Postgres
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, api_of

pytestmark = pytest.mark.anyio

TOLD_WITHIN = 10.0
"""Seconds until the probe says what is amiss: "within some seconds", and time for a busy machine."""
OVER_WITHIN = 20.0
"""Seconds until all is well again."""


async def until_ready(api: Api, within: float, *, ready: bool) -> None:
    """Ask the probe, as a balancer does, until it says so."""
    async with asyncio.timeout(within):
        while (await api.http.get("/readyz")).is_success is not ready:
            await asyncio.sleep(0.2)


async def assert_only_reads_are_served(api: Api, device: Device, chat_id: str) -> None:
    assert (await api.http.get("/healthz")).is_success
    # A connection that was lost with the trouble is made anew first.
    async with asyncio.timeout(TOLD_WITHIN):
        while not (page := await device.ask("GET", f"/v1/chats/{chat_id}/messages")).is_success:
            await asyncio.sleep(0.2)
    assert page.json()["items"]
    began = time.monotonic()
    body = {"text": "refused", "client_id": "refused"}
    refused = await device.ask("POST", f"/v1/chats/{chat_id}/messages", body)
    assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert refused.json()["code"] == "overloaded"
    assert time.monotonic() - began < TOLD_WITHIN
    probe = await api.http.get("/readyz")
    assert probe.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert probe.json()["code"] == "overloaded"


async def assert_told(url: str, trouble: contextlib.AbstractContextManager[None]) -> None:
    """Nobody writes when trouble begins: the probe alone finds it."""
    async with api_of(url) as api:
        device, _, chat_id = await api.friends()
        await device.post(chat_id, "before")
        await until_ready(api, TOLD_WITHIN, ready=True)
        with trouble:
            await until_ready(api, TOLD_WITHIN, ready=False)
            await assert_only_reads_are_served(api, device, chat_id)
        await until_ready(api, OVER_WITHIN, ready=True)
        await device.post(chat_id, "refused")
        page = await device.call("GET", f"/v1/chats/{chat_id}/messages")
        assert [item["text"] for item in page["items"]] == ["before", "refused"]


@contextlib.contextmanager
def full_disk(server: DuologueServer) -> Iterator[None]:
    """No file may grow, as on a disk without room."""
    before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process doesn't let go of the file."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextlib.contextmanager
def read_only(postgres: Postgres, name: str) -> Iterator[None]:
    """As the operator sets it for maintenance."""
    postgres.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    hang_up(postgres, name, "")
    try:
        yield
    finally:
        postgres.run(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        hang_up(postgres, name, "")


@contextlib.contextmanager
def no_connection_left(postgres: Postgres, name: str) -> Iterator[None]:
    """The connection for messages was lost, and no new one is to be had."""
    postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    hang_up(postgres, name, "AND query LIKE '%duologue_append%' AND query NOT LIKE '%pg_terminate%'")
    try:
        yield
    finally:
        postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def hang_up(postgres: Postgres, name: str, which: str) -> None:
    backends = f"FROM pg_stat_activity WHERE datname = '{name}' {which}"
    postgres.run(f"SELECT pg_terminate_backend(pid) {backends}")


async def test_a_store_that_takes_no_writes_is_not_ready_and_reads(
    postgres: Postgres, tmp_path: Path
) -> None:
    """All troubles at the same time: most of it is waiting."""
    with contextlib.ExitStack() as stack:

        def served(name: str, database_url: str) -> DuologueServer:
            env = {"DUOLOGUE_DATABASE_URL": database_url}
            return stack.enter_context(DuologueServer(tmp_path / name, env=env))

        files = [tmp_path / "full.db", tmp_path / "locked.db"]
        full, held = [served(file.stem, f"sqlite:///{file}") for file in files]
        troubles = {full.url: full_disk(full), held.url: locked(files[1])}
        for trouble in (read_only, no_connection_left):
            url = stack.enter_context(postgres.database())
            name = urlsplit(url).path.removeprefix("/")
            troubles[served(name, url).url] = trouble(postgres, name)
        async with asyncio.TaskGroup() as tasks:
            for url, each in troubles.items():
                tasks.create_task(assert_told(url, each))
