"""A feed: one reader of a user's log, who gets every event exactly once and in order.

The bus is fast and may lose, repeat or reorder; the log is the truth. The feed knows the next seq that it owes
its reader: an equal notice is passed on, a lower one dropped, a higher one kept for a moment, and then the
gap is read from the log. It is attached to the hub before it replays, so nothing falls in between.

The log itself may go back to an older state: the store was restored, or a failover lost its end. So each look at the
log compares the time of the last event that was passed on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from duologue.core.events import log_page
from duologue.core.limits import MAX_REPLAY_BYTES
from duologue.core.positions import Position, check_position, log_changed, present
from duologue.core.rates import REPLAYED, Rates
from duologue.errors import ApiError
from duologue.realtime.bus import Notice
from duologue.realtime.hub import Hub
from duologue.storage.database import Database, Tx
from duologue.storage.tables.events import LogHead, log_head

T = TypeVar("T")

_log = logging.getLogger(__name__)

PAGE: Final = 100
"""Events that are read at once, unless they are long."""
GAP_PATIENCE: Final = 0.02
"""Seconds for which missing events are waited for before the log is read."""
MOST_EARLY: Final = 256
"""Events that are kept because those before them are missing."""
RETRY: Final = 1.0
"""Seconds after which an overloaded store is asked again."""


class Reader(Protocol):
    """Receiver of a feed's events."""

    def emit(self, notice: Notice) -> None:
        """The next event."""
        ...

    def on_upcoming(self, notice: Notice) -> None:
        """An event that has happened, and will be emitted once the reader has got those before it."""
        ...

    async def drained(self) -> None:
        """Returns when the reader can take more."""
        ...

    def failed(self, error: ApiError) -> None:
        """The log can't be followed any longer.

        `events_expired`, `log_changed`, `not_signed_in` (there is no log, and so no account), `internal`.
        """
        ...


