"""Writing down, now and then, what isn't worth a write of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import islice
from typing import Final, TypeVar

from duologue.errors import ApiError

_log = logging.getLogger(__name__)

Flush = Callable[[float], Awaitable[None]]
"""Writes down what there is, with so many seconds between two parts of it."""
T = TypeVar("T")

_STEP: Final = 200  # items
_PAUSE: Final = 0.02  # seconds


async def flush_forever(every: float, *flushes: Flush) -> None:
    """The background loop: `every` is in seconds."""
    while True:
        await asyncio.sleep(every)
        await flush_once(*flushes, pause=_PAUSE)


async def flush_once(*flushes: Flush, pause: float = 0) -> None:
    """Run each once. A write that the store refuses now is lost: every flush here tolerates that."""
    for flush in flushes:
        try:
            await flush(pause)
        except ApiError as fault:
            _log.warning("not written down: %s", fault)


async def in_steps(items: dict[int, T], pause: float) -> AsyncIterator[dict[int, T]]:
    """Take what is there now, in parts: in between come messages, which mustn't wait for all of it."""
    for step in range(0, len(items), _STEP):
        if step and pause:
            await asyncio.sleep(pause)
        part = dict(islice(items.items(), _STEP))
        for key in part:
            del items[key]
        yield part
