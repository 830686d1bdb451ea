"""A store that doesn't take writes: senders are told so, nothing acknowledged is lost, and all recovers by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Final

import psutil
import pytest

from duologue.storage.engine.engines import migrate
from duologue_lab.servers.postgres import PostgresServer, postgres_server
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Device, Frame, Socket, api_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FREE = "--rate-limits", "off"
GROWTH = 48 << 20
"""Bytes of memory that a stall may cost."""
STILL: Final = 7
"""Seconds that the store stands still: longer than a caller waits for it."""


@contextmanager
def write_lock(database: Path) -> Iterator[None]:
    """Somebody else writes to the file, for as long as the context lasts."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """PostgreSQL and all its processes stand still: nothing fails, nothing answers."""
    assert server.process
    postmaster = psutil.Process(server.process.pid)
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def text_of(client_id: str) -> str:
    """A text of 500 characters, always the same for this message."""
    return client_id.ljust(500, "x")


async def insist(socket: Socket, chat_id: str, client_ids: list[str]) -> tuple[list[Frame], list[Frame]]:
    """Send each until it is acknowledged, waiting as long as one is told to.

    Returns the acknowledgements and the refusals.
    """
    acknowledged: list[Frame] = []
    refusals: list[Frame] = []
    missing = list(client_ids)
    while missing:
        for client_id in missing:
            await socket.say("send", chat_id=chat_id, text=text_of(client_id), client_id=client_id)
        sent, refused = apart([await answer_of(socket) for _ in missing])
        assert sorted(frame["client_id"] for frame in [*sent, *refused]) == sorted(missing)
        missing = [frame["client_id"] for frame in refused]
        acknowledged += sent
        refusals += refused
        await asyncio.sleep(max((frame["retry_after"] for frame in refused), default=0))
    return acknowledged, refusals


def apart(answers: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    """The acknowledgements and the refusals, all of which say `overloaded`."""
    refused = [frame for frame in answers if frame["op"] == "error"]
    assert all(frame["code"] == "overloaded" and frame["retry_after"] > 0 for frame in refused)
    return [frame for frame in answers if frame["op"] == "sent"], refused


def placed(acknowledged: list[Frame]) -> list[str]:
    """The client_ids in the order of the seqs that the acknowledgements name, each of which is named once."""
    places = {frame["message"]["seq"]: frame["client_id"] for frame in acknowledged}
    assert len(places) == len(acknowledged)
    return [places[seq] for seq in sorted(places)]


async def answer_of(socket: Socket) -> Frame:
    while (frame := await socket.next())["op"] not in {"sent", "error"}:
        pass
    return frame


async def stored(device: Device, chat_id: str) -> list[str]:
    """The chat as its log tells it."""
    created = [event["data"] for event in await device.log() if event["type"] == "message.created"]
    mine = [message for message in created if message["chat_id"] == chat_id]
    assert [message["seq"] for message in mine] == list(range(1, len(mine) + 1))
    return [message["client_id"] for message in mine]


async def refused_over_http(device: Device, chat_id: str) -> None:
    """Send a message that the store doesn't take in time. It is in doubt then: it may be stored later."""
    body = {"text": text_of("http"), "client_id": "http"}
    refused = await device.ask("POST", f"/v1/chats/{chat_id}/messages", body)
    assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert refused.json()["code"] == "overloaded"
    assert int(refused.headers["Retry-After"]) >= 1


async def recovers(one: Device, other: Device, chat_id: str) -> None:
    """Sending is as quick as ever, and reaches the peer."""
    async with one.online() as sender, other.online() as reader:
        start = monotonic()
        await sender.talk([f"well again {number}" for number in range(50)], chat_id=chat_id)
        await reader.until(reader.heard[0]["latest"] + 50)
        assert monotonic() - start < 5


async def test_a_locked_file_answers_overloaded_and_recovers(tmp_path: Path) -> None:
    with DuologueServer(tmp_path, *FREE) as server:
        async with api_of(server.url) as api:
            ana, ben, chat_id = await api.friends()
            async with ana.online() as sender, ben.online() as reader:
                await sender.talk(["before"], chat_id=chat_id)
                with write_lock(tmp_path / "duologue.db"):
                    names = [f"meanwhile {number}" for number in range(100)]
                    insisting = asyncio.create_task(insist(sender, chat_id, names))
                    await refused_over_http(ana, chat_id)
                    assert (await ben.chat(chat_id))["last_seq"] == 1, "reading goes on"
                    assert not insisting.done()
                    await reader.settled()
                acknowledged, refusals = await insisting
                assert refusals
                acknowledged += (await insist(sender, chat_id, ["http"]))[0]
                await reader.until(reader.heard[0]["latest"] + 102)
            assert await stored(ben, chat_id) == ["before", *placed(acknowledged)]
            await recovers(ana, ben, chat_id)


