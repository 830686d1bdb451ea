"""One user's part of an audit: their chats' marks, and the log that must tell all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from duologue.model import Kind, Known, Subject, kinds_about
from duologue.storage.database import Row
from duologue.storage.tables.events import pass_over

Found = Callable[[str, str], None]
"""Called with the rule that is broken, and what was found where."""
_OF_CHATS: Final = frozenset(kinds_about(Subject.MESSAGE, Subject.RECEIPT, Subject.CHAT))
_OF_MESSAGES: Final = frozenset(kinds_about(Subject.MESSAGE))
_OF_USERS: Final = frozenset(kinds_about(Subject.USER))
_OF_SESSIONS: Final = frozenset(kinds_about(Subject.SESSION))
_KINDS: Final = frozenset(map(int, Kind))


class AuditedUser(NamedTuple):
    """A user and all that is theirs but the log's events.

    `log`: its newest seq, floor, acked seq and top chat. `erasing`: what is left of a deleted user is still to go.
    `withheld`: chat and seq of each message that is withheld from the user.
    """

    user: int
    deleted: bool
    erasing: bool
    log: Row | None
    members: Sequence[Row]
    sessions: set[int]
    withheld: set[tuple[int, int]]


class Side(msgspec.Struct, gc=False):
    """A user's side of a chat, and what the log has told of it so far."""

    chat: int
    activity: int
    number: int
    last_seq: int
    marks: tuple[int, int]
    peer_marks: tuple[int, int]
    withheld: set[tuple[int, int]]
    told: int = 0
    told_marks: tuple[int, int] | None = None
    told_peer_marks: tuple[int, int] | None = None
    newest: int = 0

    def due(self) -> int:
        """The seq of the next message that the user is to be told of."""
        seq = self.told + 1
        while (self.chat, seq) in self.withheld:
            seq += 1
        return seq


def check_account(account: AuditedUser, events: Iterator[Row], found: Found) -> None:
    """Everything about one user."""
    sides = {side.chat: side for row in account.members if (side := _side(row, account.withheld, found))}
    if account.erasing and not account.deleted:
        found("erased but there", f"user {account.user}")
    if account.deleted or account.log is None:
        if not account.deleted:
            found("user without log", f"user {account.user}")
        elif account.log or (account.sessions and not account.erasing):
            found("deleted but there", f"user {account.user} has a log or sessions")
        for _ in events:
            if not account.erasing:
                found("orphan", f"events: {account.user} has no log")
        return
    _check_head(account, account.log, sides, found)
    _check_events(account, account.log, sides, events, found)
    trimmed = account.log[2] > 0
    for side in sides.values():
        _check_told(account.user, side, found, trimmed=trimmed)
    if not trimmed:
        listed = [side for side in sides.values() if side.activity]
        order = [side.newest for side in sorted(listed, key=lambda side: side.activity)]
        if any(before >= after for before, after in pairwise(order)):
            found("list out of order", f"the chats of user {account.user}")


def _side(row: Row, withheld: set[tuple[int, int]], found: Found) -> Side | None:
    """A side from its row, if there is such a chat; its marks are in range and count what they should."""
    user, chat, _, activity, known, delivered, read, delivered_shown, read_shown, count, *rest = row
    low_user, last_seq, written, low, high, *peer_marks = rest
    if low_user is None:
        found("list without chat", f"user {user} lists {chat}")
        return None
    number = int(user != low_user)
    if not (0 <= read_shown <= read <= delivered <= last_seq and read_shown <= delivered_shown <= delivered):
        shown = f"{read_shown}, {delivered_shown} shown"
        found("mark out of range", f"user {user} in chat {chat}: {shown}, {read}, {delivered} of {last_seq}")
    if known not in {0, 1, 2} or (written and known != Known.ANSWERED) or (known and not activity):
        found(
            "stranger mistaken",
            f"user {user} in chat {chat}: {known} after {written} messages, at {activity}",
        )
    counted = (low if number else high) or 0
    if count != counted:
        found("read miscounted", f"user {user} in chat {chat} says {count}, it is {counted}")
    return Side(chat, activity, number, last_seq, (delivered, read), (peer_marks[0], peer_marks[1]), withheld)


