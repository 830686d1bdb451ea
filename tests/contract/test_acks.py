"""Messages that an ack covers are delivered: now, or at the next ack if the store refused; and no others are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast

import pytest

from duologue.clock import now_ms
from duologue.core.acks import Acks, AckTimer
from duologue.core.chats import Chats
from duologue.core.events import Publisher, notice_of
from duologue.core.positions import Position, present
from duologue.core.receipts import Receipts
from duologue.core.sessions import Caller
from duologue.core.traces import Traces
from duologue.errors import ApiError, overloaded
from duologue.model import Pair, User
from duologue.realtime.bus import LocalBus
from duologue.realtime.hub import Hub
from duologue.storage.database import Database, OneShard, Operation, Tx
from duologue.storage.tables.events import log_head
from duologue.storage.tables.replay import event_page
from tests.contract.store import PATIENCE, Store

pytestmark = pytest.mark.anyio


class MoodyDatabase:
    """Passes everything on, but refuses marks when it is told to: at once, or once their turn has come."""

    def __init__(self, db: OneShard) -> None:
        self._db = db
        self.full = self.failing = False
        self.reads = self.marks = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def append(self, operation: Operation, done: Callable[[Any], None]) -> None:
        self.marks += 1
        if self.full:
            raise overloaded()
        if self.failing:
            asyncio.get_running_loop().call_soon(done, overloaded("The store refused the write"))
        else:
            self._db.append(operation, done)

    def of_user(self, _user_id: int) -> MoodyDatabase:
        return self

    async def read(self, *args: Any, **kwargs: Any) -> Any:
        self.reads += 1
        await self.gate.wait()
        return await self._db.read(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


class Reader:
    """A device of a user who has three chats, on one connection."""

    def __init__(self, store: Store, db: MoodyDatabase, user: User, pairs: list[Pair]) -> None:
        self.store, self.db, self.user, self.pairs = store, db, user, pairs
        self.chats = Chats(cast(Database, db), now_ms, limited=False)
        self.receipts = Receipts(
            cast(Database, db), self.chats, Traces(cast(Database, db), now_ms, kept=True)
        )
        self.crowded = False
        self.timer = AckTimer(lambda: self.crowded)
        self.errors: list[ApiError] = []
        self.position = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def connect(self, *, after: int = 0, most_known: int = 500) -> None:
        """Begin anew; what comes after that position is given to the device."""
        head = present(await self.store.db.read(log_head, self.user.id))
        unknown = after if head.acked < after else 0
        caller = Caller(self.user.id, 1)
        self.acks = Acks(
            self.receipts, self.timer, caller, self._spawn, unknown=unknown, most_known=most_known
        )
        self.position = after
        for pair in self.pairs:
            await self.chats.pair(self.user.id, pair.chat_id)
        await self.give()

    async def give(self) -> int:
        """Add the events that have happened since, and return the newest seq."""
        _, events = await self.store.db.read(event_page, self.user.id, self.position, 100_000)
        for event in events:
            self.acks.record_sent(notice_of(event))
            self.position = event.seq
        return self.position

    def ack(self, seq: int) -> None:
        self.acks.ack(seq, self.errors.append)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.add(asyncio.ensure_future(work))

    async def delivered(self) -> list[int]:
        """Return the user's delivered mark in each chat, once nothing is under way any more."""
        async with asyncio.timeout(PATIENCE):
            while not self.acks.idle:
                await asyncio.sleep(0.005)
        return [(await self.store.view(self.user.id, pair)).delivered for pair in self.pairs]


@pytest.fixture
async def reader(store: Store) -> Reader:
    user = await store.user()
    pairs = [await store.pair_of(user, await store.user()) for _ in range(3)]
    reader = Reader(store, MoodyDatabase(store.db), user, pairs)
    await reader.connect()
    return reader


async def hear(reader: Reader, chat: int, text: str) -> int:
    """A message from the peer of that chat; the seq of its event."""
    pair = reader.pairs[chat]
    await reader.store.send(pair, 1 - pair.side_of(reader.user.id), text)
    return await reader.give()


async def test_an_ack_delivers_in_each_chat_what_it_covers_without_a_read(reader: Reader) -> None:
    await hear(reader, 0, "1")
    await hear(reader, 1, "1")
    last = await hear(reader, 0, "2")
    await hear(reader, 2, "1")
    before = reader.db.reads
    reader.ack(last)
    assert await reader.delivered() == [2, 1, 0]
    assert reader.db.reads == before
    assert reader.errors == []


