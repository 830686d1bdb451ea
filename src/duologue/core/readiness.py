"""Readiness: whether the node can serve, reads and writes."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from typing import Final

from duologue.clock import SteadyClock
from duologue.errors import ApiError, overloaded
from duologue.realtime.bus import Bus
from duologue.storage.database import Database
from duologue.storage.tables import nodes as store
from duologue.storage.tables.accounts import user_by_id

_WITHIN: Final = 3.0
"""Seconds that the store has to answer a probe."""
_STORED_FOR: Final = 1.0
"""Seconds for which a stored write shows that the store takes writes."""
_REFUSED_FOR: Final = 5.0
"""Seconds for which a refused write shows that it doesn't, whatever a small probe finds.

A disk may have room for a probe and none for a message.
"""


class Readiness:
    """Judges by the last writes of others, and writes something small when there were none."""

    def __init__(self, db: Database, bus: Bus, clock: SteadyClock) -> None:
        self._db = db
        self._bus = bus
        self._clock = clock
        self._node_id = secrets.randbits(62)
        self._probed_at = -math.inf
        self._probe: asyncio.Task[None] | None = None

    async def check(self) -> str:
        """Return what is amiss though the node can serve; empty if nothing is. Raises `ApiError` `overloaded`."""
        try:
            async with asyncio.timeout(_WITHIN):
                for shard in self._db.every_shard():
                    await shard.read(user_by_id, 0)
                await self._check_writes()
        except TimeoutError as fault:
            raise overloaded("The store doesn't answer") from fault
        damage = "A part of the store is damaged: see the log, and run `duologue verify`."
        bus = "The bus can't be reached: the store is asked instead."
        amiss = (
            damage if self._db.health.damaged else "",
            "" if self._bus.connected() else bus,
            self._clock.amiss,
        )
        return " ".join(filter(None, amiss))

    async def _check_writes(self) -> None:
        """Raises `ApiError` `overloaded` when the store takes no writes."""
        health, now = self._db.health, time.monotonic()
        if health.refused_at > health.stored_at and now - health.refused_at < _REFUSED_FOR:
            raise overloaded("The store refuses writes")
        if now - max(health.stored_at, self._probed_at) < _STORED_FOR:
            return
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._write())
            # Nobody may be left to hear how it ended.
            self._probe.add_done_callback(lambda probe: probe.cancelled() or probe.exception())
        # Whoever asks meanwhile waits for the same probe, and one who goes away doesn't end it.
        await asyncio.shield(self._probe)

    async def _write(self) -> None:
        began = time.monotonic()
        try:
            await self._db.probe(lambda tx: store.probe(tx, self._node_id, self._clock()))
        except ApiError as fault:
            raise overloaded("The store refuses writes") from fault
        self._probed_at = began
