"""The event log: telling what was committed, and reading it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec
from prometheus_client import Counter

from duologue.core.limits import MAX_PAGE_BYTES
from duologue.core.pages import fill
from duologue.core.rates import REPLAYED, Rates
from duologue.core.sessions import Caller, Sessions
from duologue.core.traces import Traces
from duologue.errors import ApiError
from duologue.model import Event, Kind
from duologue.protocol import render
from duologue.realtime.bus import Bus, Notice
from duologue.realtime.hub import Hub, Waiter
from duologue.storage import events as store
from duologue.storage.database import Database, Tx
from duologue.storage.replay import event_page

_CREATED: Final = Kind.MESSAGE_CREATED
_GATHER: Final = 0.05
"""Seconds in which events gather after a stream was given the newest one."""
_MESSAGES: Final = Counter("duologue_messages_total", "Messages stored.")


def notice_of(event: Event) -> Notice:
    """An event as the bus carries it."""
    return Notice(event.user_id, event.seq, event.kind, event.ref, event.a, event.b, render.event(event))


class Publisher:
    """Tells the bus of each commit. The store's `Listener`."""

    def __init__(self, bus: Bus, hub: Hub) -> None:
        self._bus = bus
        self._hub = hub

    def committed(self, events: Sequence[Event]) -> None:
        notices, created, wants = [], 0, self._bus.wants
        for event in events:
            if event.kind == _CREATED:
                created += event.b
            if wants(event.user_id):
                notices.append(notice_of(event))
        _MESSAGES.inc(created)
        if notices:
            self._bus.publish(notices)

    def in_doubt(self) -> None:
        self._hub.recheck()


class EventPage(msgspec.Struct, frozen=True, gc=False):
    """Events in the order of their seqs; the next page begins after `next`."""

    items: list[Notice]
    next: int
    has_more: bool


class Events:
    """The rules for reading one's own log."""

    def __init__(self, db: Database, hub: Hub, sessions: Sessions, traces: Traces, rates: Rates) -> None:
        self._db = db
        self._rates = rates
        self._hub = hub
        self._sessions = sessions
        self._traces = traces
        self._waiters: set[Waiter] = set()
        self._stopped = False

    def stop(self) -> None:
        """The server is about to stop: let everybody go who waits for events."""
        self._stopped = True
        for waiter in self._waiters:
            waiter.recheck()

    async def latest(self, caller: Caller) -> int:
        """The seq of the caller's newest event."""
        return (await self._db.read(store.log_head, caller.user_id)).last_seq

    async def page(self, caller: Caller, after: int, limit: int, wait: float) -> EventPage:
        """What follows `after`; when nothing does yet, waits up to `wait` seconds for something.

        Raises `ApiError` `events_expired` with `latest`, `seq_out_of_range` beyond the newest event, and
        `not_signed_in` when the session ended meanwhile.
        """
        if wait:
            async with aclosing(self.follow(caller, after, limit, wait)) as pages:
                async for page in pages:
                    return page
        page = await self._db.read(_read, caller.user_id, after, limit)
        self._traces.pushed(page.items)
        return page

    async def follow(
        self, caller: Caller, after: int, limit: int, wait: float, size: int = MAX_PAGE_BYTES
    ) -> AsyncGenerator[EventPage, None]:
        """Pages until the server stops, each what follows the one before; an empty one after `wait` silent seconds.

        Each has at most `limit` events and `size` bytes, or one event.

        Raises as `page`.
        """
        waiter = Waiter()
        # Attached first, then read: what is committed in between is not slept through.
        self._hub.attach(caller.user_id, waiter)
        self._waiters.add(waiter)
        try:
            while not self._stopped:
                page = await self._next(waiter, caller, partial(_read, limit=limit, size=size), after, wait)
                self._traces.pushed(page.items)
                yield page
                after = page.next
                if page.has_more:
                    await self._rates.pace(REPLAYED, caller.user_id, len(page.items))
                else:
                    # What comes soon after is told together: a page for each event would cost more than all do.
                    await asyncio.sleep(_GATHER)
        finally:
            self._waiters.discard(waiter)
            self._hub.detach(caller.user_id, waiter)

    async def _next(
        self,
        waiter: Waiter,
        caller: Caller,
        read: Callable[[Tx, int, int], EventPage],
        after: int,
        wait: float,
    ) -> EventPage:
        """The next page as soon as there is something on it: what wakes us may have been read already."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        waiter.seen = after
        while True:
            await self._sessions.check(caller)
            page = await self._db.read(read, caller.user_id, after)
            if page.items or self._stopped or not await waiter.wait(deadline - loop.time()):
                return page


def _read(tx: Tx, user_id: int, after: int, limit: int, size: int = MAX_PAGE_BYTES) -> EventPage:
    head = store.log_head(tx, user_id)
    check_position(head, after)
    notices, _ = log_page(tx, user_id, after, limit, size)
    newest = notices[-1].seq if notices else after
    return EventPage(notices, newest, newest < head.last_seq)


def log_page(tx: Tx, user_id: int, after: int, limit: int, size: int) -> tuple[list[Notice], bool]:
    """What follows a position that is in the log, and whether that is all.

    At most `limit` events and `size` bytes, or one event.
    """

    def read(position: int, count: int) -> list[Notice]:
        return [notice_of(event) for event in event_page(tx, user_id, position, count)]

    return fill(read, lambda notice: len(notice.event), lambda notice: notice.seq, after, limit, size)


def check_position(head: store.LogHead, after: int) -> None:
    """Raises `ApiError` when a log can't be followed from `after`: `events_expired`, `seq_out_of_range`."""
    if after < head.floor:
        raise ApiError(
            "events_expired", f"Events up to {head.floor} are no longer kept.", latest=head.last_seq
        )
    if after > head.last_seq:
        raise ApiError("seq_out_of_range", errors={"after": f"the newest event is {head.last_seq}"})
