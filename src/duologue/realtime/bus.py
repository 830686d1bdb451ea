"""The bus: how nodes tell each other what was committed, and what is not worth storing.

A bus may lose, repeat or reorder; the log may not. Whoever hears of an event compares its seq with the one it
expects next, and reads the log when they differ. A bus between processes believes only what one of them has sealed,
and knows up to when it has heard the others: from then on the store is asked (core/lookout.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

BEAT_EVERY: Final = 0.5
"""Seconds between the signs of life that a node gives on a bus between processes."""
_BEFORE_EVENT: Final = len(b'{"op":"event",')


class Notice(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An event in a user's log, and the frame that brings it to a socket, as JSON.

    `kind`, `ref`, `a`, `b` and `at` are those of `model.Event`: enough to act on it without parsing it. Nodes of the
    release before tell no `at`: it is 0 then.
    """

    user_id: int
    seq: int
    kind: int
    ref: int
    a: int
    b: int
    frame: bytes
    at: int = 0

    @property
    def event(self) -> bytes:
        """The event without the frame around it, as JSON."""
        return b"{" + self.frame[_BEFORE_EVENT:]


class TransientFrame(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="frame"):
    """A frame that is not stored, for a user's devices."""

    user_id: int
    frame: bytes


class Whereabouts(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="at"):
    """These users have devices on a node, or have no more; `at` is in epoch milliseconds."""

    node: int
    user_ids: list[int]
    online: bool
    at: int


class Roll(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="roll"):
    """Question which of these users are online. Each node answers for its own."""

    user_ids: list[int]


class Hidden(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="hidden"):
    """This user lets nobody see any more when it is online."""

    user_id: int


Signal = TransientFrame | Whereabouts | Roll | Hidden
"""What is not stored."""


class BusHandler(Protocol):
    """Receiver of what the bus brings. Called on the event loop."""

    def deliver(self, notices: Sequence[Notice]) -> None:
        """These events were committed, here or elsewhere."""
        ...

    def signal(self, signal: Signal) -> None:
        """Somebody is typing, or came, or went, or is asked for."""
        ...

    def wants(self, user_id: int) -> bool:
        """Return whether anybody on this node follows the user's log."""
        ...

    def doubt(self) -> None:
        """Notices may have been missed: the store must be asked. Cheap, however often it is called."""
        ...


class Bus(Protocol):
    """Carries notices and signals to every node, this one included."""

    @property
    def alone(self) -> bool:
        """True if this is the only node there can be."""
        ...

    async def start(self, handler: BusHandler) -> None:
        """Connect. What the bus brings goes to `handler` from now on."""
        ...

    async def close(self) -> None:
        """Hand over what was published, then disconnect."""
        ...

    def connected(self) -> bool:
        """True if what is published now reaches the other nodes, as far as is known."""
        ...

    def as_of(self) -> float:
        """The time (`time.monotonic`) up to which this node has heard all that the others published.

        While the bus is well it is never older than a second.
        """
        ...

    def wants(self, user_id: int) -> bool:
        """Return whether anybody may follow this user's log: if not, there is no need to publish."""
        ...

    def publish(self, notices: Sequence[Notice]) -> None:
        """Hand over what one commit brought. Never waits, never raises."""
        ...

    def publish_signal(self, signal: Signal) -> None:
        """Hand over a signal. Never waits, never raises."""
        ...


def _nobody(_user_id: int) -> bool:
    return False


class LocalBus:
    """The bus of a single node: a function call."""

    alone = True

    def __init__(self) -> None:
        self._handler: BusHandler | None = None
        self.wants: Callable[[int], bool] = _nobody

    async def start(self, handler: BusHandler) -> None:
        self._handler = handler
        self.wants = handler.wants

    async def close(self) -> None:
        self._handler = None
        self.wants = _nobody

    def connected(self) -> bool:
        return True

    def as_of(self) -> float:
        return time.monotonic()

    def publish(self, notices: Sequence[Notice]) -> None:
        if self._handler:
            self._handler.deliver(notices)

    def publish_signal(self, signal: Signal) -> None:
        if self._handler:
            self._handler.signal(signal)
