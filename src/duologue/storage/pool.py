"""A few threads, each with a connection of its own, for everything that isn't on the message path."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from duologue.errors import overloaded

T = TypeVar("T")


class Closable(Protocol):
    """What a thread keeps and closes at its end."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Pool(Generic[C]):
    """Runs jobs on `size` threads; at most `capacity` may wait.

    Each thread makes its resource with `connect` when it first needs one and keeps it. A job gets the
    resource; what it raises reaches the caller.
    """

    def __init__(self, name: str, connect: Callable[[], C], *, size: int, capacity: int) -> None:
        self._connect = connect
        self._jobs: queue.SimpleQueue[Callable[[C], None] | None] = queue.SimpleQueue()
        self._capacity = capacity
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(size)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    async def run(self, job: Callable[[C], T]) -> T:
        """The result of `job`. Raises what it raises, and `ApiError` `overloaded` when too many wait."""
        if self._closed or self._jobs.qsize() >= self._capacity:
            raise overloaded("Too many requests wait for the store")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work(resource: C) -> None:
            try:
                result = job(resource)
            except Exception as fault:  # noqa: BLE001 - it belongs to the caller
                loop.call_soon_threadsafe(_fail, future, fault)
            else:
                loop.call_soon_threadsafe(_succeed, future, result)

        self._jobs.put(work)
        return await future

    async def close(self) -> None:
        """Finish what waits, then close every connection."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            if thread.is_alive():
                await asyncio.to_thread(thread.join)

    def _work(self) -> None:
        resource = self._connect()
        try:
            while (job := self._jobs.get()) is not None:
                job(resource)
        finally:
            resource.close()


def _succeed(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], fault: Exception) -> None:
    if not future.done():
        future.set_exception(fault)
