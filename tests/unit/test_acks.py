"""Acks of what only the log knows."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from duologue.core.acks import Acks, AckTimer
from duologue.core.receipts import Receipts
from duologue.core.sessions import Caller
from duologue.core.tasks import Tasks
from duologue.errors import ApiError

pytestmark = pytest.mark.anyio


class Log:
    """Notes what is looked up, and takes its time."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.go = asyncio.Event()

    async def ack(self, _: Caller, seq: int) -> None:
        self.asked.append(seq)
        await self.go.wait()

    def note_ack(self, user_id: int, seq: int) -> None:
        pass


@pytest.mark.parametrize("later", [5, 10, 12])
async def test_an_ack_that_comes_while_the_log_is_looked_at_is_looked_up_too(later: int) -> None:
    log, tasks = Log(), []

    def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    def failed(error: ApiError) -> None:
        raise error

    acks = Acks(cast("Receipts", log), AckTimer(lambda: False), Caller(1, 1), spawn, unknown=10)
    acks.ack(3, failed)
    await asyncio.sleep(0)
    acks.ack(later, failed)
    log.go.set()
    await asyncio.gather(*tasks)
    assert log.asked == [3, later]
    assert len(tasks) == 1


async def test_all_that_are_held_are_called_together() -> None:
    timers, called = AckTimer(lambda: True), []
    for number in range(5):
        timers.hold(lambda number=number: called.append(number))  # type: ignore[misc]
        assert called == []
    async with asyncio.timeout(10):
        while not called:
            await asyncio.sleep(0.001)
    assert called == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("crowded", [True, False])
def test_acks_wait_for_others_only_while_many_chats_are_written_to(*, crowded: bool) -> None:
    assert AckTimer(lambda: crowded).holds(100.0) is crowded


def test_so_many_acks_that_each_chat_has_several_wait_for_their_own_connection_alone() -> None:
    timers = AckTimer(lambda: True)
    assert all(timers.holds(100.0 + number / 3_000) for number in range(600))
    assert not any(timers.holds(100.26 + number / 3_000) for number in range(600))


def test_after_a_pause_acks_wait_for_others_again() -> None:
    timers = AckTimer(lambda: True)
    for number in range(600):
        timers.holds(100.0 + number / 3_000)
    assert timers.holds(101.0)


async def test_what_an_ended_connection_has_acked_is_still_looked_up() -> None:
    log, outliving = Log(), Tasks()

    def ended(_: Coroutine[Any, Any, None]) -> None:
        raise AssertionError("the connection has ended")

    def failed(error: ApiError) -> None:
        raise error

    timer = AckTimer(lambda: True, held=3600)
    acks = Acks(cast("Receipts", log), timer, Caller(1, 1), ended, unknown=10, outlive=outliving.start)
    acks.ack(3, failed)
    acks.flush()
    log.go.set()
    await outliving.ended()
    assert log.asked == [3]
    assert acks.idle
