"""Time, in one place: epoch milliseconds inside, RFC 3339 UTC on the wire, and a clock that doesn't follow jumps."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

Clock = Callable[[], int]
"""Function that returns a time: the wall clock's in milliseconds since the Unix epoch, if nothing else is said."""

_log = logging.getLogger(__name__)

SECOND = 1_000  # milliseconds, as the following ones
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SLACK: Final = MINUTE
"""Milliseconds by which a stored time may lie in the future and still be believed: the clocks of two nodes differ."""
_STEP: Final = 5 * SECOND
"""Milliseconds that the wall clock may be set by: it is followed at once."""
HOLD: Final = 10 * MINUTE
"""Milliseconds for which a jump of the wall clock must last to be followed."""
DOUBT: Final = HOUR
"""Milliseconds for which nothing is deleted because of its age, after time has moved forward in a jump."""
PLAUSIBLE: Final = 7 * DAY
"""Milliseconds for which a server may have been off, and its clock at the start is believed without doubt."""
_CATCHING_UP: Final = 24
"""Milliseconds by which the settled time moves in one millisecond, at most: a day an hour."""
_BOOT_TIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock that also goes on while the machine sleeps, where the system has one. It takes long to read."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
).fullmatch


def now_ms() -> int:
    """The wall clock in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Milliseconds since some moment before this process started. Nobody can set this clock."""
    return time.monotonic_ns() // 1_000_000


def slept_ms() -> int:
    """Milliseconds that the machine has slept, in which the steady clock stood still."""
    return (time.clock_gettime_ns(_BOOT_TIME) - time.monotonic_ns()) // 1_000_000


class _Jump(NamedTuple):
    """A wall clock that is `ahead` (ms) of our time since `since` (steady ms)."""

    ahead: int
    since: int