async def test_a_store_that_has_gone_answers_overloaded_and_recovers(tmp_path: Path) -> None:
    with postgres_server() as postgres:
        migrate(postgres.url())
        env = {"DUOLOGUE_DATABASE_URL": postgres.url(), "DUOLOGUE_RATE_LIMITS": "off"}
        with DuologueServer(tmp_path, env=env) as server:
            async with api_of(server.url) as api:
                ana, ben, chat_id = await api.friends()
                async with ana.online() as sender, ben.online() as reader:
                    await sender.talk(["before"], chat_id=chat_id)
                    await asyncio.to_thread(postgres.stop, kill=True)
                    names = [f"meanwhile {number}" for number in range(100)]
                    insisting = asyncio.create_task(insist(sender, chat_id, names))
                    await refused_over_http(ana, chat_id)
                    assert (await api.http.get("/readyz")).status_code == HTTPStatus.SERVICE_UNAVAILABLE
                    assert (await api.http.get("/healthz")).status_code == HTTPStatus.OK
                    await reader.settled()
                    await asyncio.to_thread(postgres.start)
                    acknowledged, refusals = await insisting
                    assert refusals
                    acknowledged += (await insist(sender, chat_id, ["http"]))[0]
                    await reader.until(reader.heard[0]["latest"] + 102)
                assert await stored(ben, chat_id) == ["before", *placed(acknowledged)]
                await recovers(ana, ben, chat_id)
                assert (await api.http.get("/readyz")).status_code == HTTPStatus.OK


async def test_a_store_that_stands_still_costs_bounded_memory_and_loses_nothing(tmp_path: Path) -> None:
    """Many clients send as much as they can meanwhile, and repeat what the store didn't take in time."""
    with postgres_server() as postgres:
        migrate(postgres.url())
        env = {"DUOLOGUE_DATABASE_URL": postgres.url(), "DUOLOGUE_RATE_LIMITS": "off"}
        with DuologueServer(tmp_path, env=env) as server:
            process = psutil.Process(server.pid)
            async with api_of(server.url) as api:
                pairs = [await api.friends() for _ in range(10)]
                async with asyncio.timeout(120), asyncio.TaskGroup() as group:
                    stop = asyncio.Event()
                    writers = [
                        group.create_task(pour(device, chat_id, stop))
                        for *pair, chat_id in pairs
                        for device in pair
                    ]
                    await asyncio.sleep(2)
                    before = process.memory_info().rss
                    with frozen(postgres):
                        await asyncio.sleep(STILL)
                        assert (await api.http.get("/healthz")).status_code == HTTPStatus.OK
                        during = process.memory_info().rss
                    await asyncio.sleep(1)
                    stop.set()
                after = process.memory_info().rss
                assert max(during, after) - before < GROWTH
                for number, (one, other, chat_id) in enumerate(pairs):
                    acknowledged = [*writers[2 * number].result(), *writers[2 * number + 1].result()]
                    assert await stored(one, chat_id) == placed(acknowledged)
                    assert await stored(other, chat_id) == placed(acknowledged)
                await recovers(*pairs[0])


async def pour(device: Device, chat_id: str, stop: asyncio.Event) -> list[Frame]:
    """Send without waiting for answers until told to stop; then repeat what was refused. All acknowledgements."""
    async with device.online() as socket:
        written: list[str] = []
        while not stop.is_set():
            client_id = f"{device.user_id}-{len(written)}"
            await socket.say("send", chat_id=chat_id, text=text_of(client_id), client_id=client_id)
            written.append(client_id)
            await asyncio.sleep(0.03)
        sent, refused = apart([await answer_of(socket) for _ in written])
        missing = [frame["client_id"] for frame in refused]
        assert missing, "the store stood still for longer than a caller waits"
        in_order = [client_id for client_id in written if client_id not in set(missing)]
        assert placed(sent) == in_order, "what was acknowledged stands in the order in which it was sent"
        return sent + (await insist(socket, chat_id, missing))[0]
