"""Chores: what one request leaves to be done for many users, done in small steps with pauses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from duologue.clock import SECOND, Clock
from duologue.errors import ApiError
from duologue.storage.database import Database, Shard, Tx
from duologue.storage.tables import erasure, profile_news

_log = logging.getLogger(__name__)

_LOOK: Final = 1.0
"""Seconds between looks for what other nodes have left, or this one before it stopped."""
_PAUSE: Final = 0.05
"""Seconds between two steps, so that messages don't wait for all of them."""
_TROUBLE: Final = 5.0
"""Seconds until the next look after the store refused one."""


class Chores:
    """The background loop on every node that tells peers of profiles, and erases deleted users.

    What is to be done stands in the store, and each step moves it on in its own transaction: any node takes up what
    another one left.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something to do already."""
        self._woken.set()

    async def run(self) -> None:
        """The loop itself."""
        while True:
            self._woken.clear()
            try:
                seconds = await self.step()
            except ApiError as fault:
                _log.warning("chores wait: %s", fault)
                seconds = _TROUBLE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()

    async def step(self) -> float:
        """Take the steps that are due, then pause; seconds until the next look. Raises `ApiError` `overloaded`."""
        now = self._clock()
        return min([await self._step_in(shard, now) for shard in self._db.every_shard()])

    async def _step_in(self, shard: Shard, now: int) -> float:
        news_at, erasure_at = await shard.read(next_due)
        due = [at for at in (news_at, erasure_at) if at is not None]
        if not due or min(due) > now:
            return min([_LOOK, *((at - now) / SECOND for at in due)])
        if news_at is not None and news_at <= now:
            await _tell_news(shard, now)
        if erasure_at is not None and erasure_at <= now:
            await shard.write(erasure.erase_some, now)
        # Not cut short by `wake`: the pace is the same however much there is to do.
        await asyncio.sleep(_PAUSE)
        return 0


async def _tell_news(shard: Shard, now: int) -> None:
    for user_id, changes in await shard.read(profile_news.fresh_news, now):
        peers = await shard.read(profile_news.peers_to_tell, user_id)
        await shard.write(profile_news.begin_news, user_id, changes, peers)
    await shard.write(profile_news.tell_news, now)


def next_due(tx: Tx) -> tuple[int | None, int | None]:
    """Return the times of the next telling and the next erasure (epoch ms); None where there is nothing to do."""
    return profile_news.next_news(tx), erasure.next_erasure(tx)