def _check_head(account: AuditedUser, log: Row, sides: dict[int, Side], found: Found) -> None:
    user, last_seq, floor, acked, top_chat = log
    if not 0 <= floor <= last_seq or not 0 <= acked <= last_seq:
        found("log head out of range", f"user {user}: {floor}, {acked} of {last_seq}")
    if top_chat and top_chat not in sides:
        found("log head out of range", f"user {user} has {top_chat} on top, which isn't theirs")
    for side in sides.values():
        if not 0 <= side.activity <= last_seq or (side.newest and not side.activity):
            found("list out of order", f"chat {side.chat} of user {account.user} stands at {side.activity}")


def _check_events(
    account: AuditedUser, log: Row, sides: dict[int, Side], events: Iterator[Row], found: Found
) -> None:
    """The log runs from its floor to its head without a hole, and each event is about something of the user's."""
    user, last_seq, floor, *_ = log
    peers = {user, *(row[2] for row in account.members)}
    expected = floor + 1
    for _, seq, kind, ref, a, b, message_side in events:
        if seq != expected:
            found("log not numbered", f"user {user}: {seq} where {expected} should be")
        expected = seq + 1
        if kind in _OF_CHATS:
            side = sides.get(ref)
            if side is None:
                found("event about nothing", f"user {user}: {seq} is about chat {ref}")
            else:
                _take(user, side, (seq, kind, a, b, message_side), found, trimmed=floor > 0)
        elif kind not in _KINDS:
            pass_over(kind)
        elif ref not in (peers if kind in _OF_USERS else account.sessions if kind in _OF_SESSIONS else ()):
            found("event about nothing", f"user {user}: {seq}, of kind {kind}, is about {ref}")
    if expected != last_seq + 1:
        found("log not numbered", f"user {user}: it ends at {expected - 1}, its head is {last_seq}")


def _take(user: int, side: Side, event: Row, found: Found, *, trimmed: bool) -> None:
    """One event about a chat."""
    seq, kind, a, b, _ = event
    where = f"user {user}, event {seq}, chat {side.chat}"
    if kind in _OF_MESSAGES:
        _take_message(where, side, event, found, trimmed=trimmed)
    elif kind == Kind.RECEIPT_MINE:
        _check_rise(where, side, side.told_marks, (a, b), found)
        side.told_marks = a, b
    elif kind == Kind.RECEIPT_PEER:
        _check_rise(where, side, side.told_peer_marks, (a, b), found)
        side.told_peer_marks = a, b
    elif not side.newest:
        side.newest = seq


def _take_message(where: str, side: Side, event: Row, found: Found, *, trimmed: bool) -> None:
    """One event about a message: it was created, or changed later."""
    seq, kind, a, b, message_side = event
    if message_side is None:
        found("event about nothing", f"{where}: there is no message {a}")
    elif b != (message_side == side.number):
        found("sender mistaken", f"{where}: message {a}")
    if kind == Kind.MESSAGE_CREATED:
        if a != side.due() and (side.told or not trimmed):
            found("message not told once", f"{where}: {a} follows {side.told}")
        side.told, side.newest = a, seq
    elif (side.chat, a) in side.withheld or (a > side.told and not trimmed):
        found("change told before its message", f"{where}: message {a} after {side.told}")


def _check_rise(
    where: str, side: Side, before: tuple[int, int] | None, now: tuple[int, int], found: Found
) -> None:
    """Marks rise with each receipt, and no further than the messages told before it."""
    delivered, read = before or (0, 0)
    if now[0] < delivered or now[1] < read or now == before:
        found("mark didn't rise", f"{where}: {now} follows {before}")
    if not 0 <= now[1] <= now[0] <= (side.due() - 1 if side.told else side.last_seq):
        found("mark out of range", f"{where}: {now} of {side.told}")


def _check_told(user: int, side: Side, found: Found, *, trimmed: bool) -> None:
    """Check that what the log tells of a chat ends where the chat stands; a trimmed log may not tell of it at all."""
    where = f"user {user}, chat {side.chat}"
    if side.due() <= side.last_seq and (side.told or not trimmed):
        found("message not told once", f"{where}: told up to {side.told} of {side.last_seq}")
    for name, told, marks in (
        ("own", side.told_marks, side.marks),
        ("peer's", side.told_peer_marks, side.peer_marks),
    ):
        if marks != (told or (marks if trimmed else (0, 0))):
            found("mark not told", f"{where}: the {name} marks are {marks}, told were {told}")