class SteadyClock:
    """The time of a node in epoch ms: the wall clock's, but a jump of that is not followed before it has lasted.

    Between two calls of `look` time passes as the steady clock does, so no reading ever sees a jump. A jump is
    followed once the wall clock has kept the new time for `HOLD`, or at once when a witness confirms it: the store's
    own clock, or the time in the store when the node started.

    `settled` is the time by which what is irreversible is judged. It is never later than the clock. After a jump it
    passes no faster than usual for `DOUBT`, and then by a day an hour until it has caught up.

    Any thread may read it; `look` and the others belong to one.
    """

    def __init__(
        self, wall: Clock = now_ms, steady_ns: Clock = time.monotonic_ns, slept: Clock = slept_ms
    ) -> None:
        self._wall = wall
        self._steady_ns = steady_ns
        self._slept = slept
        self._slept_before = slept()
        self._looked_at = self._steady()
        self._ahead = wall() - self._looked_at
        self._settled = wall()
        self._jump: _Jump | None = None
        self._moved = 0
        self._doubted_until = self._looked_at
        self._anchor: int | None = None
        """The `_ahead` that was last known to be right, give or take what a server may have been off."""
        self._store_ahead = 0

    def __call__(self) -> int:
        # Read several times for each message, so without a further call.
        return self._steady_ns() // 1_000_000 + self._ahead

    def _steady(self) -> int:
        return self._steady_ns() // 1_000_000

    def settled(self) -> int:
        """The time by which ages are judged that make something end for good."""
        steady = self._steady()
        return min(steady + self._ahead, self._settled + steady - self._looked_at)

    def start(self, settled: int, store: int | None = None) -> None:
        """Begin where the store was left: `settled` is what `settled()` was then, `store` the time of its own clock.

        A wall clock that is behind the store is not believed. One that is far ahead is believed, but doubted; if the
        store's own clock (None: it has none) contradicts it, that one is believed instead.
        """
        self._looked_at = self._steady()
        self._anchor = settled - self._looked_at
        believed = wall = self._wall()
        if store is not None and not self._is_plausible(wall) and self._is_plausible(store):
            believed = store
        elif wall < settled - SLACK:
            believed = settled
        self._ahead = believed - self._looked_at
        self._settled = min(settled, believed)
        if not self._is_plausible(believed):
            self._doubt(believed - settled)
        self.look()

    def _is_plausible(self, time: int) -> bool:
        """Return whether a time may follow the last known one, if the server was off for a while at the most."""
        return self._anchor is not None and -SLACK <= time - self._steady() - self._anchor <= PLAUSIBLE

    def look(self) -> None:
        """Compare with the wall clock; to be called every second."""
        self._wake(self._slept())
        steady, wall = self._steady(), self._wall()
        self._settle(steady)
        ahead = wall - steady - self._ahead
        if abs(ahead) <= _STEP:
            self._agree(ahead)
        elif self._jump is None or abs(ahead - self._jump.ahead) > _STEP:
            self._jump = _Jump(ahead, steady)
            _log.error("the clock has jumped %s; it is not followed unless that lasts", _shift(ahead))
        if self._jump and self._is_plausible(wall) and not self._is_plausible(self()):
            self._follow()
        elif self._jump and steady - self._jump.since >= HOLD:
            moved = self._follow()
            self._doubt(moved)

    def _wake(self, slept: int) -> None:
        """Let the time pass that the machine has slept."""
        asleep = slept - self._slept_before
        self._slept_before = slept
        self._ahead += asleep
        if self._anchor is not None:
            self._anchor += asleep

    def _agree(self, ahead: int) -> None:
        """Follow a wall clock that is as good as right."""
        self._ahead += ahead
        if self._jump:
            self._jump = None
            _log.warning("the clock is right again")
        if not self.doubtful and not self._is_plausible(self()):
            self._anchor = self._ahead

    def _settle(self, steady: int) -> None:
        """Let the settled time pass."""
        rate = 1 if self.doubtful else _CATCHING_UP
        self._settled = min(steady + self._ahead, self._settled + rate * (steady - self._looked_at))
        self._looked_at = steady

    def _doubt(self, moved: int) -> None:
        self._moved = moved
        self._doubted_until = self._looked_at + DOUBT
        _log.warning("nothing ends because of its age for an hour: the clock has moved %s", _shift(moved))

    def _follow(self) -> int:
        """Take the wall clock's time for the right one; by how much (ms) that moves ours."""
        assert self._jump
        moved = self._jump.ahead
        _log.warning("the clock is followed, which has moved %s", _shift(moved))
        self._ahead += moved
        self._settled = min(self._settled, self._looked_at + self._ahead)
        self._jump = None
        self._doubted_until = self._looked_at
        return moved

    def compare(self, store: int) -> None:
        """Hear the store's own clock (epoch ms), which all nodes share. To be called every minute, after `look`."""
        before, self._store_ahead = self._store_ahead, store - self()
        if self._jump and abs(self._store_ahead - self._jump.ahead) <= _STEP:
            self._store_ahead = 0
            self._follow()
        elif self._jump and abs(self._store_ahead) <= SLACK:
            self._jump = self._jump._replace(since=self._looked_at)
        elif abs(before) <= SLACK < abs(self._store_ahead):
            _log.error("the store's clock is %s of this machine's", _shift(self._store_ahead))

    @property
    def doubtful(self) -> bool:
        """True while nothing may end because of its age."""
        return self._looked_at < self._doubted_until or abs(self._store_ahead) > SLACK

    @property
    def amiss(self) -> str:
        """A sentence about what is wrong with the clock; empty if nothing is."""
        if self._jump:
            return f"The clock has jumped {_shift(self._jump.ahead)}: it isn't followed unless that lasts."
        if abs(self._store_ahead) > SLACK:
            return f"The store's clock is {_shift(self._store_ahead)} of this machine's."
        if self.doubtful:
            return f"The clock has moved {_shift(self._moved)}: nothing ends because of its age for an hour."
        return ""


def _shift(ms: int) -> str:
    return f"{span(abs(ms))} {'ahead' if ms > 0 else 'back'}"


def span(ms: int) -> str:
    """A length of time to read: `40 days`, `3.5 hours`, `12 s`."""
    for unit, name in ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
        if ms >= unit:
            return f"{ms / unit:.3g} {name}"
    return f"{ms / SECOND:.3g} s"


@lru_cache(maxsize=64)
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=256)
def rfc3339(ms: int) -> str:
    """`ms` in UTC as RFC 3339 with milliseconds: `2026-11-23T09:30:00.123Z`."""
    second, fraction = divmod(ms, SECOND)
    return f"{_to_the_second(second)}.{fraction:03d}Z"


def from_rfc3339(text: str) -> int:
    """The milliseconds since the Unix epoch of an RFC 3339 time with an offset; smaller parts are cut off.

    Raises `ValueError` for anything else, and for a time without an offset.
    """
    if not _RFC3339(text):
        raise ValueError("is not a time as RFC 3339 writes it, e.g. 2026-11-23T09:30:00.123Z")
    return (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(milliseconds=1)
