"""The hub: who on this node follows which user's log, and who watches whom."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from duologue.realtime.bus import Hidden, Notice, Roll, Signal, TransientFrame, Whereabouts
from duologue.realtime.user_locks import UserLocks

T = TypeVar("T")


class Subscriber(Protocol):
    """Somebody who follows one user's log."""

    def offer(self, notice: Notice) -> None:
        """An event was committed. It may come late, twice, or not at all: the seq tells."""
        ...

    def recheck(self) -> None:
        """Events may have been missed: look at the log."""
        ...

    def reached(self, seq: int) -> None:
        """The log goes up to this seq: look at it if that is news."""
        ...


class SignalListener(Protocol):
    """Somebody who hears signals."""

    def signal(self, frame: bytes) -> None:
        """A frame that is not stored, as JSON."""
        ...


class Hub:
    """Hands each notice to the followers of its user, and each signal to whom it is for.

    `on_presence` hears who is where; it is set once, before anything is heard.
    """

    def __init__(self) -> None:
        self.on_presence: Callable[[Whereabouts | Roll | Hidden], None] = lambda _: None
        self._followers: dict[int, list[Subscriber]] = {}
        self._devices: dict[int, list[SignalListener]] = {}
        self._watchers: dict[int, dict[SignalListener, None]] = {}
        self.replays = UserLocks()
        """Replays of one user's log take turns: however many of the devices replay, one page is read at a time."""
        self.wants: Callable[[int], bool] = self._followers.__contains__
        """Whether anybody here follows a user's log. Asked for every event."""
        self.doubted = asyncio.Event()
        """Set while notices may have been missed."""
        self.doubted_until = -math.inf
        """The time (of `time.monotonic`) until which more may be missed."""

    def attach(self, user_id: int, follower: Subscriber) -> None:
        """Follow a user's log from now on."""
        _add(self._followers, user_id, follower)

    def detach(self, user_id: int, follower: Subscriber) -> None:
        """Stop following; nothing happens if it has stopped already."""
        _remove(self._followers, user_id, follower)

    def arrive(self, user_id: int, device: SignalListener) -> bool:
        """A device of the user hears signals from now on; whether it is the only one here."""
        _add(self._devices, user_id, device)
        return len(self._devices[user_id]) == 1

    def leave(self, user_id: int, device: SignalListener) -> bool:
        """The device has gone; whether it was the last one here."""
        _remove(self._devices, user_id, device)
        return user_id not in self._devices

    @property
    def idle(self) -> bool:
        """True while nobody here follows a log, is connected or watches somebody."""
        return not (self._followers or self._devices or self._watchers)

    def devices(self, user_id: int) -> int:
        """Return the number of the user's devices that are connected to this node."""
        return len(self._devices.get(user_id, ()))

    def online(self) -> list[int]:
        """The users with a device on this node."""
        return list(self._devices)

    def is_watched(self, user_id: int) -> bool:
        """Return whether anybody here watches this user's presence."""
        return user_id in self._watchers

    def watches(self, user_id: int, watcher: SignalListener) -> bool:
        """Return whether this listener watches that user's presence."""
        return watcher in self._watchers.get(user_id, ())

    def tell_watchers(self, user_id: int, frame: bytes) -> None:
        """This user has come or gone."""
        for watcher in tuple(self._watchers.get(user_id, ())):
            watcher.signal(frame)

    def forget_watchers(self, user_id: int) -> list[SignalListener]:
        """Tell nobody here of this user any more; whom it was told until now."""
        return [*self._watchers.pop(user_id, ())]

    def watch(self, user_id: int, watcher: SignalListener) -> None:
        """Hear when this user comes and goes."""
        self._watchers.setdefault(user_id, {})[watcher] = None

    def unwatch(self, user_id: int, watcher: SignalListener) -> None:
        """Stop hearing; nothing happens if it has stopped already."""
        watchers = self._watchers.get(user_id, {})
        watchers.pop(watcher, None)
        if not watchers:
            self._watchers.pop(user_id, None)

    def deliver(self, notices: Sequence[Notice]) -> None:
        followers_of = self._followers.get
        for notice in notices:
            followers = followers_of(notice.user_id, ())
            # One device is the usual case; of several, one may leave on hearing it.
            for follower in followers if len(followers) == 1 else tuple(followers):
                follower.offer(notice)

    def signal(self, signal: Signal) -> None:
        if not isinstance(signal, TransientFrame):
            self.on_presence(signal)
            return
        for device in tuple(self._devices.get(signal.user_id, ())):
            device.signal(signal.frame)

    def doubt(self) -> None:
        self.doubted.set()

    def doubt_for(self, seconds: float) -> None:
        """Notices may be missed now and for so long."""
        self.doubted_until = max(self.doubted_until, time.monotonic() + seconds)

    def followed(self) -> list[int]:
        """The users whose logs are followed here."""
        return list(self._followers)

    def reached(self, user_id: int, seq: int | None) -> None:
        """A user's log goes up to this seq; None: it is gone, with the account."""
        for follower in tuple(self._followers.get(user_id, ())):
            if seq is None:
                follower.recheck()
            else:
                follower.reached(seq)

    def recheck(self) -> None:
        """Events may have been missed, and nobody knows whose: all followers look at their logs."""
        for followers in tuple(self._followers.values()):
            for follower in tuple(followers):
                follower.recheck()


def _add(registry: dict[int, list[T]], user_id: int, item: T) -> None:
    registry.setdefault(user_id, []).append(item)


def _remove(registry: dict[int, list[T]], user_id: int, item: T) -> None:
    items = registry.get(user_id, [])
    if item in items:
        items.remove(item)
    if not items:
        registry.pop(user_id, None)


class Waiter:
    """A follower that wakes one sleeper: a long poll, an event stream. `seen` is the newest seq that it knows."""

    def __init__(self) -> None:
        self.seen = 0
        self._news = asyncio.Event()

    def offer(self, notice: Notice) -> None:  # noqa: ARG002 - any news will do
        self._news.set()

    def recheck(self) -> None:
        self._news.set()

    def reached(self, seq: int) -> None:
        if seq > self.seen:
            self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for news; returns False if none came within that time or since the last wait."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True