@pytest.mark.parametrize("mood", ["full", "failing"])
@pytest.mark.parametrize("flushed", [False, True])
async def test_what_could_not_be_stored_is_delivered_by_the_next_ack(
    reader: Reader, mood: str, *, flushed: bool
) -> None:
    """Also when a flush in between wrote down how far was acked."""
    first = await hear(reader, 0, "1")
    reader.ack(first)
    assert await reader.delivered() == [1, 0, 0]
    await hear(reader, 1, "1")
    last = await hear(reader, 0, "2")
    setattr(reader.db, mood, True)
    reader.ack(last)
    assert await reader.delivered() == [1, 0, 0]
    assert {error.code for error in reader.errors} == {"overloaded"}
    setattr(reader.db, mood, False)
    if flushed:
        await reader.receipts.flush()
    later = await hear(reader, 2, "1")
    reader.ack(later)
    assert await reader.delivered() == [2, 1, 1]


async def test_what_could_not_be_stored_is_delivered_on_the_next_connection(reader: Reader) -> None:
    await hear(reader, 1, "1")
    last = await hear(reader, 0, "1")
    reader.db.failing = True
    reader.ack(last)
    await reader.delivered()
    reader.db.failing = False
    await reader.receipts.flush()
    await reader.connect(after=last)
    reader.ack(last)
    assert await reader.delivered() == [1, 1, 0]


async def test_a_look_at_the_log_that_fails_is_repeated_by_the_next_ack(reader: Reader) -> None:
    for chat in range(3):
        await hear(reader, chat, "1")
    await reader.connect(after=await reader.give())
    reader.db.full = True
    reader.ack(reader.position)
    assert await reader.delivered() == [0, 0, 0]
    assert [error.code for error in reader.errors] == ["overloaded"]
    reader.db.full = False
    reader.ack(reader.position)
    assert await reader.delivered() == [1, 1, 1]


