"""A process that appends to a store, and says so: run by the tests as `python -m tests.contract.appender`.

Its plan is one line of JSON on stdin. Each acknowledgement is a line of JSON on stdout, written the moment it
comes. It ends when its plan is done, or with its parent (when stdin ends).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from duologue.clock import now_ms
from duologue.model import Event
from duologue.storage.database import Database, Mark, Marked, OneShard, Outcome, Post, Posted, Unit
from duologue.storage.engine.engines import make_database
from duologue.storage.engine.postgres import PostgresDatabase
from duologue.storage.engine.sqlite import SqliteDatabase
from duologue.storage.tables.accounts import update_user
from duologue.storage.tables.chats import open_chat
from duologue.storage.tables.sign_in import NewSession, sign_in


class Plan(msgspec.Struct):
    """Messages to append: posts under `keys` to each chat in turn, `window` of them under way at a time.

    `marks` puts a mark after each post, `others` as many storage functions in between. With `dies` the process
    kills itself as soon as its batch number `dies` is committed, before any of its callers hears of it.
    """

    url: str
    pairs: list[tuple[int, int, int]]
    keys: list[str]
    window: int = 50
    marks: bool = False
    others: int = 0
    dies: int = 0


class Ack(msgspec.Struct):
    """A post that was answered."""

    key: str
    chat_id: int
    side: int
    seq: int
    replayed: bool


class _Deaf:
    def committed(self, events: Sequence[Event]) -> None:
        pass

    def in_doubt(self) -> None:
        pass


def post_for(plan: Plan, number: int) -> Post:
    """The post with this number: its key alone decides its content, so anybody may repeat it."""
    key = plan.keys[number]
    chance = random.Random(key)
    chat_id, low, high = plan.pairs[chance.randrange(len(plan.pairs))]
    return Post(chat_id, low, high, chance.randrange(2), key, f"text of {key}", 0)


async def run(plan: Plan) -> None:
    """Carry the plan out."""
    db = make_database(plan.url, now_ms)
    assert isinstance(db, SqliteDatabase | PostgresDatabase)
    if plan.dies:
        _die_after_commit(db, plan.dies)
    await db.open(_Deaf())
    gate = asyncio.Semaphore(plan.window)
    async with asyncio.TaskGroup() as tasks:
        for number in range(plan.others):
            tasks.create_task(_something_else(db, plan, number))
        for number in range(len(plan.keys)):
            await gate.acquire()
            tasks.create_task(_append(db, plan, number, gate))
    await db.close()


async def _append(db: Database, plan: Plan, number: int, gate: asyncio.Semaphore) -> None:
    post = post_for(plan, number)
    posted = await _outcome(partial(db.append, post))
    assert isinstance(posted, Posted), posted
    ack = Ack(post.client_id, post.chat_id, post.side, posted.message.seq, posted.replayed)
    os.write(sys.stdout.fileno(), msgspec.json.encode(ack) + b"\n")
    if plan.marks:
        owner, peer = (post.low, post.high) if post.side else (post.high, post.low)
        seq = posted.message.seq
        mark = Mark(post.chat_id, owner, peer, 1 - post.side, seq, seq // 2)
        marked = await _outcome(partial(db.append, mark))
        assert isinstance(marked, Marked), marked
    gate.release()


async def _outcome(append: Callable[[Callable[[Outcome], None]], None]) -> Outcome:
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    append(future.set_result)
    return await future


async def _something_else(db: OneShard, plan: Plan, number: int) -> None:
    """Work that numbers events too, but not on the message path."""
    _, low, high = plan.pairs[number % len(plan.pairs)]
    name = f"{os.getpid()} {number}"
    await db.write(update_user, (low, high)[number % 2], name, now_ms(), read_receipts=None)
    await db.write(open_chat, low, f"+44{number:08}", now_ms())
    await db.join(sign_in, NewSession(f"+33{number:08}", name.encode(), "", "", now_ms()))


def _die_after_commit(db: SqliteDatabase | PostgresDatabase, batches: int) -> None:
    commit = db._writer._commit
    left = batches

    def commit_and_die(units: Sequence[Unit]) -> Sequence[Event]:
        nonlocal left
        events = commit(units)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return events

    db._writer._commit = commit_and_die


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.readline(), type=Plan)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(run(given))
