"""Users who are away: what no device has acknowledged in time is put before each channel that could reach them.

The transaction that stored a message left an alarm. When it is due, the channels look at the messages that it is
about, in the alarm's own transaction: whatever dies in between, either the alarm is there or what a channel made of
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Protocol

import msgspec

from duologue.clock import SLACK, Clock
from duologue.core.rounds import Rounds
from duologue.storage.database import AlarmRule, Database, Shard, Tx
from duologue.storage.tables import alarms
from duologue.storage.tables.alarms import MESSAGES_AT_ONCE, Alarm, WaitingMessage


class Later(msgspec.Struct, frozen=True, gc=False):
    """The first message of an alarm that a channel is to look at again, and when (epoch ms)."""

    seq: int
    due_at: int


class Channel(Protocol):
    """A way to reach a user who is away: it queues what it has to tell, and tells it outside of any transaction."""

    def answer(self, tx: Tx, alarm: Alarm, now: int) -> Later | None:
        """Queue those of an alarm's messages that are due; what isn't due yet, or None if that is all.

        A storage function, which may be run twice. It may be asked about a message again, and queues it once.
        """
        ...

    def wake(self) -> None:
        """There may be something in its queue."""
        ...


class AlarmLoop:
    """Answers alarms that are due, on behalf of all nodes together."""

    def __init__(self, db: Database, clock: Clock, rule: AlarmRule, channels: Sequence[Channel]) -> None:
        self._db = db
        self._clock = clock
        self._rule = rule
        self._channels = channels
        self._rounds = Rounds(self.round, waits="alarms wait", fails="alarms could not be answered")

    async def run(self) -> None:
        """The background loop."""
        await self._rounds.run()

    async def round(self) -> None:
        """Answer all alarms that are due. Raises `ApiError` `overloaded`."""
        self._rounds.begin()
        for shard in self._db.every_shard():
            if await shard.read(alarms.is_due, self._clock()):
                await self._answer(shard)

    async def _answer(self, shard: Shard) -> None:
        while await shard.write(answer_alarms, self._rule, self._channels, self._clock()):
            for channel in self._channels:
                channel.wake()


def answer_alarms(tx: Tx, rule: AlarmRule, channels: Sequence[Channel], now: int) -> int:
    """Put the next few due alarms before each channel; how many alarms.

    An alarm stays as long as a channel has a message of it to look at later.
    """
    # An alarm must not go while a message that relies on it is being stored.
    tx.lock_logs()
    needless = alarms.drop_needless(tx, rule, now)
    due = alarms.due_alarms(tx, now)
    for alarm in due:
        answers = [channel.answer(tx, alarm, now) for channel in channels]
        later = [answer for answer in answers if answer]
        if later:
            alarms.move(
                tx, alarm, min(answer.seq for answer in later), min(answer.due_at for answer in later)
            )
        else:
            alarms.drop(tx, alarm)
    return needless + len(due)


def messages_due(
    tx: Tx, alarm: Alarm, delay: int, now: int, *, acknowledged: bool
) -> tuple[list[WaitingMessage], Later | None]:
    """Return an alarm's messages that are at least `delay` ms old, and what is to be looked at later.

    `acknowledged` is as in `alarms.waiting`.
    """
    waiting = alarms.waiting(tx, alarm, acknowledged=acknowledged)
    # What a clock that was ahead has dated is due with its alarm, or it would wait for that date.
    due = list(takewhile(lambda each: each.sent_at + delay <= now or each.sent_at > now + SLACK, waiting))
    if len(due) < len(waiting):
        first = waiting[len(due)]
        return due, Later(first.seq, first.sent_at + delay)
    if len(waiting) == MESSAGES_AT_ONCE:
        return due, Later(waiting[-1].seq + 1, now)
    return due, None
