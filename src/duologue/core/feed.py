"""A feed: one reader of a user's log, who gets every event exactly once and in order.

The bus is fast and may lose, repeat or reorder; the log is the truth. The feed knows the next seq that it owes
its reader: an equal notice is passed on, a lower one dropped, a higher one waited for a moment, and then the
gap is read from the log. It is attached to the hub before it replays, so nothing falls in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from duologue.core.events import check_position, notice_of
from duologue.errors import ApiError
from duologue.realtime.bus import Notice
from duologue.realtime.hub import Hub
from duologue.storage.database import Database, Tx
from duologue.storage.events import LogHead, log_head
from duologue.storage.replay import event_page

_PAGE: Final = 100
_GAP_PATIENCE: Final = 0.02
_EARLY: Final = 256
_RETRY: Final = 1.0

Emit = Callable[[Notice], None]
Drained = Callable[[], Awaitable[None]]


class Feed:
    """Follows a user's log from a seq on.

    `emit` takes each event; `drained` returns when the reader can take more. `failed` is told once if the log
    can't be followed any longer: `events_expired`, or `not_signed_in` when the account is gone.
    """

    def __init__(
        self,
        db: Database,
        hub: Hub,
        user_id: int,
        emit: Emit,
        drained: Drained,
        failed: Callable[[ApiError], None],
    ) -> None:
        self._db = db
        self._hub = hub
        self._user_id = user_id
        self._emit = emit
        self._drained = drained
        self._failed = failed
        self.next = 0
        self._live = False
        self._behind = False
        self._early: dict[int, Notice] = {}
        self._gap_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self, after: int | None) -> LogHead:
        """Attach, and find the log's head; without `after`, the feed begins with what comes next.

        Raises `ApiError` `events_expired`, `seq_out_of_range`, `overloaded`.
        """
        self._hub.attach(self._user_id, self)
        head = await self._db.read(log_head, self._user_id)
        position = head.last_seq if after is None else after
        check_position(head, position)
        self.next = position + 1
        return head

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
        self._early.clear()

    def offer(self, notice: Notice) -> None:
        if not self._live:
            self._behind = True
        elif notice.seq == self.next:
            self._pass_on(notice)
            if self._early:
                self._pass_on_early()
        elif notice.seq > self.next:
            self._keep_early(notice)

    def recheck(self) -> None:
        self._behind = True
        if self._live and not self._closed:
            self._live = False
            self._stop_timer()
            self._task = asyncio.create_task(self._catch_up(None))

    def _pass_on(self, notice: Notice) -> None:
        self.next = notice.seq + 1
        self._emit(notice)

    def _keep_early(self, notice: Notice) -> None:
        """One came before its time: the missing ones are usually right behind."""
        if len(self._early) < _EARLY:
            self._early[notice.seq] = notice
        if self._gap_timer is None:
            loop = asyncio.get_running_loop()
            self._gap_timer = loop.call_later(_GAP_PATIENCE, self.recheck)

    def _pass_on_early(self) -> None:
        while (notice := self._early.pop(self.next, None)) is not None:
            self._pass_on(notice)
        if not self._early:
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._gap_timer:
            self._gap_timer.cancel()
            self._gap_timer = None

    async def _catch_up(self, caught_up: Callable[[], None] | None) -> None:
        """Read the log until nothing is left to read and nothing came meanwhile."""
        while True:
            self._behind = False
            try:
                notices = await self._db.read(_read, self._user_id, self.next - 1)
            except ApiError as fault:
                if fault.code != "overloaded":
                    self._failed(fault)
                    return
                await asyncio.sleep(_RETRY)
                continue
            for notice in notices:
                await self._drained()
                self._pass_on(notice)
            if not notices and not self._behind:
                break
        self._early.clear()
        self._live = True
        if caught_up:
            caught_up()


def _read(tx: Tx, user_id: int, after: int) -> list[Notice]:
    head = log_head(tx, user_id)
    if head.last_seq < after:
        raise ApiError("not_signed_in", "The account has been deleted.")
    check_position(head, after)
    return [notice_of(event) for event in event_page(tx, user_id, after, _PAGE)]
