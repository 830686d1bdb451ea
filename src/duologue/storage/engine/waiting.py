"""Callers that wait for the store: each gets an answer within seconds, even if the thread that works for it hangs."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
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
        self._left = 0
        # How many units had been queued by a time (of `time.monotonic`). A time for each unit would cost more.
        self._queued: deque[tuple[float, int]] = deque()
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
        self._drop_answered()

    def _drop_answered(self) -> None:
        """Forget the answered units at the front: kept until a sweep they would fill the processor's caches."""
        waiting, before = self._units, len(self._units)
        while waiting and waiting[0].done is None:
            waiting.popleft()
        self._left += before - len(waiting)

    def _sweep(self) -> None:
        now = time.monotonic()
        self._queued.append((now, self._left + len(self._units)))
        overdue = 0
        while self._queued[0][0] <= now - PATIENCE + _SWEEP_EVERY:
            overdue = self._queued.popleft()[1] - self._left
        for unit in list(islice(self._units, max(0, overdue))):
            if unit.done:
                done, unit.done = unit.done, None
                done(overloaded("The store doesn't answer"))
        self._drop_answered()
        self._timer = self._loop.call_later(_SWEEP_EVERY, self._sweep)
