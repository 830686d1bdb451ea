"""The rate at which one network may open connections: counted before a byte of a connection is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from prometheus_client import Counter

from duologue.core.addresses import Remotes
from duologue.core.rates import CONNECTIONS, Rates

HOLD: Final = 1.0
"""Seconds for which a connection over the rate is kept, unread: a client that tries again at once has to wait."""
HELD: Final = 32
"""Connections that are kept so at the same time. Any more are closed at once."""
_THROWN_AWAY: Final = 16 * 1024
"""Bytes that are read of such a connection, so that its end is noticed."""
_THIS_MACHINE: Final = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
"""The operator's own health checks, and proxies on the machine that no setting names."""

_REFUSED: Final = Counter(
    "duologue_connections_refused_total", "Connections over the rate of their network, closed unread."
)


class ConnectionRate:
    """Tells which new connections are served, and closes the others unread.

    Those of trusted proxies always are: each stands for many clients, whose sockets are counted by the address that
    the proxy names (socket/endpoint.py). So are those of this machine.
    """

    def __init__(self, rates: Rates, remotes: Remotes) -> None:
        self._rates = rates
        self._remotes = remotes
        self._held = 0

    def take(self, transport: asyncio.Transport) -> bool:
        """Count a new connection. Over the rate, return False: this object closes it, and it isn't to be used."""
        name = transport.get_extra_info("peername")
        peer = name[0] if isinstance(name, tuple) else ""
        if peer in _THIS_MACHINE or self._remotes.is_proxy(peer):
            return True
        if self._rates.grant(CONNECTIONS, self._remotes.find(peer, ()).block, 1):
            return True
        _REFUSED.inc()
        if self._held < HELD:
            self._held += 1
            transport.set_protocol(_Held(transport, self._let_go))
        else:
            transport.set_protocol(_NOBODY)
            transport.abort()
        return False

    def _let_go(self) -> None:
        self._held -= 1


_NOBODY: Final = asyncio.Protocol()
"""Hears of the end of connections that are closed at once."""


class _Held(asyncio.Protocol):
    """A connection of which nothing is looked at, until it is closed. A client that goes away makes room at once."""

    def __init__(self, transport: asyncio.Transport, let_go: Callable[[], None]) -> None:
        self._transport = transport
        self._let_go = let_go
        self._thrown_away = 0
        self._end = asyncio.get_running_loop().call_later(HOLD, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Forget what came. Of a client that sends much, no more is read."""
        self._thrown_away += len(data)
        if self._thrown_away > _THROWN_AWAY:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._end.cancel()
        self._let_go()
