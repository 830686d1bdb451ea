"""Retention in seconds: old events are dropped from the logs during a run, by the server's own storage functions.

The retention of a node is counted in days. So this does what one more node would do, with its own connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from duologue.clock import SECOND, now_ms, rfc3339
from duologue.model import Event
from duologue.storage.engine.engines import make_database
from duologue.storage.tables.events import trim_logs
from duologue_lab.torture.history import TrimmedEntry
from duologue_lab.torture.world import World

_ROUNDS: Final = 4
"""Rounds in the time that an event is kept."""
_WITHIN: Final = 20.0
"""Seconds for one round: a store that is locked or halted for longer is left alone."""


class _Deaf:
    """A listener that nobody follows."""

    def committed(self, events: Sequence[Event]) -> None:
        """Nobody is to be told."""

    def in_doubt(self) -> None:
        """Nobody is to be told."""


async def trim_for_ever(world: World, database_url: str, retention: float) -> None:
    """Drop events that are older than so many seconds; until cancelled."""
    logging.getLogger("duologue").setLevel(logging.CRITICAL)
    while True:
        await asyncio.sleep(retention / _ROUNDS)
        # What fails in an outage is tried again in the next round.
        with contextlib.suppress(Exception):
            async with world.store, asyncio.timeout(_WITHIN):
                await _trim(world, database_url, retention)


async def _trim(world: World, database_url: str, retention: float) -> None:
    cutoff = now_ms() - round(retention * SECOND)
    world.history.add(TrimmedEntry(rfc3339(cutoff)))
    database = make_database(database_url, now_ms)
    await database.open(_Deaf())
    try:
        for shard in database.every_shard():
            user: int | None = 0
            while user is not None:
                user, _ = await shard.write(trim_logs, user, cutoff)
    finally:
        await database.close()
