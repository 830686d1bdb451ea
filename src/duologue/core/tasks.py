"""Work that goes on beside whoever began it, and is waited for at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """Tasks under way."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, None], then: Callable[[], None] | None = None) -> None:
        """Begin; `then` is called at its end, whatever that was."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if then:
            task.add_done_callback(lambda _: then())

    async def ended(self) -> None:
        """Wait until none is left. Cancelled, it cancels them."""
        try:
            while self._running:
                await asyncio.wait(self._running)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End all."""
        for task in tuple(self._running):
            task.cancel()
