"""Callers that wait for the store: each gets an answer within seconds, even if the thread that works for it hangs."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
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
        # Between the units stand times (of `time.monotonic`): what follows one was queued after it. A time for
        # each unit would cost more.
        self._units: deque[Unit | float] = deque()
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.add: Callable[[Unit], None] = self._units.append
        """A unit was queued."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look after those who wait."""
        self._loop = loop
        self._sweep()

    def stop(self) -> None:
        """Look after nobody any more."""
        if self._timer:
            self._timer.cancel()

    def settle(self, units: Iterable[Unit]) -> None:
        """Answer these with their results, except those that have an answer already."""
        for unit in units:
            done = unit.done
            if done:
                unit.done = None
                done(unit.result)
                unit.result = None

    def _sweep(self) -> None:
        now, units = time.monotonic(), self._units
        while units:
            first = units[0]
            if isinstance(first, float):
                self._since = first
            elif first.done and self._since > now - PATIENCE + _SWEEP_EVERY:
                break
            units.popleft()
            if isinstance(first, Unit) and first.done:
                done, first.done = first.done, None
                done(overloaded("The store doesn't answer"))
        units.append(now)
        self._timer = self._loop.call_later(_SWEEP_EVERY, self._sweep)