async def test_more_than_can_be_remembered_is_looked_up(reader: Reader) -> None:
    await reader.connect(most_known=10)
    seqs = [await hear(reader, number % 2, str(number)) for number in range(40)]
    assert reader.acks.known <= 10
    for covered in (1, 5, 12, 29, 33, 40):
        reader.ack(seqs[covered - 1])
        assert await reader.delivered() == [(covered + 1) // 2, covered // 2, 0]


async def test_acks_during_a_look_at_the_log_are_covered_by_it(reader: Reader) -> None:
    for number in range(30):
        await hear(reader, number % 3, str(number))
    await reader.connect(after=await reader.give())
    for seq in range(1, reader.position + 1):
        reader.ack(seq)
    assert len(reader.tasks) == 1, "one look at a time"
    assert await reader.delivered() == [10, 10, 10]
    last, before = await hear(reader, 0, "new"), reader.db.reads
    reader.ack(last)
    assert await reader.delivered() == [11, 10, 10]
    assert reader.db.reads == before, "from then on it is remembered again"
    assert reader.errors == []


async def test_a_chat_that_is_not_remembered_is_looked_up(reader: Reader) -> None:
    """After a start nothing is remembered."""
    last = await hear(reader, 0, "1")
    reader.chats.forget()
    reader.ack(last)
    assert await reader.delivered() == [1, 0, 0]


async def test_an_ack_is_written_down_by_the_flush_and_spares_the_next_connection_the_look(
    reader: Reader,
) -> None:
    last = await hear(reader, 0, "1")
    reader.ack(last)
    await reader.delivered()
    await reader.receipts.flush()
    assert present(await reader.store.db.read(log_head, reader.user.id)).acked == last
    await reader.connect(after=last)
    before = reader.db.reads
    reader.ack(last)
    assert await reader.delivered() == [1, 0, 0]
    assert reader.db.reads == before


async def test_a_late_ack_takes_nothing_back(reader: Reader) -> None:
    seqs = [await hear(reader, 0, str(number)) for number in range(3)]
    for seq in (seqs[2], seqs[0], 0):
        reader.ack(seq)
    assert await reader.delivered() == [3, 0, 0]
    await reader.receipts.flush()
    assert present(await reader.store.db.read(log_head, reader.user.id)).acked == seqs[2]


async def test_acks_one_after_the_other_are_raised_together(reader: Reader) -> None:
    """The first at once, those that follow soon with one mark."""
    reader.timer.seconds = 0.2
    seqs = [await hear(reader, number % 2, str(number)) for number in range(8)]
    for seq in seqs:
        reader.ack(seq)
    assert reader.db.marks == 1
    assert await reader.delivered() == [4, 4, 0]
    assert reader.db.marks == 3, "the first, and then one for each chat"
    assert reader.errors == []


async def test_an_ack_in_time_takes_those_that_wait_with_it(reader: Reader) -> None:
    reader.timer.seconds = 60
    seqs = [await hear(reader, 0, str(number)) for number in range(4)]
    for seq in seqs[:3]:
        reader.ack(seq)
    reader.timer.seconds = 0
    reader.ack(seqs[3])
    assert await reader.delivered() == [4, 0, 0]
    assert reader.db.marks == 2


async def test_a_wait_that_an_ack_has_ended_does_not_end_the_next_one(reader: Reader) -> None:
    reader.timer.seconds = 0.05
    seqs = [await hear(reader, 0, str(number)) for number in range(4)]
    reader.ack(seqs[0])
    reader.ack(seqs[1])
    reader.timer.seconds = 0
    reader.ack(seqs[2])
    reader.timer.seconds = 60
    reader.ack(seqs[3])
    await asyncio.sleep(0.1)
    assert not reader.acks.idle
    assert (await reader.store.view(reader.user.id, reader.pairs[0])).delivered == 3
    reader.acks.flush()
    assert await reader.delivered() == [4, 0, 0]


async def test_what_waits_when_the_connection_ends_is_raised_at_once(reader: Reader) -> None:
    reader.timer.seconds = 60
    seqs = [await hear(reader, 0, str(number)) for number in range(3)]
    for seq in seqs[:2]:
        reader.ack(seq)
    reader.acks.flush()
    reader.acks.flush()
    assert await reader.delivered() == [2, 0, 0], "what was acked, and no more"
    assert reader.db.marks == 2


def _note(told: list[int], seq: int, error: ApiError) -> None:
    assert error.code == "overloaded"
    told.append(seq)


@pytest.mark.parametrize("mood", ["full", "failing"])
async def test_of_acks_that_wait_together_the_newest_is_told_of_a_failure(reader: Reader, mood: str) -> None:
    reader.timer.seconds = 60
    seqs = [await hear(reader, 0, str(number)) for number in range(4)]
    told: list[int] = []
    reader.ack(seqs[0])
    assert await reader.delivered() == [1, 0, 0]
    setattr(reader.db, mood, True)
    for seq in seqs[1:3]:
        reader.acks.ack(seq, partial(_note, told, seq))
    reader.acks.flush()
    assert await reader.delivered() == [1, 0, 0]
    assert told == [seqs[2]]
    setattr(reader.db, mood, False)
    reader.ack(seqs[3])
    reader.acks.flush()
    assert await reader.delivered() == [4, 0, 0]


async def test_what_waits_is_raised_though_a_look_at_the_log_ends_meanwhile(reader: Reader) -> None:
    seqs = [await hear(reader, 0, str(number)) for number in range(3)]
    reader.db.failing = True
    reader.ack(seqs[0])
    assert await reader.delivered() == [0, 0, 0]
    reader.db.failing = False
    reader.db.gate.clear()
    reader.timer.seconds = 0
    reader.ack(seqs[1])
    reader.timer.seconds = 0.4
    reader.ack(seqs[2])
    await asyncio.sleep(0.2)
    reader.db.gate.set()
    assert await reader.delivered() == [3, 0, 0]


async def test_acks_kept_in_memory_are_forgotten_when_the_store_may_have_gone_back(reader: Reader) -> None:
    """They may be of events that are gone: the seqs come again, and must be looked at again."""
    store, caller = reader.store, Caller(reader.user.id, 1)
    kept, _ = await store.log_span(reader.user.id)
    await store.send(
        reader.pairs[0], reader.pairs[0].side_of(reader.pairs[0].peer_of(reader.user.id)), "lost"
    )
    lost, _ = await store.log_span(reader.user.id)
    await reader.receipts.ack(caller, lost)

    def rewind(tx: Tx) -> None:
        tx.run("DELETE FROM events WHERE user_id = :user AND seq > :kept", user=reader.user.id, kept=kept)
        tx.run("UPDATE logs SET last_seq = :kept WHERE user_id = :user", user=reader.user.id, kept=kept)

    await store.db.write(rewind)
    Publisher(LocalBus(), Hub(), reader.receipts.forget).in_doubt()
    pair = reader.pairs[1]
    await store.send(pair, pair.side_of(pair.peer_of(reader.user.id)), "new")
    assert await store.log_span(reader.user.id) == (lost, 0)
    await reader.receipts.ack(caller, lost)
    assert (await store.view(reader.user.id, pair)).delivered == 1


async def test_positions_that_are_acked_in_a_burst_are_looked_up_one_at_a_time(reader: Reader) -> None:
    last, _ = await reader.store.log_span(reader.user.id)
    checked: list[ApiError | None] = []
    before = reader.db.reads
    reader.db.gate.clear()
    reader.acks.check(Position(last), checked.append)
    async with asyncio.timeout(PATIENCE):
        while reader.db.reads == before:
            await asyncio.sleep(0.005)
        for _ in range(50):
            reader.acks.check(Position(last), checked.append)
        reader.db.gate.set()
        while not reader.acks.idle:
            await asyncio.sleep(0.005)
    assert checked == [None, None], "the first, and the last for all that came meanwhile"
    assert reader.db.reads == before + 2