class Feed:
    """Follows a user's log from a position on. `at` is the time of the event before `next`, 0 if it isn't known."""

    __slots__ = (
        "_behind",
        "_closed",
        "_db",
        "_gap_timer",
        "_hub",
        "_is_current",
        "_limit",
        "_live",
        "_rates",
        "_reader",
        "_task",
        "_user_id",
        "at",
        "early",
        "next",
    )

    def __init__(self, db: Database, hub: Hub, user_id: int, reader: Reader, rates: Rates) -> None:
        self._db = db
        self._hub = hub
        self._rates = rates
        self._user_id = user_id
        self._reader = reader
        self.next = 0
        self.at = 0
        self._limit = PAGE
        self._live = False
        self._behind = False
        self.early: dict[int, Notice] = {}
        self._gap_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._is_current = False

    async def open(
        self, after: Position | None, look: Callable[[int | None], Awaitable[tuple[LogHead, T]]]
    ) -> tuple[LogHead, T]:
        """Attach, and find the log's head; without `after`, the feed begins with the next event.

        The reader's `look` finds it, with the time of the event whose seq it is given, and with it all that the
        reader must know of that moment. Raises `ApiError` `events_expired`, `log_changed`, `seq_out_of_range`,
        `overloaded`.
        """
        self._hub.attach(self._user_id, self)
        head, seen = await look(None if after is None else after.seq)
        if after is None:
            position = Position(head.last_seq, head.last_at)
        else:
            check_position(head, after)
            position = Position(after.seq, head.asked_at)
        self._is_current = position.seq == head.last_seq
        self.next = position.seq + 1
        self.at = position.at
        return head, seen

    def start(self, caught_up: Callable[[], None]) -> None:
        """Replay up to the present, tell `caught_up`, then go live."""
        self._task = asyncio.create_task(self._catch_up(caught_up))

    def close(self) -> None:
        """Nothing is emitted any more."""
        self._closed = True
        self._hub.detach(self._user_id, self)
        self._stop_timer()
        if self._task:
            self._task.cancel()
        self.early.clear()

    def offer(self, notice: Notice) -> None:
        if notice.seq > self.next or not self._live:
            self._keep(notice)
        elif notice.seq == self.next:
            self.next += 1
            self.at = notice.at
            self._reader.emit(notice)
            if self.early:
                self._pass_on_early()
        elif self._is_anew(notice):
            self.recheck()

    def _is_anew(self, notice: Notice) -> bool:
        """Tell whether a seq that was passed on was given out once more: a mere repeat is not younger."""
        return 0 < self.at < notice.at

    def recheck(self) -> None:
        self._behind = True
        if self._live and not self._closed:
            self._live = False
            self._stop_timer()
            self._task = asyncio.create_task(self._catch_up(None))

    def reached(self, seq: int) -> None:
        if seq != self.next - 1:  # more has happened, or the log has gone back
            self.recheck()

    def _pass_on(self, notice: Notice) -> None:
        self.next = notice.seq + 1
        self.at = notice.at
        self._reader.emit(notice)

    def _keep(self, notice: Notice) -> None:
        """One came before its time: while live, the missing ones are usually right behind."""
        self._reader.on_upcoming(notice)
        if len(self.early) < MOST_EARLY:
            self.early[notice.seq] = notice
        else:
            self._behind = True
        if self._live and self._gap_timer is None:
            loop = asyncio.get_running_loop()
            self._gap_timer = loop.call_later(GAP_PATIENCE, self.recheck)

    def _pass_on_early(self) -> None:
        while (notice := self.early.pop(self.next, None)) is not None:
            self._pass_on(notice)
        if not self.early:
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._gap_timer:
            self._gap_timer.cancel()
            self._gap_timer = None

    async def _catch_up(self, caught_up: Callable[[], None] | None) -> None:
        try:
            while not await self._read_on():
                pass
        except ApiError as fault:
            self._reader.failed(fault)
        except Exception:  # noqa: BLE001 - its reader must not wait for ever
            _log.exception("the log of user %d can't be read", self._user_id)
            self._reader.failed(ApiError("internal"))
        else:
            self._live = True
            if caught_up:
                caught_up()

    async def _read_on(self) -> bool:
        """Pass on one page of the log; whether the reader has everything then that has happened."""
        try:
            notices, ended = await self._next_page()
        except ApiError as fault:
            if fault.code != "overloaded":
                raise
            await asyncio.sleep(RETRY)
            return False
        for notice in notices:
            await self._reader.drained()
            self._pass_on(notice)
        # Long events are not read together with many that wouldn't fit.
        await self._rates.pace(REPLAYED, self._user_id, len(notices))
        cut = not ended and len(notices) < self._limit
        self._limit = len(notices) if cut else min(PAGE, 2 * self._limit)
        return ended and await self._joins_live()

    async def _next_page(self) -> tuple[list[Notice], bool]:
        """Return the events that follow, and whether these are all."""
        if self._is_current:
            # As of when it was opened: it may have fallen behind since.
            self._is_current = False
            return [], True
        async with self._hub.replays.of(self._user_id):
            self._behind = False
            position = Position(self.next - 1, self.at)
            return await self._db.of_user(self._user_id).read(
                read_notices, self._user_id, position, self._limit
            )

    async def _joins_live(self) -> bool:
        """Pass on the events that came while the log was read. Returns True if nothing is missing then."""
        while (notice := self.early.pop(self.next, None)) is not None:
            await self._reader.drained()
            self._pass_on(notice)
        passed = [self.early.pop(seq) for seq in tuple(self.early) if seq < self.next]
        return not self.early and not self._behind and not any(map(self._is_anew, passed))


def read_notices(tx: Tx, user_id: int, after: Position, limit: int) -> tuple[list[Notice], bool]:
    """Return the next notices of a log after a position, and whether they are the last. Raises `ApiError`."""
    at, notices, ended = log_page(tx, user_id, after.seq, limit, MAX_REPLAY_BYTES)
    if not notices or notices[0].seq > after.seq + 1 or at != after.at:
        # Nothing is missing, or the next events were dropped, or the log is gone, or it is another one.
        head = present(log_head(tx, user_id, after.seq))
        if head.last_seq < after.seq:
            raise log_changed(head, f"The log ends at {head.last_seq} now.")
        check_position(head, after)
    return notices, ended
