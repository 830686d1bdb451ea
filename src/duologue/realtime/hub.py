"""The hub: who on this node waits for which user's events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from duologue.realtime.bus import Notice


class Subscriber(Protocol):
    """Somebody who follows one user's log."""

    def offer(self, notice: Notice) -> None:
        """An event was committed. It may come late, twice, or not at all: the seq tells."""
        ...

    def recheck(self) -> None:
        """Events may have been missed: look at the log."""
        ...


class Hub:
    """Hands each notice to the subscribers of its user."""

    def __init__(self) -> None:
        self._subscribers: dict[int, list[Subscriber]] = {}

    def attach(self, user_id: int, subscriber: Subscriber) -> None:
        self._subscribers.setdefault(user_id, []).append(subscriber)

    def detach(self, user_id: int, subscriber: Subscriber) -> None:
        """Raises `ValueError` if it isn't attached."""
        subscribers = self._subscribers.get(user_id, [])
        subscribers.remove(subscriber)
        if not subscribers:
            del self._subscribers[user_id]

    def deliver(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            for subscriber in tuple(self._subscribers.get(notice.user_id, ())):
                subscriber.offer(notice)

    def recheck(self) -> None:
        for subscribers in tuple(self._subscribers.values()):
            for subscriber in tuple(subscribers):
                subscriber.recheck()


class Waiter:
    """A subscriber that wakes one sleeper: a long poll."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def offer(self, notice: Notice) -> None:  # noqa: ARG002 - any news will do
        self._news.set()

    def recheck(self) -> None:
        self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Whether something came within that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True
