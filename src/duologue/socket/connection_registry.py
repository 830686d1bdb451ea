"""State shared by all sockets of a node: services, open connections, and the timer that pings them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol

from prometheus_client import Gauge

from duologue.core.acks import AckTimer
from duologue.core.services import Services
from duologue.core.tasks import Tasks
from duologue.realtime.hub import Hub
from duologue.storage.database import Database

_SOCKETS: Final = Gauge("duologue_sockets", "Open sockets.")

_log = logging.getLogger(__name__)

SILENCE: Final = 35.0  # seconds
CHECK_EVERY: Final = 2.5  # seconds
_ENDED_WITHIN: Final = 5.0  # seconds


class PingableConnection(Protocol):
    """A connection that can be pinged."""

    def beat(self, now: float, silence: float) -> None:
        """Ping the client when it is time, or give it up after so many seconds of silence."""
        ...

    def on_shutdown(self) -> None:
        """Answer what is in flight, then say that the server goes away (1001)."""
        ...


class ConnectionRegistry:
    """The shared side of every connection."""

    def __init__(self, services: Services, db: Database, hub: Hub, *, limited: bool) -> None:
        self.services = services
        self.db = db
        self.hub = hub
        self.limited = limited
        self.ack_timer = AckTimer(services.receipts.are_crowded)
        self.connections: set[PingableConnection] = set()
        self._outliving = Tasks()
        _SOCKETS.set_function(self.connections.__len__)

    def outlive(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a connection's work that has to be done although the connection ends."""
        self._outliving.start(_logged(work))

    async def ended(self) -> None:
        """Wait until that is done, but not for long; then it is cancelled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDED_WITHIN):
                await self._outliving.ended()

    def drain(self, seconds: float) -> None:
        """Send all clients elsewhere, one after the other over so many seconds: they mustn't come in one wave."""
        loop = asyncio.get_running_loop()
        connections = tuple(self.connections)
        for place, connection in enumerate(connections):
            loop.call_later(seconds * place / len(connections), connection.on_shutdown)

    async def keep_alive(self) -> None:
        """The background loop: a client is pinged every 25 seconds, and given up after 35 of silence."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_EVERY)
            now = loop.time()
            for connection in tuple(self.connections):
                _beat(connection, now)


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001 - whatever it is
        _log.exception("what a connection had left to do could not be done")


def _beat(connection: PingableConnection, now: float) -> None:
    """One connection's failure must not stop the heart for all the others."""
    try:
        connection.beat(now, SILENCE)
    except Exception:  # noqa: BLE001 - whatever it is
        _log.exception("a connection could not be pinged")
