"""A few threads, each with a connection of its own, for everything that isn't on the message path."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from duologue.errors import overloaded
from duologue.storage.database import Unit, settle
from duologue.storage.engine.waiting import Waiting

T = TypeVar("T")


class Closable(Protocol):
    """Resource that a thread keeps and closes at its end."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Pool(Generic[C]):
    """Has units served on `size` threads; at most `capacity` may wait.

    Each thread makes its resource with `connect` when it first needs one and keeps it. `serve` gets that and units
    that waited, at most `at_once` of them: together they may cost little more than one. It sets each unit's `result`,
    or raises what is the result of all. After several at once a thread waits `linger` seconds for as many more.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], C],
        serve: Callable[[C, Sequence[Unit]], None],
        *,
        size: int,
        capacity: int,
        at_once: int = 1,
        linger: float = 0,
    ) -> None:
        self._connect = connect
        self._serve = serve
        self._units: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._capacity = capacity
        self._at_once = at_once
        self._linger = linger
        self._closed = False
        self._waiting = Waiting()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(size)
        ]

    def start(self) -> None:
        """To be called on the event loop that will use it."""
        self._loop = asyncio.get_running_loop()
        self._waiting.start(self._loop)
        for thread in self._threads:
            thread.start()

    async def run(self, work: Any) -> Any:
        """The result of a unit with this work.

        Raises it, and `ApiError` `overloaded` when too many wait, or there is no result after 5 seconds.
        """
        if self._closed or self._units.qsize() >= self._capacity:
            raise overloaded("Too many requests wait for the store")
        future: asyncio.Future[Any] = self._loop.create_future()
        unit = Unit(work, partial(settle, future))
        self._waiting.add(unit)
        self._units.put(unit)
        return await future

    async def close(self) -> None:
        """Finish what waits, then close every connection."""
        self._closed = True
        for _ in self._threads:
            self._units.put(None)
        for thread in self._threads:
            if thread.is_alive():
                await asyncio.to_thread(thread.join)
        self._waiting.stop()

    def _work(self) -> None:
        resource = self._connect()
        try:
            while units := self._take():
                # Nobody waits any more for the others.
                units = [unit for unit in units if unit.done]
                if units:
                    self._try(resource, units)
                if self._linger and len(units) > 1:
                    time.sleep(self._linger)
        finally:
            resource.close()

    def _try(self, resource: C, units: Sequence[Unit]) -> None:
        try:
            self._serve(resource, units)
        except Exception as fault:  # noqa: BLE001 - it belongs to the callers
            for unit in units:
                unit.result = fault
        self._loop.call_soon_threadsafe(self._waiting.settle, units)

    def _take(self) -> list[Unit]:
        """The next units; none once the pool is closed."""
        units: list[Unit] = []
        try:
            while len(units) < self._at_once:
                unit = self._units.get(block=not units)
                if unit is None:
                    if units:
                        self._units.put(None)
                    break
                units.append(unit)
        except queue.Empty:
            pass
        return units
