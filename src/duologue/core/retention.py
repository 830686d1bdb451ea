"""Retention: trimming the event logs at their old end, in steps so small that no writer notices."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from duologue.clock import Clock
from duologue.errors import ApiError
from duologue.storage.database import Database
from duologue.storage.events import trim_logs

_log = logging.getLogger(__name__)

_BETWEEN_STEPS: Final = 0.05
_BETWEEN_ROUNDS: Final = 3600.0


async def trim_round(db: Database, clock: Clock, retention_ms: int) -> int:
    """Go once over all logs; how many events went. A log far behind takes several rounds."""
    user: int | None = 0
    dropped = 0
    while user is not None:
        user, gone = await db.write(trim_logs, user, clock() - retention_ms)
        dropped += gone
        await asyncio.sleep(_BETWEEN_STEPS)
    return dropped


async def trim_forever(db: Database, clock: Clock, retention_ms: int) -> None:
    """The background loop: rounds follow each other at once while there is something to drop, else hourly."""
    while True:
        try:
            dropped = await trim_round(db, clock, retention_ms)
        except ApiError as fault:
            _log.warning("retention waits: %s", fault)
            dropped = 0
        if dropped:
            _log.info("%d events were older than the retention", dropped)
        else:
            await asyncio.sleep(_BETWEEN_ROUNDS)
