"""Traces: where a message is, and how it got there.

Nodes note hops in memory and write them down every few seconds, some chats to a row: a trace is for finding out, not
for proof, and what a node noted just before it was killed is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from duologue.clock import Clock
from duologue.core.flush import in_steps
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import HopName, Kind, Message, Pair, Step
from duologue.realtime.bus import Notice
from duologue.storage.append import strangers
from duologue.storage.database import Database, Tx
from duologue.storage.tables import outbox, traces
from duologue.storage.tables.messages import page_after
from duologue.storage.tables.outbox import Outgoing, State
from duologue.storage.tables.sms_relay import RelayRule, is_needless
from duologue.storage.tables.traces import Hop

# In Python 3.11 looking up a member of an enum takes longer than noting it.
_CREATED: Final = Kind.MESSAGE_CREATED
_ACCEPTED, _COMMITTED, _PUSHED, _ACKNOWLEDGED = Hop.ACCEPTED, Hop.COMMITTED, Hop.PUSHED, Hop.ACKNOWLEDGED
_MOST: Final = 150_000
"""Numbers in memory at once, three to a note; beyond that hops go unnoted until they are written down."""


class Traces:
    """Notes hops, and tells them to the sender. At most `most` numbers are in memory at once."""

    def __init__(
        self, db: Database, clock: Clock, *, kept: bool, rule: RelayRule | None = None, most: int = _MOST
    ) -> None:
        self._db = db
        self._clock = clock
        self._kept = kept
        self._rule = rule
        self._most = most
        # Numbers, one after the other: tuples would have Python's garbage collector look at each of them.
        self._notes: dict[int, list[int]] = {}
        self.noted = 0
        """Numbers that are in memory now, three to a note."""
        self._flushing = asyncio.Lock()

    def stored(self, message: Message, accepted_at: int) -> None:
        """A message has been committed, just now."""
        seq = message.seq
        self.note(message.chat_id, (seq, _ACCEPTED, accepted_at, seq, _COMMITTED, self._clock()))

    def pushed(self, notices: Sequence[Notice]) -> None:
        """A device was given these events."""
        now = self._clock()
        for notice in notices:
            if notice.kind == _CREATED and not notice.b:
                self.note(notice.ref, (notice.a, _PUSHED, now))

    def acknowledged(self, chat_id: int, seq: int) -> None:
        """A device has a message, and all before it."""
        self.note(chat_id, (seq, _ACKNOWLEDGED, self._clock()))

    def note(self, chat_id: int, notes: Sequence[int]) -> None:
        """Note what happened to a chat's messages: a seq, a `Hop` and a time (epoch ms) for each."""
        if not self._kept or self.noted >= self._most:
            return
        self.noted += len(notes)
        known = self._notes.get(chat_id)
        if known is None:
            self._notes[chat_id] = list(notes)
        else:
            known += notes

    def has_notes(self, chat_id: int) -> bool:
        """Return whether hops of this chat's messages are still to be written down."""
        return chat_id in self._notes

    async def flush(self, pause: float = 0) -> None:
        """Write the notes down, with so many seconds between parts. Raises `ApiError` `overloaded`."""
        # Whoever asks for a trace meanwhile waits: what is on its way is in no place where it could be found.
        async with self._flushing:
            async for part in in_steps(self._notes, pause):
                self.noted -= sum(map(len, part.values()))
                await self._store(part)

    async def _flush_chat(self, chat_id: int) -> None:
        """Write down what is noted of one chat; of the others, their time will come."""
        async with self._flushing:
            notes = self._notes.pop(chat_id, None)
            if notes:
                self.noted -= len(notes)
                await self._store({chat_id: notes})

    async def _store(self, notes: Mapping[int, Sequence[int]]) -> None:
        for shard, of_chats in self._db.by_chat(notes):
            await shard.write(traces.store_notes, of_chats, self._clock())

    async def trace(self, caller: Caller, pair: Pair, seq: int) -> list[Step]:
        """Every known hop of one of the caller's messages, in the order of time.

        Raises `ApiError` `not_found`, and `not_sender` for a message of the peer's.
        """
        await self._flush_chat(pair.chat_id)
        return await self._db.of_chat(pair).read(_trace, caller.user_id, pair, seq, self._rule)


def _trace(tx: Tx, user_id: int, pair: Pair, seq: int, rule: RelayRule | None) -> list[Step]:
    found = page_after(tx, pair, seq - 1, 1)
    if not found or found[0].seq != seq:
        raise ApiError("not_found", "There is no such message.")
    [message] = found
    if message.sender_id != user_id:
        raise ApiError("not_sender")
    shown = strangers.shows_arrival(tx, pair, message)
    noted = traces.notes_of(tx, pair.chat_id, seq)
    noted.setdefault(Hop.COMMITTED, message.sent_at)
    steps = [Step(_NAMES[hop], at) for hop, at in noted.items() if shown or hop in _OWN]
    row = outbox.find(tx, pair.chat_id, seq)
    steps += _changed(message, row if shown else None)
    if row and shown:
        needless = row.state is State.QUEUED and rule is not None and is_needless(tx, row, rule)
        steps += _relayed(tx, row, noted.get(Hop.ACKNOWLEDGED, row.created_at) if needless else None)
    return sorted(steps, key=lambda step: step.at)


def _changed(message: Message, row: Outgoing | None) -> list[Step]:
    """The last edit and the deletion, with what an SMS of it may have carried away before."""
    steps = [] if message.edited_at is None else [Step("edited", message.edited_at)]
    if message.deleted_at is not None:
        detail = ""
        if row and row.sent_at is not None:
            detail = "an SMS of it was sent"
        elif row and row.state is State.LEASED:
            detail = "an SMS of it may have been sent"
        steps.append(Step("deleted", message.deleted_at, detail))
    return steps


_OWN: Final = (Hop.ACCEPTED, Hop.COMMITTED)
"""What a sender may learn however the recipient stands to it."""
_NAMES: Final[dict[Hop, HopName]] = {
    Hop.ACCEPTED: "accepted",
    Hop.COMMITTED: "committed",
    Hop.PUSHED: "pushed",
    Hop.ACKNOWLEDGED: "acknowledged",
}


def _relayed(tx: Tx, row: Outgoing, acknowledged_at: int | None) -> list[Step]:
    """The relay's steps. `acknowledged_at`: since when it waits for nothing, as a device has the message."""
    steps = [Step("sms_due", row.created_at)]
    if row.sent_at is not None:
        # Nobody told how many if the provider's answer got lost.
        parts = f", {row.parts} part{'s' if row.parts > 1 else ''}" if row.parts else ""
        steps.append(Step("sms_sent", row.sent_at, f"{row.provider}{parts}"))
    for at, state, part, code in outbox.receipts_of(tx, row.id):
        detail = " ".join(filter(None, (state, f"part {part}" if part else "", f"({code})" if code else "")))
        steps.append(Step("sms_receipt", at, detail))
    ended = row.ended_at or row.next_at
    if row.state is State.CANCELLED:
        steps.append(Step("sms_cancelled", ended, row.reason))
    elif acknowledged_at is not None:
        # It will never be sent: whoever leases it looks at the mark first.
        steps.append(Step("sms_cancelled", max(acknowledged_at, row.created_at), "acknowledged"))
    elif row.state in (State.FAILED, State.DEAD):
        steps.append(Step("sms_failed", ended, row.reason))
    elif row.state is State.QUEUED and row.reason:
        steps.append(Step("sms_due", row.next_at, row.reason))
    return steps
