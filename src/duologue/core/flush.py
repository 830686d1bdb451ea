"""Writing down, now and then, what isn't worth a write of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from duologue.errors import ApiError

_log = logging.getLogger(__name__)

Flush = Callable[[], Awaitable[None]]


async def flush_forever(every: float, *flushes: Flush) -> None:
    """The background loop: `every` is in seconds."""
    while True:
        await asyncio.sleep(every)
        await flush_once(*flushes)


async def flush_once(*flushes: Flush) -> None:
    """Run each; what the store refuses now is lost, which is harmless by each one's own promise."""
    for flush in flushes:
        try:
            await flush()
        except ApiError as fault:
            _log.warning("not written down: %s", fault)
