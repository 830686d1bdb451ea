"""Acks: what a device says it has, and the delivered marks that this moves."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic
from typing import Any, Final

from duologue.core.messages import explain
from duologue.core.positions import Position
from duologue.core.receipts import MARKS_AT_ONCE, Receipts, mark_of
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Kind
from duologue.realtime.bus import Notice
from duologue.storage.database import Mark, Marked

GATHER: Final = 0.1
"""Seconds after a device's marks were raised in which its next acks wait, so as to be raised together."""
HOLD: Final = 0.02
"""Longest wait in seconds of an ack for those of other connections, while many chats are written to."""
_DENSE: Final = 2_000
"""Acks a second of all connections from which on each waits for the next ones of its own connection alone."""
_COUNTED_FOR: Final = 0.25  # seconds
_TICK: Final = 0.01  # seconds by which a timer may be early
_CREATED: Final = Kind.MESSAGE_CREATED
_GIVEN: Final = 500  # events

Spawn = Callable[[Coroutine[Any, Any, None]], Any]
Failed = Callable[[ApiError], None]
Checked = Callable[[ApiError | None], None]
"""Called with why a position is refused, or None if it is good."""


class AckTimer:
    """Timer of the acks of all connections: a node has one.

    `many_chats` tells whether many chats are written to: then acks wait for each other across connections, for
    `held` seconds. Else the acks of one connection wait for `seconds`.
    """

    def __init__(self, many_chats: Callable[[], bool], seconds: float = GATHER, held: float = HOLD) -> None:
        self.seconds = seconds
        self.held = held
        self._many_chats = many_chats
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()
        self._together: list[Callable[[], None]] = []
        self._count = 0
        self._counted_from = 0.0
        self._too_many = False

    def holds(self, now: float) -> bool:
        """Count an ack; whether it should wait for others: many come, but not so many that each chat has several."""
        if now - self._counted_from >= _COUNTED_FOR:
            self._too_many = (
                self._count >= _DENSE * _COUNTED_FOR and now - self._counted_from < 2 * _COUNTED_FOR
            )
            self._count, self._counted_from = 0, now
        self._count += 1
        return not self._too_many and self._many_chats()

    def hold(self, callback: Callable[[], None]) -> None:
        """Call it within `held` seconds, together with all that are held."""
        if not self._together:
            asyncio.get_running_loop().call_later(self.held, self._let_go)
        self._together.append(callback)

    def _let_go(self) -> None:
        together, self._together = self._together, []
        loop = asyncio.get_running_loop()
        for callback in together:
            loop.call_soon(callback)

    def add(self, callback: Callable[[], None]) -> None:
        """Call it in `seconds`, up to a hundredth of a second early."""
        if not self._queue:
            asyncio.get_running_loop().call_later(self.seconds, self._call)
        self._queue.append((monotonic() + self.seconds, callback))

    def _call(self) -> None:
        loop, now = asyncio.get_running_loop(), monotonic()
        while self._queue and self._queue[0][0] <= now + _TICK:
            loop.call_soon(self._queue.popleft()[1])
        if self._queue:
            loop.call_later(self._queue[0][0] - now, self._call)


