"""Cost of a store: bytes on disk for a message, and the time of reads at any depth.

    python -m duologue_lab.bench.studies.storage [--messages 200000] [--deep 1000000]

Bytes: messages of 100 characters in 500 chats, each in turn, with UUID client ids: the row, its two log rows and
all indexes, as they stand on disk after a checkpoint. Then the same with receipts, which are log rows too (one
for each side): acked in fives, as after a reconnect, and acked one by one.

Depth: the same reads in a chat of 1,000 and in one of a million messages.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from statistics import median
from typing import Any, Final

import psycopg
import uvloop

from duologue.clock import now_ms
from duologue.model import Event, Pair
from duologue.storage.database import Database, Mark, Operation, Post, settle
from duologue.storage.engine.engines import make_database, migrate, sqlite_path
from duologue.storage.tables import chats, messages, replay
from duologue.storage.tables.sign_in import NewSession, sign_in
from duologue_lab.bench.cores import Cores
from duologue_lab.bench.measured_server import ENGINES, database_server, fresh_store
from duologue_lab.servers.postgres import PostgresServer

_IN_FLIGHT: Final = 2_000  # operations
_ROUNDS: Final = 300  # reads of each kind


class Deaf:
    """Hears nothing."""

    def committed(self, events: Sequence[Event]) -> None:
        pass

    def in_doubt(self) -> None:
        raise AssertionError("nothing is killed here")


async def make_chats(db: Database, count: int, first: int = 0) -> list[Pair]:
    made = []
    for number in range(first, first + count):
        token = b"%d" % number
        user, _, _ = await db.directory().join(
            sign_in, NewSession(f"+3361{number:07d}", token, "", "127.0.0.1", now_ms())
        )
        pair = await db.directory().write(chats.open_chat, user.id, f"+3362{number:07d}", now_ms())
        assert pair
        made.append(pair)
    return made


async def append_all(db: Database, operations: Sequence[Operation]) -> None:
    for start in range(0, len(operations), _IN_FLIGHT):
        futures = []
        for operation in operations[start : start + _IN_FLIGHT]:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            db.append(operation, partial(settle, future))
            futures.append(future)
        await asyncio.gather(*futures)


def post(pair: Pair, side: int) -> Post:
    return Post(pair.chat_id, pair.low, pair.high, side, str(uuid.uuid4()), "x" * 100, 0)


def mark(pair: Pair, side: int, seq: int) -> Mark:
    owner, peer = (pair.high, pair.low) if side else (pair.low, pair.high)
    return Mark(pair.chat_id, owner, peer, side, seq, 0)


async def bytes_per_message(url: str, count: int, acked_every: int) -> float:
    db = make_database(url, now_ms)
    await db.open(Deaf())
    pairs = await make_chats(db, 500)
    before = size(url)
    for seq in range(1, count // len(pairs) + 1):
        side = seq % 2
        await append_all(db, [post(pair, side) for pair in pairs])
        if acked_every and seq % acked_every == 0:
            await append_all(db, [mark(pair, 1 - side, seq) for pair in pairs])
    await db.close()
    return (size(url) - before) / count


def size(url: str) -> int:
    path = sqlite_path(url)
    if path:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.stat().st_size
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row
    return int(row[0])


async def depths(url: str, deep: int) -> list[tuple[str, float, float]]:
    db = make_database(url, now_ms)
    await db.open(Deaf())
    shallow_pair, deep_pair = await make_chats(db, 2, first=1_000)
    for pair, count in ((shallow_pair, 1_000), (deep_pair, deep)):
        for start in range(0, count, _IN_FLIGHT):
            await append_all(db, [post(pair, 0) for _ in range(min(_IN_FLIGHT, count - start))])
    if not sqlite_path(url):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
    reads: list[tuple[str, Callable[[Pair, int], tuple[Any, ...]]]] = [
        ("newest page", lambda pair, _: (messages.page_before, pair, 2**31, 50)),
        ("page in the middle", lambda pair, last: (messages.page_before, pair, last // 2, 50)),
        ("oldest page", lambda pair, _: (messages.page_after, pair, 0, 50)),
        ("chat list, with unread", lambda pair, _: (chats.chat_page, pair.high, 2**31 - 1, 20)),
        ("events from the middle", lambda pair, last: (replay.event_page, pair.high, last // 2, 100)),
    ]
    table = []
    for name, read in reads:
        times: list[list[float]] = [[], []]
        for _ in range(_ROUNDS):
            for index, (pair, last) in enumerate(((shallow_pair, 1_000), (deep_pair, deep))):
                started = time.perf_counter()
                await db.of_user(pair.high).read(*read(pair, last))
                times[index].append(time.perf_counter() - started)
        table.append((name, median(times[0]) * 1e6, median(times[1]) * 1e6))
    await db.close()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--deep", type=int, default=1_000_000)
    options = parser.parse_args()
    for engine in ENGINES:
        print(engine)
        with database_server(engine, Cores()) as postgres:
            tell_bytes(postgres, options.messages)
            tell_depths(postgres, options.deep)


def tell_bytes(postgres: PostgresServer | None, count: int) -> None:
    for name, acked_every in (("no receipts", 0), ("acked in fives", 5), ("acked one by one", 1)):
        with fresh_store(postgres) as (_, url):
            migrate(url)
            spent = uvloop.run(bytes_per_message(url, count, acked_every))
        print(f"  {name:24} {spent:6.0f} bytes a message")


def tell_depths(postgres: PostgresServer | None, deep: int) -> None:
    with fresh_store(postgres) as (_, url):
        migrate(url)
        for name, in_shallow, in_deep in uvloop.run(depths(url, deep)):
            print(
                f"  {name:24} {in_shallow:6.0f} µs at 1,000   {in_deep:6.0f} µs at {deep:,}"
                f"   ratio {in_deep / in_shallow:.2f}"
            )


if __name__ == "__main__":
    main()
