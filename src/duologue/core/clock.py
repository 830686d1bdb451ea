"""The watch over a node's clock: against the wall clock, the store's own clock, and what the store has seen."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from duologue.clock import SteadyClock
from duologue.core.jobs import LEASE
from duologue.errors import ApiError
from duologue.storage.database import Database
from duologue.storage.tables import clock as store

_log = logging.getLogger(__name__)

_EVERY: Final = 1.0
"""Seconds between two looks at the wall clock."""
_LOOKS_PER_NOTE: Final = 60
"""Looks from one note in the store to the next."""


class ClockWatch:
    """The background loop that keeps a `SteadyClock` and notes in the store how far it is.

    `alarm_delay` (ms) is how long an alarm waits at most.
    """

    def __init__(self, db: Database, clock: SteadyClock, alarm_delay: int) -> None:
        self._db = db
        self._clock = clock
        self._alarm_delay = alarm_delay

    async def start(self) -> None:
        """Compare the clock with the store; to be called once, before anything relies on it.

        A store that doesn't answer is no reason not to start: the clock is compared with nothing then.
        """
        try:
            self._clock.start(await self._left(), await self._db.time())
        except ApiError as fault:
            _log.warning("the clock is not compared with the store: %s", fault)
        await self._try_note()

    async def _left(self) -> int:
        """The settled time (epoch ms) at which the store was left."""
        settled = await self._db.directory().read(store.settled_time)
        if settled is None:
            # The first start with this table. A use in the future is the trace of a wrong clock, nothing to go by.
            uses = [await shard.read(store.newest_use) for shard in self._db.every_shard()]
            settled = min(max((use for use in uses if use is not None), default=self._clock()), self._clock())
        return settled

    async def run(self) -> None:
        """The loop itself."""
        while True:
            for _ in range(_LOOKS_PER_NOTE):
                await asyncio.sleep(_EVERY)
                self._clock.look()
            await self._try_note()

    async def _try_note(self) -> None:
        try:
            await self.note()
        except ApiError as fault:
            _log.warning("the time is not noted: %s", fault)
        except Exception:  # noqa: BLE001 - whatever it is, somebody must go on looking at the clock
            _log.exception("the time could not be noted")

    async def note(self) -> None:
        """Ask for the store's own time, note ours, and mend what a wrong clock has left. Raises `ApiError`."""
        if (told := await self._db.time()) is not None:
            self._clock.compare(told)
        now = self._clock()
        await self._db.directory().write(store.note_settled, self._clock.settled())
        mended = 0
        for shard in self._db.every_shard():
            mended += await shard.write(store.mend_future, now, self._alarm_delay, LEASE)
        if mended:
            _log.warning("%d rows waited for a time that a wrong clock had set; they are due now", mended)
