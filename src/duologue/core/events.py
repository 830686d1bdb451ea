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
from duologue.core.positions import Position, check_position, present
from duologue.core.rates import REPLAYED, Rates
from duologue.core.sessions import Caller, Sessions
from duologue.core.traces import Traces
from duologue.model import Event, Kind
from duologue.protocol import render
from duologue.realtime.bus import Bus, Notice
from duologue.realtime.hub import Hub, Waiter
from duologue.storage.database import Database, Tx
from duologue.storage.tables import events as store
from duologue.storage.tables.replay import event_page

_CREATED: Final = Kind.MESSAGE_CREATED
GATHER: Final = 0.05
"""Seconds in which events gather after a stream was given the newest one."""
_DOUBTED_FOR: Final = 15.0
"""Seconds after a doubt is over for which the store may still commit what it had been asked for before."""
_MESSAGES: Final = Counter("duologue_messages_total", "Messages stored.")


def notice_of(event: Event) -> Notice:
    """An event as the bus carries it."""
    frame = render.event(event)
    return Notice(event.user_id, event.seq, event.kind, event.ref, event.a, event.b, frame, event.at)


def _nothing() -> None:
    pass


class Publisher:
    """Tells the bus of each commit. The store's `Listener`.

    `forget` is called when the store may have gone back to an older state, as after a failover.
    """

    def __init__(self, bus: Bus, hub: Hub, forget: Callable[[], None] = _nothing) -> None:
        self._bus = bus
        self._hub = hub
        self._forget = forget

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
        self._forget()
        self._hub.recheck()
        self._hub.doubt_for(_DOUBTED_FOR)


class EventPage(msgspec.Struct, frozen=True, gc=False):
    """Events in the order of their seqs; the next page begins after `next`."""

    items: list[Notice]
    next: Position
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

    async def latest(self, caller: Caller) -> Position:
        """The position of the caller's newest event. Raises `ApiError` `not_signed_in`."""
        head = present(await self._db.of_user(caller.user_id).read(store.log_head, caller.user_id))
        return Position(head.last_seq, head.last_at)

    async def page(self, caller: Caller, after: Position, limit: int, wait: float) -> EventPage:
        """The events that follow `after`; when there are none yet, waits up to `wait` seconds for some.

        Raises `ApiError` `events_expired` or `log_changed` with `latest`, `seq_out_of_range` beyond the newest event,
        and `not_signed_in` when the session ended meanwhile.
        """
        if wait:
            async with aclosing(self.follow(caller, after, limit, wait)) as pages:
                async for page in pages:
                    return page
        page = await self._db.of_user(caller.user_id).read(_read, caller.user_id, after, limit)
        self._traces.pushed(page.items)
        return page

    async def follow(
        self, caller: Caller, after: Position, limit: int, wait: float, size: int = MAX_PAGE_BYTES
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
                    await asyncio.sleep(GATHER)
        finally:
            self._waiters.discard(waiter)
            self._hub.detach(caller.user_id, waiter)

    async def _next(
        self,
        waiter: Waiter,
        caller: Caller,
        read: Callable[[Tx, int, Position], EventPage],
        after: Position,
        wait: float,
    ) -> EventPage:
        """The next page as soon as there is something on it: what wakes us may have been read already."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        waiter.seen = after.seq
        while True:
            await self._sessions.check(caller)
            page = await self._db.of_user(caller.user_id).read(read, caller.user_id, after)
            if page.items or self._stopped or not await waiter.wait(deadline - loop.time()):
                return page


def _read(tx: Tx, user_id: int, after: Position, limit: int, size: int = MAX_PAGE_BYTES) -> EventPage:
    head = present(store.log_head(tx, user_id, after.seq))
    check_position(head, after)
    _, notices, _ = log_page(tx, user_id, after.seq, limit, size)
    newest = Position(notices[-1].seq, notices[-1].at) if notices else Position(after.seq, head.asked_at)
    return EventPage(notices, newest, newest.seq < head.last_seq)


def log_page(tx: Tx, user_id: int, after: int, limit: int, size: int) -> tuple[int, list[Notice], bool]:
    """The events that follow a seq, and whether these are all: at most `limit` and `size` bytes, or one event.

    Before them comes the time of the event with that seq; 0 if it isn't there, or nothing follows it.
    """
    times: list[int] = []

    def read(position: int, count: int) -> list[Notice]:
        at, events = event_page(tx, user_id, position, count)
        times.append(at)
        return [notice_of(event) for event in events]

    notices, ended = fill(
        read, lambda notice: len(notice.event), lambda notice: notice.seq, after, limit, size
    )
    return times[0], notices, ended
