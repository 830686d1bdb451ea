"""Times at which queued output is written: at the end of a turn, or a little later."""

from __future__ import annotations

import asyncio

import pytest

from duologue.socket.write_scheduler import LATE, WriteScheduler

pytestmark = pytest.mark.anyio


class Queue:
    """An output that notes what is asked of it."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.flushed = 0
        self.aborted = False

    def flush(self) -> None:
        self.flushed += 1
        if self.fault:
            raise self.fault

    def abort(self) -> None:
        self.aborted = True


async def test_all_are_flushed_in_the_next_turn() -> None:
    turn, queues = WriteScheduler(), [Queue() for _ in range(5)]
    for queue in queues:
        turn.add(queue)
    assert [queue.flushed for queue in queues] == [0] * 5
    await asyncio.sleep(0)
    assert [queue.flushed for queue in queues] == [1] * 5
    turn.add(queues[0])
    await asyncio.sleep(0)
    assert queues[0].flushed == 2


async def test_what_may_be_late_is_not_forgotten() -> None:
    turn, queue = WriteScheduler(), Queue()
    turn.add_late(queue)
    flushed = []
    for pause in (0, LATE * 3):
        await asyncio.sleep(pause)
        flushed.append(queue.flushed)
    assert flushed == [0, 1]
    turn.add_late(queue)
    await asyncio.sleep(LATE * 3)
    flushed.append(queue.flushed)
    assert flushed == [0, 1, 2]


async def test_one_that_fails_is_given_up_and_holds_up_no_other() -> None:
    turn, broken, sound = WriteScheduler(), Queue(OSError("no more")), Queue()
    turn.add(broken)
    turn.add(sound)
    await asyncio.sleep(0)
    assert (broken.aborted, sound.flushed, sound.aborted) == (True, 1, False)
