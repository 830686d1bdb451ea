"""The writer: what waits for a commit, for how long, and in which order it is committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial

import pytest

from duologue.model import Event
from duologue.storage.database import Mark, Marked, Unit, settle
from duologue.storage.engine.crowd import MANY, WITHIN, Crowd
from duologue.storage.engine.writer import FULL, WINDOW, Writer

pytestmark = pytest.mark.anyio

_PATIENCE = 10.0  # seconds
_FOR_EVER = 3600.0  # seconds


class Listener:
    """Hears of nothing."""

    def committed(self, _: Sequence[Event]) -> None:
        raise AssertionError("there was no event")

    def in_doubt(self) -> None:
        raise AssertionError("nothing was in doubt")


class Commits:
    """The batches that were committed: when each began, and the chats in it."""

    def __init__(self) -> None:
        self.began_at: list[float] = []
        self.chats: list[list[int]] = []

    def __call__(self, units: Sequence[Unit]) -> Sequence[Event]:
        self.began_at.append(time.monotonic())
        self.chats.append([unit.work.chat_id for unit in units])
        for unit in units:
            unit.result = Marked(changed=True)
        return ()


@asynccontextmanager
async def writing(commits: Commits, window: float = WINDOW) -> AsyncIterator[Writer]:
    writer = Writer("test", commits, capacity=10_000, batch_limit=1000, order=nullcontext(), window=window)
    writer.start(asyncio.get_running_loop(), Listener())
    yield writer
    await asyncio.wait_for(writer.close(), _PATIENCE)


def queue(writer: Writer, chat: int) -> asyncio.Future[Marked]:
    future: asyncio.Future[Marked] = asyncio.get_running_loop().create_future()
    writer.submit(Unit(Mark(chat, 1, 2, 0, 1, 0), partial(settle, future)))
    return future


async def answered(*futures: asyncio.Future[Marked]) -> None:
    await asyncio.wait_for(asyncio.gather(*futures), _PATIENCE)


async def crowd(writer: Writer) -> None:
    """So many chats are written to that there is a crowd."""
    await answered(*(queue(writer, chat) for chat in range(MANY)))
    assert writer.is_crowded


async def test_a_few_senders_wait_for_nobody() -> None:
    async with writing(Commits(), window=_FOR_EVER) as writer:
        for number in range(200):
            await answered(queue(writer, number % (MANY - 1)))
        assert not writer.is_crowded


async def test_in_a_crowd_small_commits_start_a_window_apart() -> None:
    commits = Commits()
    async with writing(commits) as writer:
        await crowd(writer)
        for _ in range(20):
            await answered(*(queue(writer, chat) for chat in range(5)))
    apart = [later - earlier for earlier, later in zip(commits.began_at, commits.began_at[1:], strict=False)]
    assert min(apart) >= WINDOW


async def test_so_many_operations_that_a_commit_pays_end_the_wait() -> None:
    commits = Commits()
    async with writing(commits, window=_FOR_EVER) as writer:
        await crowd(writer)
        begun = [queue(writer, chat) for chat in range(FULL - 1)]
        await asyncio.sleep(3 * WINDOW)
        assert not any(future.done() for future in begun)
        await answered(queue(writer, FULL), *begun)
    assert commits.chats[-1] == [*range(FULL - 1), FULL]


async def test_a_close_waits_for_no_window() -> None:
    commits = Commits()
    async with writing(commits, window=_FOR_EVER) as writer:
        await crowd(writer)
        last = queue(writer, 7)
    await answered(last)
    assert commits.chats[-1] == [7]


async def test_what_waits_counts_towards_the_queues_bound() -> None:
    async with writing(Commits(), window=_FOR_EVER) as writer:
        await crowd(writer)
        before = writer.queued
        futures = [queue(writer, chat) for chat in range(FULL - 1)]
        assert writer.queued == before + FULL - 1
    await answered(*futures)


async def test_operations_are_committed_in_the_order_in_which_they_came() -> None:
    commits = Commits()
    async with writing(commits) as writer:
        await crowd(writer)
        del commits.chats[:]
        futures = []
        for number in range(500):
            futures.append(queue(writer, number))
            if number % 7 == 0:
                await asyncio.sleep(0.001)
        await answered(*futures)
    assert [chat for batch in commits.chats for chat in batch] == list(range(500))


def units(chats: Sequence[int]) -> list[Unit]:
    return [Unit(Mark(chat, 1, 2, 0, 1, 0), None) for chat in chats]


@pytest.mark.parametrize(
    ("chats", "is_there"), [(range(MANY - 1), False), (range(MANY), True), ([1] * 500, False)]
)
def test_a_crowd_is_many_chats_not_many_writes(chats: Sequence[int], *, is_there: bool) -> None:
    crowd = Crowd()
    crowd.note(units(chats), 100.0)
    assert crowd.is_there is is_there


def test_writes_that_concern_no_chat_make_no_crowd() -> None:
    crowd = Crowd()
    works: list[Callable[[], None]] = [lambda: None] * 100
    crowd.note([Unit(work, None) for work in works], 100.0)
    assert not crowd.is_there


def test_a_crowd_lasts_for_the_next_period_and_no_longer() -> None:
    crowd = Crowd()
    crowd.note(units(range(MANY)), 100.0)
    crowd.note(units([1]), 100.0 + 1.5 * WITHIN)
    assert crowd.is_there
    crowd.note(units([1]), 100.0 + 2.6 * WITHIN)
    assert not crowd.is_there


def test_a_crowd_of_long_ago_is_forgotten() -> None:
    crowd = Crowd()
    crowd.note(units(range(MANY)), 100.0)
    crowd.note(units([1]), 100.0 + 2 * WITHIN)
    assert not crowd.is_there
