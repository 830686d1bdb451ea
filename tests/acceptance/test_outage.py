"""PostgreSQL is gone or hangs for a while under load: callers are told, memory stays bounded, nothing is lost."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from duologue_lab.servers.postgres import PostgresServer, postgres_server
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, api_of

pytestmark = pytest.mark.anyio

SECONDS = float(os.environ.get("TEST_OUTAGE_SECONDS", "8"))
"""More than the time for which work is retried; 20 in the long form."""
SENDERS = 40
ROOM = 48 << 20
"""Bytes that the server may grow by while it can't store anything."""


class Sender:
    """Somebody who writes one message after the other, and repeats what wasn't acknowledged."""

    def __init__(self, device: Device, chat_id: str) -> None:
        self.device, self.chat_id = device, chat_id
        self.acknowledged: dict[str, int] = {}
        self.refusals: Counter[str] = Counter()

    async def write(self, until: asyncio.Event) -> None:
        while not until.is_set():
            client_id = f"{len(self.acknowledged)}"
            body = {"text": "x" * 1_000, "client_id": client_id}
            try:
                answer = await self.device.ask("POST", f"/v1/chats/{self.chat_id}/messages", body)
            except httpx.TransportError as fault:
                self.refusals[type(fault).__name__] += 1
                continue
            if answer.is_success:
                self.acknowledged[client_id] = answer.json()["seq"]
            else:
                self.refusals[answer.json()["code"]] += 1
                assert int(answer.headers["retry-after"]) >= 1
                await asyncio.sleep(0.2)


class Trouble(ABC):
    """Something that keeps PostgreSQL from storing anything."""

    readable = False

    def __init__(self, postgres: PostgresServer) -> None:
        self.postgres = postgres

    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def end(self) -> None: ...


class Gone(Trouble):
    """Killed, and started again."""

    def begin(self) -> None:
        self.postgres.stop(kill=True)

    def end(self) -> None:
        self.postgres.start()


class ReadOnly(Trouble):
    """As a standby that isn't promoted yet, or a disk that the operator protects from filling up."""

    readable = True

    def begin(self) -> None:
        self.postgres.run("ALTER SYSTEM SET default_transaction_read_only = on")
        self.postgres.run("SELECT pg_reload_conf()")

    def end(self) -> None:
        self.postgres.run("ALTER SYSTEM RESET default_transaction_read_only")
        self.postgres.run("SELECT pg_reload_conf()")


class Hung(Trouble):
    """Its processes don't run: connections stay open, and nothing is answered."""

    def begin(self) -> None:
        self.postgres.pause()

    def end(self) -> None:
        self.postgres.resume()


@pytest.mark.parametrize("kind", [Gone, ReadOnly, Hung])
async def test_an_outage_of_postgresql_loses_nothing(tmp_path: Path, kind: type[Trouble]) -> None:
    with postgres_server() as postgres:
        postgres.run("CREATE DATABASE outage")
        env = {"DUOLOGUE_DATABASE_URL": postgres.url("outage"), "DUOLOGUE_RATE_LIMITS": "off"}
        with DuologueServer(tmp_path, env=env) as server:
            async with api_of(server.url) as api:
                senders = []
                for _ in range(SENDERS):
                    one, _, chat_id = await api.friends()
                    senders.append(Sender(one, chat_id))
                grown = await outage(kind(postgres), api, server, senders)
                refusals = sum((sender.refusals for sender in senders), Counter[str]())
                assert set(refusals) == {"overloaded"}
                assert grown < ROOM
                for sender in senders:
                    await check(sender)
    print(f"{SECONDS:g} s without a store: grew by {grown >> 10} KiB; refusals: {dict(refusals)}")  # noqa: T201


async def outage(trouble: Trouble, api: Api, server: DuologueServer, senders: list[Sender]) -> int:
    """Trouble begins and ends while all write. Returns by how many bytes the server has grown at its height."""
    over, process = asyncio.Event(), psutil.Process(server.pid)
    writing = [asyncio.create_task(sender.write(over)) for sender in senders]
    await asyncio.sleep(1.5)
    before = process.memory_info().rss
    trouble.begin()
    await asyncio.sleep(SECONDS)
    grown = process.memory_info().rss - before
    assert not (await api.http.get("/readyz")).is_success
    assert (await api.http.get("/healthz")).is_success
    assert (await senders[0].device.ask("GET", "/v1/chats")).is_success is trouble.readable
    stood = sum(len(sender.acknowledged) for sender in senders)
    trouble.end()
    async with asyncio.timeout(60):
        while sum(len(sender.acknowledged) for sender in senders) < stood + 5 * SENDERS:
            await asyncio.sleep(0.1)
    async with asyncio.timeout(30):
        while not (await api.http.get("/readyz")).is_success:
            await asyncio.sleep(0.2)
    over.set()
    await asyncio.gather(*writing)
    return grown


async def check(sender: Sender) -> None:
    """Everything acknowledged is stored, once, where its sender was told."""
    stored: dict[str, int] = {}
    after, more = 0, True
    while more:
        page = await sender.device.call("GET", f"/v1/chats/{sender.chat_id}/messages?after={after}&limit=200")
        for message in page["items"]:
            assert stored.setdefault(message["client_id"], message["seq"]) == message["seq"]
            after = message["seq"]
        more = page["has_more_after"]
    assert list(stored.values()) == list(range(1, len(stored) + 1))
    assert sender.acknowledged.items() <= stored.items()
