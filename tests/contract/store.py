"""An open store, and what the contract tests do with it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial

import psycopg

from duologue.clock import Clock, now_ms
from duologue.core.chores import Chores
from duologue.model import Chat, Event, Message, Pair, User
from duologue.storage.database import Mark, Marked, Operation, Outcome, Post, Posted, Row, Tx, settle
from duologue.storage.engine.engines import make_database, sqlite_path
from duologue.storage.engine.postgres import PostgresDatabase
from duologue.storage.engine.sqlite import SqliteDatabase
from duologue.storage.tables import chats, events, messages
from duologue.storage.tables.accounts import NEWS_REST
from duologue.storage.tables.erasure import next_erasure
from duologue.storage.tables.profile_news import next_news
from duologue.storage.tables.sign_in import NewSession, sign_in

PATIENCE = float(os.environ.get("TEST_PATIENCE", "60"))
"""Seconds after which something that should happen is taken not to happen."""

TABLES = {
    "users": "SELECT id, phone, display_name, registered_at, read_receipts, created_at, who_can_write,"
    " presence, discoverable, suspended_at, deleted_at FROM users",
    "logs": "SELECT user_id, last_seq, floor, acked, top_chat FROM logs",
    "sessions": "SELECT user_id, id, token_hash, created_at, last_seen_at, ended_at FROM sessions",
    "chats": "SELECT id, low_user, high_user, last_seq, low_count, high_count, created_at FROM chats",
    "members": "SELECT user_id, chat_id, peer_id, activity, delivered, read, read_shown, read_count, muted_until,"
    " archived, pinned, known, delivered_shown, withheld FROM members",
    "messages": "SELECT chat_id, seq, side, low_count, high_count, reply_to, sent_at, client_id, text, edited_at,"
    " deleted_at, reactions FROM messages",
    "withheld": "SELECT chat_id, seq, side, visible FROM withheld",
    "events": "SELECT user_id, seq, kind, ref, a, b, at FROM events",
}
"""Every table with its columns in one order for all engines."""

_phones = itertools.count(33_600_000_000)


def new_phone() -> str:
    """A number that no test has used before."""
    return f"+{next(_phones)}"


def rows(url: str, *statements: str) -> list[list[Row]]:
    """Look straight into a database, past the code under test: what each statement finds at one moment."""
    path = sqlite_path(url)
    if path:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            return [connection.execute(sql).fetchall() for sql in statements]
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return [connection.execute(sql.encode()).fetchall() for sql in statements]


def contents(url: str) -> dict[str, list[Row]]:
    """All that is in a database at one moment: each table's rows by their key."""
    found = rows(url, *TABLES.values())
    return {name: sorted(lines, key=lambda row: row[:2]) for name, lines in zip(TABLES, found, strict=True)}


class Heard:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.commits: list[list[Event]] = []
        self.doubts = 0

    def committed(self, events: Sequence[Event]) -> None:
        self.commits.append(list(events))

    def in_doubt(self) -> None:
        self.doubts += 1

    @property
    def events(self) -> list[Event]:
        return [event for commit in self.commits for event in commit]

    def of(self, user_id: int) -> list[Event]:
        """Return the events of one user's log."""
        return [event for event in self.events if event.user_id == user_id]


def post(pair: Pair, side: int, client_id: str, text: str = "hello", reply_to: int = 0) -> Post:
    return Post(pair.chat_id, pair.low, pair.high, side, client_id, text, reply_to)


def mark(pair: Pair, side: int, *, delivered: int = 0, read: int = 0) -> Mark:
    owner, peer = (pair.high, pair.low) if side else (pair.low, pair.high)
    return Mark(pair.chat_id, owner, peer, side, delivered, read)


def _acquaint(tx: Tx, user_id: int, phone: str, now: int) -> Pair | None:
    """Open a chat, and have both sides know each other without a word of it in their logs."""
    pair = chats.open_chat(tx, user_id, phone, now)
    if pair:
        for side in (pair.low, pair.high):
            tx.run(
                "UPDATE members SET known = 2 WHERE user_id = :side AND chat_id = :chat_id",
                side=side,
                chat_id=pair.chat_id,
            )
    return pair