class Acks:
    """Acks of one connection: the events given to its device, and how far the device has acked them.

    An ack moves the delivered marks of the chats whose messages it covers. Which they are is remembered here;
    for events up to `unknown` (given on an earlier connection, or too many to remember, or their marks could
    not be stored) the log tells. A client that never acks costs a bounded amount of memory.

    The marks of a device that acks one message after the other are raised as often as the timer says, with an ack
    that comes then, or when the first that waits has done so as long; the first after a pause isn't kept waiting,
    except while many chats are written to: then all that are acked within a moment are raised together, whoever's
    they are. `spawn` runs checks of positions, `outlive` what raises marks after a look into the log:
    it goes on when the connection ends. At most `most_known` events are remembered.
    """

    __slots__ = (
        "_acked",
        "_caller",
        "_claim",
        "_due",
        "_failed",
        "_given",
        "_heard",
        "_most_known",
        "_outlive",
        "_pending",
        "_raised_at",
        "_receipts",
        "_scanning",
        "_spawn",
        "_timer",
        "_unknown",
    )

    def __init__(
        self,
        receipts: Receipts,
        timer: AckTimer,
        caller: Caller,
        spawn: Spawn,
        *,
        unknown: int,
        most_known: int = _GIVEN,
        outlive: Spawn | None = None,
    ) -> None:
        self._receipts = receipts
        self._timer = timer
        self._caller = caller
        self._spawn = spawn
        self._outlive = outlive or spawn
        self._unknown = unknown
        self._most_known = most_known
        self._given: deque[tuple[int, int, int]] | None = None
        self._heard = 0
        self._acked = 0
        self._raised_at = 0.0
        self._due = 0.0
        self._pending = 0
        self._failed: Failed | None = None
        self._scanning = False
        self._claim: tuple[Position, Checked] | None = None

    @property
    def idle(self) -> bool:
        """True when no ack waits, no mark is on its way into the store, and no look at the log is under way."""
        return not (self._due or self._pending or self._scanning or self._claim)

    @property
    def known(self) -> int:
        """Number of events of which it is remembered here what an ack of them raises."""
        return len(self._given or ())

    def record_sent(self, notice: Notice) -> None:
        """The device was given this event."""
        if notice.kind != _CREATED or notice.b:
            return
        if notice.seq > self._unknown:
            self._receipts.pushed(notice)
        if self._given is None:
            self._given = deque()
        elif len(self._given) >= self._most_known:
            self._unknown = self._given[-1][0]
            self._given.clear()
        self._given.append((notice.seq, notice.ref, notice.a))

    def ack(self, seq: int, failed: Failed) -> None:
        """The device has everything up to `seq`.

        `failed` is told if that, or what was acked before it, could not be stored, or not all of it: the device
        should ack again. Of acks that wait together, the newest one's is told.
        """
        self._heard = max(self._heard, seq)
        self._failed = failed
        now = monotonic()
        if self._timer.holds(now):
            if not self._due:
                self._due = now
                self._timer.hold(self._overdue)
        elif now - self._raised_at >= self._timer.seconds:
            self._advance(failed)
        elif not self._due:
            self._due = now + self._timer.seconds
            self._timer.add(self._overdue)

    def check(self, position: Position, checked: Checked) -> None:
        """Look whether the log has this event of which the device says that it has it; then call `checked`.

        One look-up at a time. Of those that come meanwhile the one with the highest seq is looked at next: it speaks
        for the others, which are passed over.
        """
        if self._claim is None:
            self._claim = position, checked
            self._spawn(self._check_claims())
        elif position.seq >= self._claim[0].seq:
            self._claim = position, checked

    async def _check_claims(self) -> None:
        try:
            while self._claim:
                claim = position, checked = self._claim
                try:
                    await self._receipts.check_ack(self._caller, position)
                except ApiError as error:
                    checked(error)
                else:
                    checked(None)
                if self._claim is claim:
                    break
        finally:
            self._claim = None

    def flush(self) -> None:
        """Raise the marks of what was acked and still waits."""
        if self._due:
            assert self._failed
            self._advance(self._failed)

    def _overdue(self) -> None:
        """Timer: raise the marks of waiting acks, unless newer ones were scheduled."""
        if monotonic() + 2 * _TICK >= self._due:
            self.flush()

    def _advance(self, failed: Failed) -> None:
        self._due = 0.0
        self._acked = self._heard
        if self._unknown or not self._raise(self._acked, failed):
            self._look_up()

    def _raise(self, seq: int, failed: Failed) -> bool:
        """Raise the marks of what was given up to `seq`; whether memory was enough for that."""
        marks = self._marks(self._covered(seq))
        if marks is None:
            return False
        if marks:
            self._raised_at = monotonic()
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
        """The marks to raise; None if the log must tell, or there are so many that they are raised in steps."""
        if len(newest) > MARKS_AT_ONCE:
            self._unknown = self._acked
            return None
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

    def _look_up(self) -> None:
        """One look at a time; it goes on as far as was acked meanwhile."""
        if not self._scanning:
            self._scanning = True
            self._outlive(self._scan())

    async def _scan(self) -> None:
        """Have the log tell what memory doesn't know; what was given since then is in memory."""
        assert self._failed
        try:
            while self._unknown:
                reached = self._acked
                await self._receipts.ack(self._caller, reached)
                if reached >= self._unknown:
                    self._unknown = 0
                    self._raise(self._acked, self._failed)
                elif reached == self._acked:
                    break
        except ApiError as error:
            self._failed(error)
        finally:
            self._scanning = False
