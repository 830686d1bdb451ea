"""The bus: how nodes tell each other what was committed.

A bus may lose, repeat or reorder; the log may not. Whoever hears of an event compares its seq with the one it
expects next, and reads the log when they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Notice(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An event in a user's log: its seq, and the event itself as JSON."""

    user_id: int
    seq: int
    event: bytes


class Handler(Protocol):
    """What a node does with what the bus brings. Called on the event loop."""

    def deliver(self, notices: Sequence[Notice]) -> None:
        """These events were committed, here or elsewhere."""
        ...

    def recheck(self) -> None:
        """Notices may have been missed: whoever waits for events must look at the log."""
        ...


class Bus(Protocol):
    """Carries notices to every node, this one included."""

    async def start(self, handler: Handler) -> None: ...

    async def close(self) -> None: ...

    def publish(self, notices: Sequence[Notice]) -> None:
        """Hand over for delivery; never waits, never raises."""
        ...


class LocalBus:
    """The bus of a single node: a function call."""

    def __init__(self) -> None:
        self._handler: Handler | None = None

    async def start(self, handler: Handler) -> None:
        self._handler = handler

    async def close(self) -> None:
        self._handler = None

    def publish(self, notices: Sequence[Notice]) -> None:
        if self._handler:
            self._handler.deliver(notices)
