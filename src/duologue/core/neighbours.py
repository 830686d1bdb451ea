"""Neighbours: other nodes on the PostgreSQL of a node without a bus, which nothing else tells it of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from typing import Final

from duologue.clock import Clock
from duologue.errors import ApiError
from duologue.storage.database import Database
from duologue.storage.tables import nodes as store

_log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 0.5
"""Seconds from one look for other nodes to the next."""
_BEAT_EVERY: Final = 10.0
"""Seconds between two beats of this node."""
_GONE_AFTER: Final = 30.0
"""Seconds without a beat until another node is taken for gone."""


class Neighbours:
    """Knows up to when this node was the only one.

    Another node may use the store at any time. It writes down that it is there before anybody can connect to it, and
    the next look finds that.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._id = secrets.randbits(62)
        self._beaten_at = -math.inf
        self._known: dict[int, tuple[int, float]] = {}
        self._alone_at = -math.inf

    def alone_as_of(self) -> float:
        """Return the time (of `time.monotonic`) up to which no other node has written."""
        return self._alone_at

    async def arrive(self) -> None:
        """Write down that this node is there, before anybody can connect to it."""
        with contextlib.suppress(ApiError):
            await self.look()

    async def run(self) -> None:
        """The background loop."""
        try:
            while True:
                await asyncio.sleep(_LOOK_EVERY)
                try:
                    await self.look()
                except ApiError:
                    pass  # The store doesn't answer: then this node doesn't know.
                except Exception:  # noqa: BLE001 - the next look may succeed
                    _log.exception("other nodes could not be looked for")
        finally:
            with contextlib.suppress(ApiError):
                await self._db.directory().write(store.leave, self._id)

    async def look(self) -> None:
        """Look for other nodes once. Raises `ApiError` `overloaded`."""
        begun_at = time.monotonic()
        if begun_at - self._beaten_at >= _BEAT_EVERY:
            await self._db.directory().write(store.beat, self._id, self._clock())
            self._beaten_at = begun_at
        found = await self._db.directory().read(store.others, self._id)
        self._known = {
            node: self._known[node]
            if node in self._known and self._known[node][0] == beats
            else (beats, begun_at)
            for node, beats in found.items()
        }
        if all(begun_at - moved_at > _GONE_AFTER for _, moved_at in self._known.values()):
            self._alone_at = begun_at
