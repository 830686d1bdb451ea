"""Acks of what only the log knows."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from duologue.core.acks import Acks, Waiting
from duologue.core.receipts import Receipts
from duologue.core.sessions import Caller
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

    acks = Acks(cast("Receipts", log), Waiting(), Caller(1, 1), spawn, unknown=10)
    acks.ack(3, failed)
    await asyncio.sleep(0)
    acks.ack(later, failed)
    log.go.set()
    await asyncio.gather(*tasks)
    assert log.asked == [3, later]
    assert len(tasks) == 1