class Store:
    """One engine's `Database`, its listener, and short ways to use them."""

    def __init__(self, url: str, clock: Clock) -> None:
        db = make_database(url, clock)
        assert isinstance(db, SqliteDatabase | PostgresDatabase)
        self.url = url
        self.db = db
        self.clock = clock
        self.heard = Heard()

    async def user(self, phone: str | None = None) -> User:
        """Somebody who has signed in."""
        phone = phone or new_phone()
        token_hash = secrets.token_bytes(32)
        user, _, _ = await self.db.join(sign_in, NewSession(phone, token_hash, "phone", "::1", self.clock()))
        return user

    async def pair(self) -> Pair:
        """A chat of two new users, still empty."""
        return await self.pair_of(await self.user(), await self.user())

    async def pair_of(self, one: User, other: User) -> Pair:
        """The chat of two users who have answered each other before."""
        assert other.phone
        pair = await self.db.write(_acquaint, one.id, other.phone, self.clock())
        assert pair
        return pair

    async def opened_by(self, one: User, other: User) -> Pair:
        """The chat of two users after one has opened it."""
        assert other.phone
        pair = await self.db.write(chats.open_chat, one.id, other.phone, self.clock())
        assert pair
        return pair

    async def together(self, *operations: Operation) -> list[Outcome]:
        """Have operations committed in one batch; each one's outcome."""
        outcomes: dict[int, Outcome] = {}
        complete = asyncio.Event()

        def done(index: int, outcome: Outcome) -> None:
            assert index not in outcomes, "answered twice"
            outcomes[index] = outcome
            if len(outcomes) == len(operations):
                complete.set()

        if not operations:
            return []
        with self.writer_held():
            for index, operation in enumerate(operations):
                self.db.append(operation, partial(done, index))
        async with asyncio.timeout(PATIENCE):
            await complete.wait()
        return [outcomes[index] for index in range(len(operations))]

    @contextlib.contextmanager
    def writer_held(self) -> Iterator[None]:
        """Meanwhile the writer takes nothing from its queue: what is queued becomes one batch."""
        with self.db._writer._wake:
            yield

    async def apply(self, operation: Operation) -> Posted | Marked:
        """An operation's outcome. Raises it if it is an exception."""
        future: asyncio.Future[Posted | Marked] = asyncio.get_running_loop().create_future()
        self.db.append(operation, partial(settle, future))
        async with asyncio.timeout(PATIENCE):
            return await future

    async def send(self, pair: Pair, side: int, client_id: str, text: str = "hello") -> Message:
        """A message as it was stored."""
        posted = await self.apply(post(pair, side, client_id, text))
        assert isinstance(posted, Posted)
        return posted.message

    async def fill(self, pair: Pair, sides: Sequence[int]) -> list[Message]:
        """A message from each of these sides, in this order, in one batch."""
        outcomes = await self.together(
            *(post(pair, side, f"fill-{number}", f"text {number}") for number, side in enumerate(sides))
        )
        return [outcome.message for outcome in outcomes if isinstance(outcome, Posted)]

    async def view(self, user_id: int, pair: Pair) -> Chat:
        chat = await self.db.read(chats.chat_view, user_id, pair.chat_id)
        assert chat
        return chat

    async def log_span(self, user_id: int) -> tuple[int, int]:
        """The last seq of a user's log, and the last one that is no longer kept."""
        head = await self.db.read(events.log_head, user_id)
        return (head.last_seq, head.floor) if head else (0, 0)

    async def all_messages(self, pair: Pair) -> list[Message]:
        return await self.db.read(messages.page_after, pair, 0, 1_000_000)

    async def finish_chores(self) -> None:
        """Take the background loop's steps until nothing is left to do."""
        later = itertools.count(0, NEWS_REST + 1)
        chores = Chores(self.db, lambda: self.clock() + next(later))
        while await self.db.read(lambda tx: (next_news(tx), next_erasure(tx))) != (None, None):
            await chores.step()

    def table(self, name: str) -> list[Row]:
        """A table's rows by their key, its columns as in `TABLES`."""
        return contents(self.url)[name]

    def count(self, name: str) -> int:
        return len(self.table(name))


@contextlib.asynccontextmanager
async def opened(url: str, clock: Clock = now_ms) -> AsyncIterator[Store]:
    """A store that is open while the context lasts."""
    store = Store(url, clock)
    await store.db.open(store.heard)
    try:
        yield store
    finally:
        await store.db.close()
