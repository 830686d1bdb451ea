"""Time, in one place: epoch milliseconds inside, RFC 3339 UTC on the wire."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Clock = Callable[[], int]
"""Anything that tells the wall clock in milliseconds since the Unix epoch."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def now_ms() -> int:
    """The wall clock in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=64)
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=256)
def rfc3339(ms: int) -> str:
    """`ms` in UTC as RFC 3339 with milliseconds: `2026-11-23T09:30:00.123Z`."""
    second, fraction = divmod(ms, SECOND)
    return f"{_to_the_second(second)}.{fraction:03d}Z"


def from_rfc3339(text: str) -> int:
    """The milliseconds since the Unix epoch of an RFC 3339 time with an offset.

    Raises `ValueError` for anything else, and for a time without an offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, e.g. a final Z")
    return round(moment.timestamp() * SECOND)
