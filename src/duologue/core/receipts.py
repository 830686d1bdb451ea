"""Receipts: the marks of who has got and read what, and acks that move them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from duologue.core.chats import Chats
from duologue.core.flush import in_steps
from duologue.core.messages import explain
from duologue.core.sessions import Caller
from duologue.core.traces import Traces
from duologue.errors import ApiError
from duologue.model import Kind, Pair
from duologue.realtime.bus import Notice
from duologue.storage import receipts as store
from duologue.storage.batch import NoSuchChat, OutOfRange
from duologue.storage.database import Database, Done, Mark, Marked, settle

_CREATED: Final = Kind.MESSAGE_CREATED
_ACK_STEP: Final = 1000
_GIVEN: Final = 500

Spawn = Callable[[Coroutine[Any, Any, None]], Any]
Failed = Callable[[ApiError], None]


def mark_of(pair: Pair, user_id: int, *, delivered: int = 0, read: int = 0) -> Mark:
    """What a user says about one of their chats."""
    return Mark(pair.chat_id, user_id, pair.peer_of(user_id), pair.side_of(user_id), delivered, read)


class Receipts:
    """The rules for marks: they only rise, so repeats and late arrivals are harmless."""

    def __init__(self, db: Database, chats: Chats, traces: Traces) -> None:
        self._db = db
        self._chats = chats
        self._traces = traces
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

        Raises `ApiError` `seq_out_of_range` beyond the newest event.
        """
        reached = self._acked.get(caller.user_id, 0)
        while reached < seq:
            found = await self._db.read(store.received, caller.user_id, reached, seq, _ACK_STEP)
            if seq > found.last_seq:
                raise ApiError("seq_out_of_range", errors={"seq": f"the newest event is {found.last_seq}"})
            await asyncio.gather(
                *(
                    self.mark(mark_of(self._chats.remember(pair), caller.user_id, delivered=newest))
                    for pair, newest in found.newest.items()
                )
            )
            reached = found.reached
            self.note_ack(caller.user_id, reached)

    def note_ack(self, user_id: int, seq: int) -> None:
        """Remember an ack whose marks are stored or queued, so that a later one need not look at its events again.

        It is written down by `flush` in its own time: if that is lost, those marks are raised again to no effect.
        """
        self._acked[user_id] = max(seq, self._acked.get(user_id, 0))

    async def flush(self, pause: float = 0) -> None:
        """Write the remembered acks down, with so many seconds between parts. Raises `ApiError` `overloaded`."""
        async for part in in_steps(self._acked, pause):
            await self._db.write(store.store_acks, part)

    def known_pair(self, user_id: int, chat_id: int) -> Pair | None:
        """One of the user's chats, from memory alone: None says nothing."""
        return self._chats.known_pair(user_id, chat_id)


class Acks:
    """What one connection has given its device of the log, and how far that has acked it.

    An ack moves the delivered marks of the chats whose messages it covers. Which they are is remembered here;
    for events up to `unknown` (given on an earlier connection, or too many to remember, or their marks could
    not be stored) the log tells. A client that never acks costs a bounded amount of memory.
    """

    __slots__ = ("_acked", "_caller", "_failed", "_given", "_pending", "_receipts", "_scanning", "_unknown")

    def __init__(self, receipts: Receipts, caller: Caller, unknown: int) -> None:
        self._receipts = receipts
        self._caller = caller
        self._unknown = unknown
        self._given: deque[tuple[int, int, int]] | None = None
        self._acked = 0
        self._pending = 0
        self._failed: Failed | None = None
        self._scanning = False

    def gave(self, notice: Notice) -> None:
        """The device was given this event."""
        if notice.kind != _CREATED or notice.b:
            return
        if notice.seq > self._unknown:
            self._receipts.pushed(notice)
        if self._given is None:
            self._given = deque()
        elif len(self._given) >= _GIVEN:
            self._unknown = self._given[-1][0]
            self._given.clear()
        self._given.append((notice.seq, notice.ref, notice.a))

    def ack(self, seq: int, spawn: Spawn, failed: Failed) -> None:
        """The device has everything up to `seq`.

        `failed` is told if that could not be stored, or not all of it: the device should ack again. `spawn` runs
        what has to look into the log.
        """
        self._acked = max(self._acked, seq)
        if self._unknown or not self._raise(seq, failed):
            self._look_up(spawn, failed)

    def _raise(self, seq: int, failed: Failed) -> bool:
        """Raise the marks of what was given up to `seq`; whether memory was enough for that."""
        marks = self._marks(self._covered(seq))
        if marks is None:
            return False
        self._pending += len(marks)
        for index, mark in enumerate(marks):
            try:
                self._receipts.submit(mark, partial(self._marked, seq, failed))
            except ApiError as error:
                self._pending -= len(marks) - index
                self._missed(seq, failed, error)
                return True
        self._note()
        return True

    def _covered(self, seq: int) -> dict[int, int]:
        """The newest message of each chat among what was given up to `seq`, which is then forgotten."""
        newest = {}
        while self._given and self._given[0][0] <= seq:
            _, chat_id, message_seq = self._given.popleft()
            newest[chat_id] = message_seq
        return newest

    def _marks(self, newest: dict[int, int]) -> list[Mark] | None:
        """The marks to raise; None if the log must tell."""
        user_id = self._caller.user_id
        marks = []
        for chat_id, message_seq in newest.items():
            pair = self._receipts.known_pair(user_id, chat_id)
            if pair is None:
                self._unknown = self._acked
                return None
            marks.append(mark_of(pair, user_id, delivered=message_seq))
        return marks

    def _marked(self, seq: int, failed: Failed, outcome: Marked | Exception) -> None:
        self._pending -= 1
        if isinstance(outcome, Exception):
            self._missed(seq, failed, explain(outcome))
        else:
            self._note()

    def _missed(self, seq: int, failed: Failed, error: ApiError) -> None:
        self._unknown = max(self._unknown, seq)
        failed(error)

    def _note(self) -> None:
        if not self._pending and not self._unknown:
            self._receipts.note_ack(self._caller.user_id, self._acked)

    def _look_up(self, spawn: Spawn, failed: Failed) -> None:
        """One look at a time; it goes on as far as was acked meanwhile."""
        self._failed = failed
        if not self._scanning:
            self._scanning = True
            spawn(self._scan())

    async def _scan(self) -> None:
        """Have the log tell what memory doesn't know; what was given since then is in memory."""
        try:
            while self._unknown:
                reached = self._acked
                await self._receipts.ack(self._caller, reached)
                if reached >= self._unknown:
                    self._unknown = 0
                    assert self._failed
                    self._raise(self._acked, self._failed)
                elif reached == self._acked:
                    break
        except ApiError as error:
            if self._failed:
                self._failed(error)
        finally:
            self._scanning = False
            self._failed = None
