"""Receipts: the marks of who has got and read what, and acks that move them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from duologue.core.chats import Chats
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Pair
from duologue.storage import events as event_store
from duologue.storage import receipts as store
from duologue.storage.batch import NoSuchChat, OutOfRange
from duologue.storage.database import Database, Done, Mark, Marked, settle

_ACK_STEP: Final = 1000


def mark_of(pair: Pair, user_id: int, *, delivered: int = 0, read: int = 0) -> Mark:
    """What a user says about one of their chats."""
    return Mark(pair.chat_id, pair.low, pair.high, pair.side_of(user_id), delivered, read)


class Receipts:
    """The rules for marks: they only rise, so repeats and late arrivals are harmless."""

    def __init__(self, db: Database, chats: Chats) -> None:
        self._db = db
        self._chats = chats
        self._acked: dict[int, int] = {}

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
        self._db.append(mark, done)

    async def ack(self, caller: Caller, seq: int) -> None:
        """A device has everything up to `seq` of the caller's log: what that covers is delivered.

        Raises `ApiError` `seq_out_of_range` beyond the newest event.
        """
        head = await self._db.read(event_store.log_head, caller.user_id)
        if seq > head.last_seq:
            raise ApiError("seq_out_of_range", errors={"seq": f"the newest event is {head.last_seq}"})
        reached = 0
        while reached < seq:
            reached, newest = await self._db.read(store.received, caller.user_id, seq, _ACK_STEP)
            await asyncio.gather(*(self._deliver(caller.user_id, *item) for item in newest.items()))
            await self._db.write(store.store_acks, {caller.user_id: reached})

    async def _deliver(self, user_id: int, chat_id: int, seq: int) -> None:
        pair = await self._chats.pair(user_id, chat_id)
        await self.mark(mark_of(pair, user_id, delivered=seq))

    def note_ack(self, user_id: int, seq: int) -> None:
        """Remember an ack whose marks are queued already, so that a later one need not look at its events again.

        It is written down by `flush` in its own time: if that is lost, those marks are raised again to no effect.
        """
        self._acked[user_id] = max(seq, self._acked.get(user_id, 0))

    async def flush(self) -> None:
        """Write the remembered acks down, all in one go. Raises `ApiError` `overloaded`."""
        acked, self._acked = self._acked, {}
        if acked:
            await self._db.write(store.store_acks, acked)
