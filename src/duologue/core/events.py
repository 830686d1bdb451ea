"""The event log: telling what was committed, and reading it back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Event
from duologue.protocol import render
from duologue.realtime.bus import Bus, Notice
from duologue.realtime.hub import Hub, Waiter
from duologue.storage import events as store
from duologue.storage.database import Database, Tx
from duologue.storage.replay import event_page


class Publisher:
    """Tells the bus of each commit. The store's `Listener`."""

    def __init__(self, bus: Bus, hub: Hub) -> None:
        self._bus = bus
        self._hub = hub

    def committed(self, events: Sequence[Event]) -> None:
        self._bus.publish([Notice(event.user_id, event.seq, render.event(event)) for event in events])

    def in_doubt(self) -> None:
        self._hub.recheck()


class EventPage(msgspec.Struct, frozen=True, gc=False):
    """Events as JSON in the order of their seqs; the next page begins after `next`."""

    items: list[bytes]
    next: int
    has_more: bool


class Events:
    """The rules for reading one's own log."""

    def __init__(self, db: Database, hub: Hub) -> None:
        self._db = db
        self._hub = hub

    async def page(self, caller: Caller, after: int, limit: int, wait: float) -> EventPage:
        """What follows `after`; when nothing does yet, waits up to `wait` seconds for something.

        Raises `ApiError` `events_expired` with `latest`, and `seq_out_of_range` beyond the newest event.
        """
        page = await self._db.read(_read, caller.user_id, after, limit)
        if page.items or not wait:
            return page
        waiter = Waiter()
        self._hub.attach(caller.user_id, waiter)
        try:
            # Attached first, then looked again: what was committed in between is not slept through.
            page = await self._db.read(_read, caller.user_id, after, limit)
            if not page.items and await waiter.wait(wait):
                page = await self._db.read(_read, caller.user_id, after, limit)
        finally:
            self._hub.detach(caller.user_id, waiter)
        return page


def _read(tx: Tx, user_id: int, after: int, limit: int) -> EventPage:
    head = store.log_head(tx, user_id)
    check_position(head, after)
    events = event_page(tx, user_id, after, limit)
    newest = events[-1].seq if events else after
    return EventPage([render.event(event) for event in events], newest, newest < head.last_seq)


def check_position(head: store.LogHead, after: int) -> None:
    """Raises `ApiError` when a log can't be followed from `after`."""
    if after < head.floor:
        raise ApiError(
            "events_expired", f"Events up to {head.floor} are no longer kept.", latest=head.last_seq
        )
    if after > head.last_seq:
        raise ApiError("seq_out_of_range", errors={"after": f"the newest event is {head.last_seq}"})
