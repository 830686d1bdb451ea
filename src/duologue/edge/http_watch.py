"""One timer for all HTTP connections of a process: it ends those that take too long, or take no answer."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from duologue.core import limits

_log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.5
"""Seconds between two looks: so much later than its time a connection may end."""
MAX_UNREAD: Final = 64 * 1024 * 1024
"""Bytes of answers that may wait in this process for clients that don't read them."""
MAX_UNREAD_OF_ADDRESS: Final = 4 * 1024 * 1024
"""The part of them that may wait for one network."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a connection has.

    `head`: for the head of a request, from its first byte or from the connection's beginning. `body`: between two
    pieces of a body. `body_in_all`: for the whole body. `idle`: from an answer to the next request. `unread`: without
    taking a byte of an answer. `farewell`: to read the last answer before the end.
    """

    head: float = limits.HEAD_WITHIN
    body: float = limits.BODY_PAUSE
    body_in_all: float = limits.BODY_WITHIN
    idle: float = limits.IDLE_CONNECTION
    unread: float = limits.UNREAD_WITHIN
    farewell: float = 5


class Watched(Protocol):
    """A connection under watch. It is over when `deadline`, in seconds of the loop's time, has passed."""

    deadline: float
    block: str

    def unread(self) -> int:
        """Bytes that wait for the client in this process."""
        ...

    def expire(self) -> None:
        """The deadline has passed: close."""
        ...

    def abort(self) -> None:
        """Close at once, whatever waits."""
        ...


@dataclass(slots=True)
class _Stall:
    """Bytes that wait for a slow client, and the time since when that number hasn't fallen."""

    size: int
    since: float


class ConnectionWatch:
    """Looks at all connections now and then."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._connections: set[Watched] = set()
        self._stalls: dict[Watched, _Stall] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Watched) -> None:
        self._connections.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    def discard(self, connection: Watched) -> None:
        self._connections.discard(connection)
        self._stalls.pop(connection, None)

    def stalled(self, connection: Watched) -> None:
        """More waits for this client than the kernel takes. What waits for all of them is bounded at once."""
        self._stalls[connection] = _Stall(connection.unread(), asyncio.get_running_loop().time())
        self._bound()

    def flows(self, connection: Watched) -> None:
        """The client has taken most of it."""
        self._stalls.pop(connection, None)

    def _bound(self) -> None:
        """End the connections that wait the longest, first of the network for which the most waits."""
        while (block := self._heaviest()) is not None:
            longest = min(
                (one for one in self._stalls if one.block == block), key=lambda one: self._stalls[one].since
            )
            del self._stalls[longest]
            longest.abort()

    def _heaviest(self) -> str | None:
        """The network for which too much waits. One answer is never too much for it, however large it is."""
        waiting: Counter[str] = Counter()
        for connection, stall in self._stalls.items():
            waiting[connection.block] += stall.size
        if waiting.total() > MAX_UNREAD and len(self._stalls) > 1:
            return waiting.most_common(1)[0][0]
        several = Counter(connection.block for connection in self._stalls)
        # The block "" is a trusted proxy, which stands for many clients.
        heavy = [block for block in several if block and several[block] > 1]
        return next((block for block in heavy if waiting[block] > MAX_UNREAD_OF_ADDRESS), None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LOOK_EVERY, self._look) if self._connections else None
        now = loop.time()
        for connection in [one for one in self._connections if one.deadline <= now]:
            _guarded(connection.expire)
        for connection, stall in tuple(self._stalls.items()):
            size = connection.unread()
            if size < stall.size:
                stall.size, stall.since = size, now
            elif now >= stall.since + self.patience.unread:
                self._stalls.pop(connection, None)
                connection.abort()


def _guarded(expire: Callable[[], None]) -> None:
    try:
        expire()
    except Exception:  # noqa: BLE001 - one connection's failure must not keep the others from their end
        _log.exception("a connection could not be ended")
