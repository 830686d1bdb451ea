"""Turns: of what looks into one user's log, one is at it at a time."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class UserLocks:
    """A lock for each user, kept while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    def of(self, user_id: int) -> asyncio.Lock:
        """The lock of this user."""
        return self._locks.setdefault(user_id, asyncio.Lock())
