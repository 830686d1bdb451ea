"""Receipts: the marks of who has got and read what."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from duologue.core.chats import Chats
from duologue.core.flush import in_steps
from duologue.core.positions import Position, check_position, present
from duologue.core.sessions import Caller
from duologue.core.traces import Traces
from duologue.errors import ApiError
from duologue.model import Pair
from duologue.realtime.bus import Notice
from duologue.realtime.user_locks import UserLocks
from duologue.storage.append.batch import NoSuchChat, OutOfRange
from duologue.storage.database import Database, Done, Mark, Marked, settle
from duologue.storage.tables import receipts as store
from duologue.storage.tables.events import log_head

_ACK_STEP: Final = 1000
"""Events of one look into the log."""
MARKS_AT_ONCE: Final = 50
"""Marks of one ack that are raised together. Each is a row of a chat list and two events."""


def mark_of(pair: Pair, user_id: int, *, delivered: int = 0, read: int = 0) -> Mark:
    """Return a user's mark in one of their chats."""
    return Mark(pair.chat_id, user_id, pair.peer_of(user_id), pair.side_of(user_id), delivered, read)


class Receipts:
    """The rules for marks: they only rise, so repeats and late arrivals are harmless."""

    def __init__(self, db: Database, chats: Chats, traces: Traces) -> None:
        self._db = db
        self._chats = chats
        self._traces = traces
        self._acked: dict[int, int] = {}
        self._turns = UserLocks()

    def are_crowded(self) -> bool:
        """Return whether many chats are written to now."""
        return self._db.is_crowded

    async def mark(self, mark: Mark) -> None:
        """Raise a mark. Raises `ApiError` `seq_out_of_range` beyond the chat's last message, `overloaded`."""
        future: asyncio.Future[Marked] = asyncio.get_running_loop().create_future()
        self.submit(mark, partial(settle, future))
        try:
            await future
        except (OutOfRange, NoSuchChat):
            raise ApiError("seq_out_of_range", errors={"seq": "is beyond the chat's last message"}) from None

    def submit(self, mark: Mark, done: Done) -> None:
        """Queue a mark; `done` gets a `Marked` or an exception. Raises `ApiError` `overloaded`."""
        self._db.append(mark, partial(self._settled, mark, done))

    def _settled(self, mark: Mark, done: Done, outcome: Marked | Exception) -> None:
        if isinstance(outcome, Marked) and outcome.changed:
            self._traces.acknowledged(mark.chat_id, max(mark.delivered, mark.read))
        done(outcome)

    def pushed(self, notice: Notice) -> None:
        """A device was given this event for the first time on its connection."""
        self._traces.pushed((notice,))

    async def ack(self, caller: Caller, seq: int) -> None:
        """A device has everything up to `seq` of the caller's log: what that covers is delivered.

        Acks of one user take turns, so none looks at events that another is at: each event is looked at once.
        Raises `ApiError` `seq_out_of_range` beyond the newest event.
        """
        async with self._turns.of(caller.user_id):
            reached = self._acked.get(caller.user_id, 0)
            while reached < seq:
                reached = await self._ack_some(caller.user_id, reached, seq)

    async def _ack_some(self, user_id: int, after: int, seq: int) -> int:
        """One step of an ack; how far it has come."""
        found = await self._db.of_user(user_id).read(store.received, user_id, after, seq, _ACK_STEP)
        if seq > found.last_seq:
            raise ApiError("seq_out_of_range", errors={"seq": f"the newest event is {found.last_seq}"})
        marks = [
            mark_of(self._chats.remember(pair), user_id, delivered=newest)
            for pair, newest in found.newest.items()
        ]
        for start in range(0, len(marks), MARKS_AT_ONCE):
            await asyncio.gather(*map(self.mark, marks[start : start + MARKS_AT_ONCE]))
        self.note_ack(user_id, found.reached)
        return found.reached

    async def check_ack(self, caller: Caller, position: Position) -> None:
        """Check that the event at a position is the one that the device has.

        Of an event that is no longer kept nothing can be said. Raises `ApiError` `log_changed`, `not_signed_in`.
        """
        head = present(await self._db.of_user(caller.user_id).read(log_head, caller.user_id, position.seq))
        if position.seq >= head.floor:
            check_position(head, position)

    def forget(self) -> None:
        """Forget which acks are still to be written down: the store may have gone back to an older state."""
        self._acked.clear()

    def noted_ack(self, user_id: int) -> int:
        """Return the highest ack that is still to be written down; 0 for none."""
        return self._acked.get(user_id, 0)

    def note_ack(self, user_id: int, seq: int) -> None:
        """Remember an ack whose marks are stored or queued, so that a later one need not look at its events again.

        It is written down by `flush` in its own time: if that is lost, those marks are raised again to no effect.
        """
        self._acked[user_id] = max(seq, self._acked.get(user_id, 0))

    async def flush(self, pause: float = 0) -> None:
        """Write the remembered acks down, with so many seconds between parts. Raises `ApiError` `overloaded`."""
        async for part in in_steps(self._acked, pause):
            for shard, acked in self._db.by_user(part):
                await shard.write(store.store_acks, acked)

    def known_pair(self, user_id: int, chat_id: int) -> Pair | None:
        """One of the user's chats, from memory alone: None says nothing."""
        return self._chats.known_pair(user_id, chat_id)
