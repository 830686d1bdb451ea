"""A store that hangs, as opposed to one that is gone: callers are told in time, threads get free, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from duologue.errors import ApiError
from duologue.storage.database import Operation, Posted
from duologue.storage.engine.engines import migrate
from duologue.storage.engine.postgres_session import connect
from duologue.storage.engine.postgres_tx import LOG_LOCK
from duologue.storage.tables.accounts import user_by_id
from duologue.storage.tables.chats import open_chat
from duologue.storage.tables.quotas import Quota, take
from duologue_lab.servers.postgres import PostgresServer
from tests.contract.store import PATIENCE, Store, new_phone, opened, post
from tests.contract.truth import assert_sound
from tests.contract.wire import wire_to

pytestmark = pytest.mark.anyio

TOLD_WITHIN = 6.0
"""Seconds until a caller has an answer; 5 are promised, and one is for a busy machine."""


class Hang(ABC):
    """Something that keeps a store from answering. `reads` tells whether it stops reads, too."""

    reads = False

    def __init__(self, server: PostgresServer, url: str) -> None:
        self.server = server
        self.url = url

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        async with opened(self.url) as store:
            yield store

    @abstractmethod
    async def begin(self) -> None:
        """From now on the store doesn't answer."""

    @abstractmethod
    async def end(self) -> None:
        """The store answers again."""


class Stopped(Hang):
    """The server's processes don't run."""

    reads = True

    async def begin(self) -> None:
        self.server.pause()

    async def end(self) -> None:
        self.server.resume()


class Locked(Hang):
    """Somebody holds a lock that every message needs."""

    statement = f"SELECT pg_advisory_xact_lock({LOG_LOCK})"

    async def begin(self) -> None:
        self.connection = psycopg.connect(self.url)
        self.connection.execute(self.statement.encode())

    async def end(self) -> None:
        self.connection.close()


class TableLocked(Locked):
    """Somebody changes a table."""

    statement = "LOCK TABLE logs IN EXCLUSIVE MODE"


class Silent(Hang):
    """The network swallows everything and tells nobody; what was connected then stays so for ever."""

    reads = True

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        async with wire_to(self.url) as self.wire, opened(self.wire.url) as store:
            yield store

    async def begin(self) -> None:
        self.wire.go_silent()

    async def end(self) -> None:
        self.wire.speak()


async def tell(store: Store, operation: Operation) -> object:
    """Return the answer to an operation, which must come in time."""
    began = time.monotonic()
    try:
        return await store.apply(operation)
    except ApiError as refused:
        return refused.code
    finally:
        assert time.monotonic() - began < TOLD_WITHIN


async def until_stored(store: Store, operation: Operation) -> Posted:
    async with asyncio.timeout(PATIENCE):
        while not isinstance(posted := await tell(store, operation), Posted):
            await asyncio.sleep(0.1)
    return posted


async def assert_nothing_is_lost_in(hang: Hang, store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "before")
    operations = [post(pair, 0, f"meanwhile {number}") for number in range(3)]
    await hang.begin()
    try:
        began = time.monotonic()
        first = asyncio.create_task(tell(store, operations[0]))
        opening = asyncio.create_task(store.db.write(open_chat, pair.low, new_phone(), store.clock()))
        if hang.reads:
            with pytest.raises(ApiError) as refused:
                await store.db.read(user_by_id, pair.low)
            assert refused.value.code == "overloaded"
            assert time.monotonic() - began < TOLD_WITHIN
        else:
            assert await store.db.read(user_by_id, pair.low)
            await asyncio.sleep(1)
        second = asyncio.create_task(tell(store, operations[1]))
        assert await first == await second == "overloaded"
        with contextlib.suppress(ApiError):
            await opening
        assert await tell(store, operations[2]) == "overloaded"
    finally:
        await hang.end()
    stored = [(await until_stored(store, operation)).message for operation in operations]
    last = await store.send(pair, 1, "after")
    kept = await store.all_messages(pair)
    assert [message.seq for message in kept] == [1, 2, 3, 4, 5]
    assert kept[0].client_id == "before"
    assert kept[4] == last
    assert {message.seq: message for message in kept[1:4]} == {message.seq: message for message in stored}


class FileLocked(Hang):
    """Another process writes to the file and doesn't come to an end."""

    async def begin(self) -> None:
        self.connection = sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)
        self.connection.execute("BEGIN IMMEDIATE")

    async def end(self) -> None:
        self.connection.close()


async def assert_nothing_is_lost(hang: Hang) -> None:
    async with hang.store() as store:
        await assert_nothing_is_lost_in(hang, store)
    assert_sound(hang.url)


async def test_a_postgresql_that_is_stopped_is_overloaded_in_time_and_loses_nothing(
    server: PostgresServer, url: str
) -> None:
    await assert_nothing_is_lost(Stopped(server, url))


async def test_a_store_that_is_locked_or_silent_is_overloaded_in_time_and_loses_nothing(
    server: PostgresServer, tmp_path: Path
) -> None:
    """All at the same time: most of it is waiting."""
    file = f"sqlite:///{tmp_path}/duologue.db"
    with contextlib.ExitStack() as databases:
        urls = [databases.enter_context(server.database()) for _ in range(3)]
        hangs: list[Hang] = [FileLocked(server, file), Locked(server, urls[0])]
        hangs += [TableLocked(server, urls[1]), Silent(server, urls[2])]
        for hang in hangs:
            migrate(hang.url)
        async with asyncio.TaskGroup() as tasks:
            for hang in hangs:
                tasks.create_task(assert_nothing_is_lost(hang))


async def test_a_lock_that_messages_do_not_need_keeps_no_message_waiting(
    server: PostgresServer, url: str
) -> None:
    async with opened(url) as store:
        pair = await store.pair()
        with psycopg.connect(url) as admin:
            admin.execute("LOCK TABLE quotas IN ACCESS EXCLUSIVE MODE")
            taking = asyncio.create_task(store.db.write(take, [Quota("few", 1, 1_000)], store.clock()))
            began = time.monotonic()
            while not taking.done():
                sent_at = time.monotonic()
                await store.send(pair, 0, f"{sent_at}")
                assert await store.db.read(user_by_id, pair.low)
                assert time.monotonic() - sent_at < TOLD_WITHIN / 3
                await asyncio.sleep(0.1)
            assert time.monotonic() - began < TOLD_WITHIN
            with pytest.raises(ApiError, match="overloaded"):
                await taking
        await store.db.write(take, [Quota("few", 1, 1_000)], store.clock())


async def test_statements_of_nodes_are_limited_by_the_server_and_those_of_commands_are_not(
    postgres_url: str,
) -> None:
    migrate(postgres_url)
    ask = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
    async with opened(postgres_url) as store:
        assert await store.db.read(lambda tx: tx.one(ask)) == ("4s", "4500ms")
    async with opened(f"{postgres_url}&options=-c%20lock_timeout%3D3s") as store:
        assert await store.db.read(lambda tx: tx.one(ask)) == ("3s", "4500ms")
    with connect(postgres_url) as command:
        assert command.execute(ask).fetchone() == ("0", "0")


async def test_a_pooler_that_takes_no_limits_is_used_without_them(postgres_url: str) -> None:
    migrate(postgres_url)
    async with wire_to(postgres_url) as wire:
        wire.refuses_options = True
        async with opened(wire.url) as store:
            pair = await store.pair()
            assert (await store.send(pair, 0, "a")).seq == 1
