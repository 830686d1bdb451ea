"""Interface of the store, the same for both engines.

Two ways in. `read` and `write` of a shard, which is asked for by key, run a storage function: a plain synchronous
function over a `Tx`, one function one transaction, pure over the `Tx` because it may run twice. `append` is the
message path: operations from many callers are committed together, many to one fsync (group commit). Its key is in the
operation, which names the chat and both users.

Today there is one shard, and every key leads to it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from duologue.model import Event, Message, Pair, Presets

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
Row = tuple[Any, ...]


class UniqueViolation(Exception):
    """A row with this key is there already."""


class Tx(Protocol):
    """One transaction, seen from a storage function. Parameters are written `:name`.

    `presets` are the preferences of users who chose nothing.
    """

    presets: Presets

    def one(self, sql: str, **params: Any) -> Row | None:
        """The first row, or None."""
        ...

    def all(self, sql: str, **params: Any) -> list[Row]:
        """Every row."""
        ...

    def run(self, sql: str, **params: Any) -> int:
        """Execute, and tell how many rows were touched. Raises `UniqueViolation`."""
        ...

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        """Execute once for each row of values, which stand in the order of the placeholders `?`.

        Raises `UniqueViolation`.
        """
        ...

    def lock_logs(self) -> None:
        """Hold back every other transaction that writes to event logs, until this one ends.

        What numbers events takes it first: in one order everywhere, so nodes can't deadlock.
        """
        ...

    def emit(self, events: Iterable[Event]) -> None:
        """Tell these events to the listener once this transaction has committed, and only then."""
        ...


class AlarmRule(msgspec.Struct, frozen=True, gc=False):
    """Rule when a message's alarm is due, in milliseconds after it, for users who chose nothing.

    `preset` is for those who have signed in before, `unregistered` for the others. -1 (`model.NEVER`) is for no
    alarm, 0 for one whether a device acknowledges the message or not. Nobody's alarm waits for more than `longest`.
    """

    preset: int
    unregistered: int
    longest: int


class Post(msgspec.Struct, frozen=True, gc=False):
    """A message to be appended to a chat by one of its sides (0: `low`, 1: `high`)."""

    chat_id: int
    low: int
    high: int
    side: int
    client_id: str
    text: str
    reply_to: int
    by_sms: bool = False

    @property
    def pair(self) -> Pair:
        """Return the chat and its two sides."""
        return Pair(self.chat_id, self.low, self.high)


class Posted(msgspec.Struct, frozen=True, gc=False):
    """The message as stored; `replayed` when this `client_id` had stored it before."""

    message: Message
    replayed: bool


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Delivered and read seqs of `owner`, on its `side` of a chat; 0 leaves a mark as it is. Marks only ever rise."""

    chat_id: int
    owner: int
    peer: int
    side: int
    delivered: int
    read: int


class Marked(msgspec.Struct, frozen=True, gc=False):
    """Outcome of a mark: whether it moved anything."""

    changed: bool


Operation = Post | Mark
Outcome = Posted | Marked | Exception
Done = Callable[[Any], None]


def settle(future: asyncio.Future[Any], result: Any) -> None:
    """A `Done` that hands the result, or the exception, to whoever awaits `future`."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


class Unit(msgspec.Struct, gc=False):
    """One caller's work in the queue, and its result. `work` is an operation or a storage call.

    `done` is None once the caller has its answer.
    """

    work: Any
    done: Done | None
    result: Any = None


class CommitListener(Protocol):
    """Hears of what was committed: on the event loop, in the order of the commits."""

    def committed(self, events: Sequence[Event]) -> None:
        """These events are durable, and their callers have been answered."""
        ...

    def in_doubt(self) -> None:
        """Some commit's outcome was unknown for a while: events may be durable that were never told."""
        ...


class StoreHealth:
    """Health of the store, by its last operations.

    `stored_at` and `refused_at` say when (of `time.monotonic`) it last took a write on the message path, and last
    refused one. `damaged` is true once a part of it could not be read any more.
    """

    def __init__(self) -> None:
        self.stored_at = -math.inf
        self.refused_at = -math.inf
        self.damaged = False


