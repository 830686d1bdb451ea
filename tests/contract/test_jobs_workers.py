"""Workers of a durable queue: several nodes, nodes that die, and what can't be settled at once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duologue.core import jobs as workers
from duologue.core.jobs import LEASE, Taken, Worker
from duologue.core.rounds import Rounds
from duologue.errors import ApiError
from duologue.storage.database import Shard, Tx
from duologue.storage.tables import jobs
from tests.support.letters import DONE, LETTERS, Letter, Letters, names

pytestmark = pytest.mark.anyio

PATIENCE = 10.0  # seconds


class Desk:
    """A node's worker, and what it did."""

    def __init__(self, letters: Letters, at_once: int = 8) -> None:
        self.letters = letters
        self.done: list[str] = []
        self.before: Callable[[Letter], Awaitable[None]] | None = None
        self.worker = Worker(letters.clock, take, self.do, at_once=at_once, unsettled="it can't be settled")
        self.rounds = Rounds(self.round, waits="letters wait", fails="letters failed")

    async def round(self) -> None:
        self.rounds.begin()
        await self.worker.begin(self.letters.db, self.rounds)

    async def do(self, shard: Shard, letter: Letter) -> None:
        if self.before:
            await self.before(letter)
        self.done += names([letter])
        await self.worker.settle(shard, settle, letter, DONE)

    async def work(self) -> None:
        """Do all that there is to do."""
        while True:
            await self.round()
            await self.worker.ended()
            await asyncio.sleep(0)
            if not self.rounds.woken:
                return


def take(tx: Tx, now: int, limit: int) -> Taken[Letter]:
    leased = jobs.lease(tx, LETTERS, now, now + LEASE, limit)
    return Taken(leased, len(leased) == limit)


def settle(tx: Tx, letter: Letter, state: int, now: int) -> bool:
    return jobs.end(tx, LETTERS, letter, state, "", now)


async def test_two_nodes_do_each_job_once_and_in_order(letters: Letters, elsewhere: Letters) -> None:
    await letters.add(*(f"{target}{seq}" for seq in range(1, 7) for target in "abcdef"))
    done: list[str] = []
    desks = [Desk(letters), Desk(elsewhere)]

    async def take_a_while(_: Letter) -> None:
        await asyncio.sleep(random.uniform(0, 0.01))

    for desk in desks:
        desk.done, desk.before = done, take_a_while
    for _ in range(3):
        await asyncio.gather(*(desk.work() for desk in desks))
    assert Counter(done).most_common(1)[0][1] == 1
    for target in "abcdef":
        assert [name for name in done if name[0] == target] == [f"{target}{seq}" for seq in range(1, 7)]
    assert set((await letters.states()).values()) == {DONE}


async def test_a_node_that_dies_leaves_its_jobs_to_another(letters: Letters, elsewhere: Letters) -> None:
    await letters.add("a1", "a2")
    dying, other = Desk(letters), Desk(elsewhere)
    begun: list[asyncio.Task[Any]] = []

    async def hang(_: Letter) -> None:
        begun.extend(filter(None, [asyncio.current_task()]))
        await asyncio.Event().wait()

    dying.before = hang
    await dying.round()
    async with asyncio.timeout(PATIENCE):
        while not begun:
            await asyncio.sleep(0.001)
    for task in begun:
        task.cancel()
    await dying.worker.ended()
    await other.work()
    assert other.done == []
    letters.clock.pass_by(LEASE)
    await other.work()
    assert (dying.done, other.done) == ([], ["a1", "a2"])


async def test_no_more_jobs_are_under_way_than_may_be(letters: Letters) -> None:
    await letters.add(*(f"{target}1" for target in "abcdef"))
    desk, go, under_way = Desk(letters, at_once=2), asyncio.Event(), 0

    async def count(_: Letter) -> None:
        nonlocal under_way
        under_way += 1
        assert under_way <= 2
        await go.wait()
        under_way -= 1

    desk.before = count
    await desk.round()
    go.set()
    await desk.work()
    assert sorted(desk.done) == [f"{target}1" for target in "abcdef"]


async def test_what_came_of_a_job_is_stored_however_often_that_fails(
    letters: Letters, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "TROUBLE", 0.01)
    await letters.add("a1")
    [letter] = await letters.lease()
    faults = [ApiError("overloaded"), ZeroDivisionError()]

    def fail_first(tx: Tx, letter: Letter, state: int, now: int) -> bool:
        if faults:
            raise faults.pop(0)
        return settle(tx, letter, state, now)

    assert await Desk(letters).worker.settle(letters.db, fail_first, letter, DONE)
    assert await letters.states() == {"a1": DONE}
    assert caplog.text.count("it can't be settled") == 2


async def test_a_worker_that_is_told_to_stop_begins_nothing_and_ends_what_it_does(letters: Letters) -> None:
    await letters.add("a1", "a2")
    desk, go = Desk(letters), asyncio.Event()

    async def wait(_: Letter) -> None:
        await go.wait()

    desk.before = wait
    await desk.round()
    desk.rounds.stop()
    go.set()
    await desk.work()
    assert desk.done == ["a1"]
    assert await letters.states() == {"a1": DONE, "a2": jobs.QUEUED}
