"""Callers that wait for the store: each gets an answer within seconds, even if the thread that works for it hangs."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from duologue.errors import overloaded
from duologue.storage.database import Unit

PATIENCE: Final = 5.0
"""Seconds that a caller waits for the store at most; then it is told `overloaded`."""
_SWEEP_EVERY: Final = 0.25
"""Seconds between looks at those who wait."""


class Waiting:
    """The units of a queue that have no answer yet, oldest first. Belongs to the event loop.

    A unit that is answered because it waited for too long may be under way, and may still be stored: the outcome
    is in doubt, as after a lost connection. A sender that repeats its message gets the right one.
    """

    def __init__(self) -> None:
        self._units: deque[Unit] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look after those who wait."""
        self._loop = loop
        self._sweep()

    def stop(self) -> None:
        """Look after nobody any more."""
        if self._timer:
            self._timer.cancel()

    def add(self, unit: Unit) -> None:
        """A unit was queued."""
        self._units.append(unit)

    def settle(self, units: Iterable[Unit]) -> None:
        """Answer these with their results, except those that have an answer already."""
        for unit in units:
            if unit.done:
                done, unit.done = unit.done, None
                done(unit.result)
                unit.result = None

    def _sweep(self) -> None:
        units = self._units
        too_old = time.monotonic() - PATIENCE + _SWEEP_EVERY
        while units and (units[0].done is None or units[0].queued_at < too_old):
            unit = units.popleft()
            if unit.done:
                done, unit.done = unit.done, None
                done(overloaded("The store doesn't answer"))
        self._timer = self._loop.call_later(_SWEEP_EVERY, self._sweep)
