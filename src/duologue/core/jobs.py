"""Workers: the jobs of a queue are leased, done outside of any transaction, and settled.

Whatever dies in between is taken up again once its lease is over, by whichever node.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

import msgspec

from duologue.clock import MINUTE, SECOND, Clock
from duologue.core.rounds import TROUBLE, Rounds
from duologue.core.tasks import Tasks
from duologue.errors import ApiError
from duologue.storage.database import Shard, Tx

J = TypeVar("J")
R = TypeVar("R")
T = TypeVar("T")

_log = logging.getLogger(__name__)

LEASE: Final = 2 * MINUTE
"""Longer than any job takes: one under way mustn't be taken up by another node."""
_FIRST_RETRY: Final = 5 * SECOND
_LONGEST_RETRY: Final = 10 * MINUTE
_JITTER: Final = 1.25  # times as long, at most


def retry_at(attempts: int, now: int, at_least: int = 0) -> int:
    """Return when (epoch ms) to try a job again that has failed at so many attempts.

    The wait doubles with each, up to ten minutes, and is `at_least` so many milliseconds. Up to a quarter of it is
    added, so that what failed together doesn't come back together.
    """
    doubled: int = _FIRST_RETRY * 2 ** min(attempts - 1, 10)
    wait = max(min(doubled, _LONGEST_RETRY), at_least)
    return now + round(wait * random.uniform(1, _JITTER))  # noqa: S311 - jitter


class Taken(msgspec.Struct, Generic[J], frozen=True):
    """Jobs to be done now."""

    jobs: list[J]
    more: bool
    """True if there may be more to take at once."""


class Worker(Generic[J]):
    """Does a queue's jobs, so many `at_once`, on behalf of all nodes together.

    `take` is a storage function of the time and of a number: it leases at most so many jobs for `LEASE` and decides
    what is to be done about each. `do` does one, and has it settled in the shard that it is from. `unsettled` is the
    log line for what can't be settled yet.
    """

    def __init__(
        self,
        clock: Clock,
        take: Callable[[Tx, int, int], Taken[J]],
        do: Callable[[Shard, J], Coroutine[Any, Any, None]],
        *,
        at_once: int,
        unsettled: str,
    ) -> None:
        self._clock = clock
        self._take = take
        self._do = do
        self._at_once = at_once
        self._unsettled = unsettled
        self._doing = Tasks()

    async def begin(self, shard: Shard, rounds: Rounds) -> None:
        """Begin all jobs that a shard has, as far as there is room. Raises `ApiError` `overloaded`.

        The end of each wakes the `rounds`: what stands behind it in its key may go.
        """
        while not rounds.stopped and (room := self._at_once - len(self._doing)) > 0:
            taken = await shard.write(self._take, self._clock(), room)
            for job in taken.jobs:
                self._doing.start(self._do(shard, job), rounds.wake)
            if not taken.more:
                return

    async def settle(self, shard: Shard, work: Callable[[Tx, J, T, int], R], job: J, result: T) -> R:
        """Store the result of a job where it was taken; retry until it is stored, or it would be done twice."""
        while True:
            try:
                return await shard.write(work, job, result, self._clock())
            except ApiError as fault:
                _log.warning("%s: %s", self._unsettled, fault)
            except Exception as fault:  # noqa: BLE001 - once the lease is over it would be done again, and again
                _log.error(self._unsettled, exc_info=fault)
            await asyncio.sleep(TROUBLE)

    async def ended(self) -> None:
        """Wait until what is being done has come to its end. Cancelled, it cancels that."""
        await self._doing.ended()
