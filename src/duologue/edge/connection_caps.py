"""The number of connections that one process holds: in all, and for one network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

from duologue.core.addresses import Network, address_block, is_among

GUESTS: Final = 32
"""Connections beyond the caps that are kept open for a moment, since they may ask for the server's health."""
FOR_GUESTS: Final = {b"/healthz", b"/readyz"}
"""Targets that are answered on them."""
GUEST_WITHIN: Final = 2.0
"""Seconds that each of them has for the head of its request."""


class CappedConnection(Protocol):
    """A connection that may be beyond the caps."""

    def turn_away(self) -> None:
        """Answer 503 and close."""
        ...


class ConnectionSlot:
    """Place of one open connection. `admitted` is false for a connection beyond the caps."""

    __slots__ = ("_caps", "_guest", "block")

    def __init__(self, caps: ConnectionCaps, block: str, guest: CappedConnection | None) -> None:
        self._caps: ConnectionCaps | None = caps
        self._guest = guest
        self.block = block

    @property
    def admitted(self) -> bool:
        return self._guest is None

    def leave(self) -> None:
        """Give the place back once the connection is closed. Harmless when repeated."""
        caps, self._caps = self._caps, None
        if caps is None:
            return
        if self._guest is None:
            caps.give_back(self.block)
        else:
            caps.dismiss(self._guest)
            self._guest = None


class ConnectionCaps:
    """Counts the connections of one process.

    `total` is how many there may be in all, `per_address` how many from one /24 of IPv4 or /48 of IPv6; 0 is no cap.
    A network of `trusted` proxies counts only in all: it stands for many clients.
    """

    def __init__(self, total: int = 0, per_address: int = 0, trusted: Sequence[Network] = ()) -> None:
        self._total = total
        self._per_address = per_address
        self._trusted = trusted
        self._count = 0
        self._blocks: Counter[str] = Counter()
        self._guests: dict[CappedConnection, None] = {}

    def enter(self, connection: CappedConnection, peer: str) -> ConnectionSlot:
        """Give a new connection its place.

        Beyond the caps it is a guest. There are at most `GUESTS` of them: the oldest is turned away for a new one.
        """
        block = "" if is_among(peer, self._trusted) else address_block(peer)
        if self._is_full(block):
            self._guests[connection] = None
            if len(self._guests) > GUESTS:
                oldest = next(iter(self._guests))
                del self._guests[oldest]
                oldest.turn_away()
            return ConnectionSlot(self, block, connection)
        self._count += 1
        self._blocks[block] += 1
        return ConnectionSlot(self, block, None)

    def _is_full(self, block: str) -> bool:
        if self._total and self._count >= self._total:
            return True
        return bool(block and self._per_address and self._blocks[block] >= self._per_address)

    def give_back(self, block: str) -> None:
        self._count -= 1
        self._blocks[block] -= 1
        if not self._blocks[block]:
            del self._blocks[block]

    def dismiss(self, guest: CappedConnection) -> None:
        self._guests.pop(guest, None)
