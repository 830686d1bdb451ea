"""Crowd: whether so many chats are written to that writes should wait a little for one another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from duologue.storage.database import Mark, Post, Unit

MANY: Final = 24
"""Chats written to within `WITHIN`, from which on there is a crowd: fewer senders would wait for nobody else."""
WITHIN: Final = 0.25
"""Seconds."""


class Crowd:
    """Count of the chats that were written to in this period of `WITHIN` seconds and the last."""

    def __init__(self) -> None:
        self._chats: set[int] = set()
        self._began_at = 0.0
        self._was = False
        self.is_there = False
        """Whether at least `MANY` chats were written to lately."""

    def note(self, units: Iterable[Unit], now: float) -> None:
        """Count the chats of a batch that is about to be written, at this time of `time.monotonic`."""
        if now - self._began_at >= WITHIN:
            self._was = now - self._began_at < 2 * WITHIN and len(self._chats) >= MANY
            self._chats.clear()
            self._began_at = now
        if len(self._chats) < MANY:
            self._chats.update(unit.work.chat_id for unit in units if isinstance(unit.work, Post | Mark))
        self.is_there = self._was or len(self._chats) >= MANY
