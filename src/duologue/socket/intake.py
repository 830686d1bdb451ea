"""Intake: when each frame of one connection is handled.

In their order, always: what must wait for the store holds back the frames behind it. In slices, so that a client
that sends a great deal at once doesn't keep the others waiting. And within limits: what is in flight is bounded, a
client that doesn't read its answers isn't read either, and one over its frame rate (`socket/budget.py`) is refused a
while and then not read, so that its flood stays in its own network.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from duologue.core.limits import MAX_IN_FLIGHT
from duologue.socket.budget import FrameBudget

BACKLOG: Final = 64
"""Frames that wait for those before them until no more are read."""
SLICE: Final = 64
"""Frames that are handled before other connections have their turn."""
MAX_BYTES_IN_FLIGHT: Final = 64 * 1024
"""Long messages fill a reader's buffer sooner than many short ones."""
REFUSALS: Final = 100
"""Refused messages after which a client is not read for a while."""
_REST: Final = 0.25
"""Seconds for which it is not read, at least."""


class FrameConsumer(Protocol):
    """Handler of the frames."""

    def handle(self, payload: bytes, *, binary: bool) -> None:
        """The next frame."""
        ...


class Source(Protocol):
    """Source of the frames."""

    def pause_reading(self) -> None:
        """Leave what the client sends in the network, after the present read."""
        ...

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        ...


class Intake:
    """Passes frames from a `Source` on to a `FrameConsumer`.

    A client that is refused too often isn't read for `rest` seconds, at least.
    """

    __slots__ = (
        "_backlog",
        "_burst",
        "_busy",
        "_bytes_in_flight",
        "_full",
        "_in_flight",
        "_loop",
        "_refused",
        "_rest_seconds",
        "_resting",
        "_source",
        "_stopped",
        "_taker",
        "_turn",
        "budget",
        "output_full",
    )

    def __init__(
        self, source: Source, taker: FrameConsumer, budget: FrameBudget, *, rest: float = _REST
    ) -> None:
        self._source = source
        self._taker = taker
        self.budget = budget
        self._rest_seconds = rest
        self._loop = asyncio.get_running_loop()
        self._backlog: deque[tuple[bytes, bool]] | None = None
        self._turn: asyncio.Handle | None = None
        self.output_full = self._resting = self._full = self._stopped = False
        self._busy = self._in_flight = self._bytes_in_flight = self._burst = self._refused = 0

    @property
    def idle(self) -> bool:
        """True when nothing waits for the store."""
        return not self._busy and not self._in_flight

    def receive(self, payload: bytes, binary: bool) -> None:  # noqa: FBT001 (called for every frame)
        """A frame came."""
        if self._backlog or self._burst >= SLICE or self._held():
            if self._backlog is None:
                self._backlog = deque()
            self._backlog.append((payload, binary))
            if len(self._backlog) == BACKLOG:
                self._source.pause_reading()
        else:
            self._burst += 1
            self._taker.handle(payload, binary=binary)

    def read_end(self) -> None:
        """All frames of one read have been taken."""
        self._burst = 0
        if self._backlog:
            self._work_off_soon()

    def drop(self) -> None:
        """Forget the frames that wait."""
        self._backlog = None

    def stop(self) -> None:
        """Nothing more is read or handled; what is with the store may still finish."""
        self._stopped = True
        self._backlog = None
        if self._turn:
            self._turn.cancel()
        self._source.pause_reading()

    # What holds frames back.

    def hold(self) -> None:
        """Handle no frame until there was a `release` for this."""
        self._busy += 1

    def release(self) -> None:
        """Undo one `hold`."""
        self._busy -= 1
        self._work_off()

    def apply_backpressure(self) -> None:
        """The client takes no answers now: handle no frame until `release_backpressure`."""
        self.output_full = True
        self._source.pause_reading()

    def release_backpressure(self) -> None:
        """Undo `apply_backpressure`."""
        if self.output_full:
            self.output_full = False
            self._work_off()

    def operation_started(self, size: int) -> None:
        """One more operation of so many bytes is in flight; too much, and the client must wait."""
        self._in_flight += 1
        self._bytes_in_flight += size
        if self._in_flight >= MAX_IN_FLIGHT or self._bytes_in_flight >= MAX_BYTES_IN_FLIGHT:
            self._full = True
            self._source.pause_reading()

    def operation_finished(self, size: int) -> None:
        """One of the operations in flight has been answered."""
        self._in_flight -= 1
        self._bytes_in_flight -= size
        if self._full:
            self._full = self._in_flight >= MAX_IN_FLIGHT or self._bytes_in_flight >= MAX_BYTES_IN_FLIGHT
            self._work_off()

    def control(self) -> bool:
        """A ping, a pong or a fragment came; returns whether it is within the limit.

        Nobody is told of one that isn't: it is paid for while the client is not read.
        """
        if self.budget.spend():
            return True
        self.budget.overdraw()
        self._rest()
        return False

    def refused(self, cost: float = 1) -> float:
        """The message at hand is refused for being over the limit; seconds until one that costs as much may pass."""
        self._refused += 1
        if self._refused == REFUSALS:
            self._refused = 0
            self._rest()
        return self.budget.wait(cost)

    def _rest(self) -> None:
        """Read nothing for a while."""
        if not self._resting:
            self._resting = True
            self._source.pause_reading()
            self._loop.call_later(self._rest_seconds, self._rested)

    def _rested(self) -> None:
        if self.budget.in_debt():
            self._loop.call_later(self.budget.wait(), self._rested)
        else:
            self._resting = False
            self._work_off()

    def _held(self) -> bool:
        return self._busy > 0 or self.output_full or self._resting or self._full

    def _work_off(self) -> None:
        """Handle what has waited, and read on once nothing is left of it."""
        self._turn = None
        for _ in range(SLICE):
            if not self._backlog or self._held():
                break
            payload, binary = self._backlog.popleft()
            self._taker.handle(payload, binary=binary)
        if self._held() or self._stopped:
            return
        if self._backlog:
            self._work_off_soon()
        else:
            self._source.resume_reading()

    def _work_off_soon(self) -> None:
        if self._turn is None and not self._held():
            self._turn = self._loop.call_soon(self._work_off)
