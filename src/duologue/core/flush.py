"""Writing down, now and then, what isn't worth a write of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import islice
from typing import Final, TypeVar

from duologue.errors import ApiError

_log = logging.getLogger(__name__)

Flush = Callable[[], Awaitable[None]]
T = TypeVar("T")

_STEP: Final = 500


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


def in_steps(items: Mapping[int, T]) -> Iterator[dict[int, T]]:
    """What is to be written, in parts: in between come messages, which mustn't wait for all of it."""
    rest = iter(items.items())
    while part := dict(islice(rest, _STEP)):
        yield part
