"""The writer: one thread that commits whatever has queued up, many callers to one fsync (group commit).

While a commit waits for the disk the queue fills, so batches grow with the load by themselves. A commit has a fixed
price, though, which at ordinary load is most of what a message costs. So while many chats are written to (`crowd.py`)
commits start at least `WINDOW` apart, unless `FULL` operations wait: then the price is shared well enough.

The queue is bounded: when it is full the caller is told `overloaded` at once, instead of memory growing without end.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

from prometheus_client import Gauge, Histogram

from duologue.errors import ApiError, overloaded
from duologue.model import Event
from duologue.storage.database import CommitListener, Probe, StoreHealth, Unit, settle
from duologue.storage.engine.crowd import WITHIN, Crowd
from duologue.storage.engine.waiting import Waiting

WINDOW: Final = 0.005
"""Seconds from the start of a commit to the start of the next one, in a crowd."""
FULL: Final = 32
"""Operations for which a commit waits no longer."""
_NEVER: Final = 1 << 30
"""Operations: more than any queue holds."""
_LINGER: Final = 0.001  # seconds
_BATCHES: Final = Histogram(
    "duologue_batch_operations", "Writes in a commit.", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
)
_COMMITS: Final = Histogram(
    "duologue_commit_seconds",
    "Seconds that a commit took.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1, 5),
)
_QUEUE: Final = Gauge("duologue_queue_operations", "Writes that waited when the last batch was taken.")


Commit = Callable[[Sequence[Unit]], Sequence[Event]]
"""Commits a batch, sets each unit's `result` (a value or an exception), returns the events to tell."""


class Writer:
    """Hands batches of at most `batch_limit` units to `commit` on its own thread; holds at most `capacity`.

    A unit without a result after 5 seconds is answered with `overloaded`; one that was not begun by then never is.

    `order` is held from a commit until its events are on their way, so that whoever else tells events can wait.
    """

    def __init__(
        self,
        name: str,
        commit: Commit,
        *,
        capacity: int,
        batch_limit: int,
        order: AbstractContextManager[object],
        window: float = WINDOW,
    ) -> None:
        self._commit = commit
        self._order = order
        self._capacity = capacity
        self._batch_limit = batch_limit
        self._window = window
        self._queue: deque[Unit] = deque()
        self._wake = threading.Condition()
        self._waiting = Waiting()
        self.health = StoreHealth()
        self._closing = False
        self._last = 0
        self._began_at = 0.0
        self._wake_at = _NEVER
        self._crowd = Crowd()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop, listener: CommitListener) -> None:
        self._loop = loop
        self._listener = listener
        self._waiting.start(loop)
        self._thread.start()

    def submit(self, unit: Unit) -> None:
        """Queue a unit. Raises `ApiError` `overloaded` when the queue is full or closed."""
        if self._closing or len(self._queue) >= self._capacity:
            raise overloaded()
        self._waiting.add(unit)
        self._queue.append(unit)
        if len(self._queue) >= self._wake_at:
            with self._wake:
                self._wake.notify()

    @property
    def is_crowded(self) -> bool:
        """Return whether many chats are written to now, so that writes wait a little for one another."""
        return self._crowd.is_there and time.monotonic() - self._began_at < WITHIN

    @property
    def queued(self) -> int:
        """Return the number of units that wait for a commit."""
        return len(self._queue)

    async def run(self, work: Any) -> Any:
        """Queue work and return its result. Raises it if it is an exception, and `ApiError` `overloaded`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.submit(Unit(work, partial(settle, future)))
        return await future

    async def close(self) -> None:
        """Finish what is queued, then end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        # The last batch's answers were scheduled on this loop before the thread ended.
        await asyncio.sleep(0)
        self._waiting.stop()

    def _work(self) -> None:
        while batch := self._take():
            with self._order:
                # Nobody waits any more for the others.
                batch = [unit for unit in batch if unit.done]
                events = self._try(batch) if batch else ()
                self._loop.call_soon_threadsafe(self._settle, batch, events)

    def _try(self, batch: Sequence[Unit]) -> Sequence[Event]:
        events: Sequence[Event] = ()
        try:
            with _COMMITS.time():
                events = self._commit(batch)
        except Exception as fault:  # noqa: BLE001 - the thread must outlive any batch
            for unit in batch:
                unit.result = fault
        if len(batch) > 1 or not isinstance(batch[0].work, Probe):
            self._note(batch)
        return events

    def _note(self, batch: Sequence[Unit]) -> None:
        now = time.monotonic()
        if all(isinstance(unit.result, ApiError) and unit.result.code == "overloaded" for unit in batch):
            self.health.refused_at = now
        else:
            self.health.stored_at = now

    def _take(self) -> list[Unit]:
        """The next batch, waiting for it; empty once the writer is closed and the queue is drained."""
        with self._wake:
            while not self._queue:
                if self._closing:
                    return []
                self._wait_for(1)
            self._gather()
        _QUEUE.set(len(self._queue))
        count = self._last = min(len(self._queue), self._batch_limit)
        _BATCHES.observe(count)
        batch = [self._queue.popleft() for _ in range(count)]
        self._began_at = time.monotonic()
        self._crowd.note(batch, self._began_at)
        return batch

    def _gather(self) -> None:
        """Let a few more come, if that spares a commit."""
        waited = False
        while self._crowd.is_there and len(self._queue) < FULL and not self._closing:
            left = self._began_at + self._window - time.monotonic()
            if left <= 0:
                break
            self._wait_for(FULL, left)
            waited = True
        if not waited and len(self._queue) * 2 < self._last and not self._closing:
            # Those who were just answered are about to write again: better one commit for all than two.
            self._wake.wait(_LINGER)

    def _wait_for(self, count: int, seconds: float | None = None) -> None:
        """Sleep until so many units are queued, the writer is closed, or the time is over; perhaps for less."""
        self._wake_at = count
        # The queue is looked at again after `_wake_at` is seen: a unit queued in between is not missed.
        if len(self._queue) < count:
            self._wake.wait(seconds)
        self._wake_at = _NEVER

    def _settle(self, batch: Sequence[Unit], events: Sequence[Event]) -> None:
        self._waiting.settle(batch)
        if events:
            self._listener.committed(events)