class Probe(msgspec.Struct, frozen=True, gc=False):
    """A small write that is nobody's message, and doesn't count in `StoreHealth`."""

    work: Callable[[Tx], None]

    def __call__(self, tx: Tx) -> None:
        self.work(tx)


class Shard(Protocol):
    """The part of the store that has every row of some keys: one transaction sees one of them."""

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a transaction that writes nothing. Raises `ApiError` `overloaded`."""
        ...

    async def find(self, fn: Callable[[Tx, Sequence[K]], Mapping[K, T]], key: K) -> T | None:
        """Return what `fn`, a function of a module, finds for a key. Raises `ApiError` `overloaded`.

        Keys that wait for the same function are found by one call of it: for reads that come in crowds.
        """
        ...

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a transaction and return once it is durable. Raises `ApiError` `overloaded`."""
        ...

    async def join(self, fn: Callable[[Tx, Sequence[K]], Sequence[T | Exception]], item: K) -> T:
        """Have `fn` write what an item asks for, and return its outcome once it is durable.

        Items that wait for the same function go to one call of it, in one transaction: for writes that come in
        crowds. It returns the outcome of each, in their order; an exception among them is its item's alone. What it
        raises itself undoes everything, and then each item has a transaction of its own. Raises the outcome if it is
        an exception, and `ApiError` `overloaded`.
        """
        ...


class Database(Protocol):
    """A durable store, asked by key. Every method belongs to the event loop that called `open`."""

    def of_user(self, user_id: int) -> Shard:
        """Return the shard with what is a user's own: profile, sessions, log, sides of chats."""
        ...

    def of_chat(self, pair: Pair) -> Shard:
        """Return the shard with a chat and its messages."""
        ...

    def directory(self) -> Shard:
        """Return the shard with what has no user or chat yet, or belongs to all.

        Users by their phone numbers, sign-ins, sessions by their tokens, quotas, SMS by what providers call them,
        nodes, the clock.
        """
        ...

    def every_shard(self) -> Sequence[Shard]:
        """Return all shards, the directory too: for background loops, which look for what is due to whomever."""
        ...

    def by_user(self, values: Mapping[int, V]) -> Iterable[tuple[Shard, Mapping[int, V]]]:
        """Divide what is keyed by user id among the shards of the users."""
        ...

    def by_chat(self, values: Mapping[int, V]) -> Iterable[tuple[Shard, Mapping[int, V]]]:
        """Divide what is keyed by chat id among the shards of the chats."""
        ...

    @property
    def health(self) -> StoreHealth:
        """Return the store's health, by its last operations."""
        ...

    @property
    def is_crowded(self) -> bool:
        """Return whether many chats are written to now, so that writes wait a little for one another."""
        ...

    async def probe(self, work: Callable[[Tx], None]) -> None:
        """Run `work` where messages are stored: on the same thread and connection. Raises `ApiError` `overloaded`."""
        ...

    async def open(self, listener: CommitListener) -> None:
        """Connect. Raises whatever the engine raises when the store can't be reached."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then disconnect."""
        ...

    async def time(self) -> int | None:
        """The store's own clock in epoch ms; None if it has no other than this machine's.

        Raises `ApiError` `overloaded`.
        """
        ...

    def append(self, operation: Operation, done: Done) -> None:
        """Queue an operation for the next group commit; `done` gets its `Outcome` once it is durable.

        Operations of one caller are committed in the order of the calls. Raises `ApiError`
        `overloaded` when the queue is full: then nothing was queued and `done` is never called.
        """
        ...


class OneShard(Database, Shard, Protocol):
    """A store in one database: every key leads to the store itself."""

    def of_user(self, user_id: int) -> Shard:  # noqa: ARG002 - the key of all
        return self

    def of_chat(self, pair: Pair) -> Shard:  # noqa: ARG002
        return self

    def directory(self) -> Shard:
        return self

    def every_shard(self) -> Sequence[Shard]:
        return (self,)

    def by_user(self, values: Mapping[int, V]) -> Iterable[tuple[Shard, Mapping[int, V]]]:
        return ((self, values),)

    def by_chat(self, values: Mapping[int, V]) -> Iterable[tuple[Shard, Mapping[int, V]]]:
        return ((self, values),)
