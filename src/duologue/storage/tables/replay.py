"""Reading a user's log back, each event with the record that it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from duologue.model import (
    Chat,
    Event,
    Kind,
    Message,
    Pair,
    Receipt,
    Session,
    Subject,
    User,
    kinds_about,
)
from duologue.storage.database import Tx
from duologue.storage.tables.accounts import session_by_id, user_by_id
from duologue.storage.tables.chats import chat_view, profile_seen_by
from duologue.storage.tables.events import pass_over
from duologue.storage.tables.messages import COLUMNS, load

_MESSAGE: Final = ", ".join(f"x.{name}" for name in COLUMNS.split(", "))
_PAGE: Final = (
    "SELECT (SELECT at FROM events WHERE user_id = :user_id AND seq = :after),"
    f" e.seq, e.kind, e.ref, e.a, e.b, e.at, c.low_user, c.high_user, {_MESSAGE} FROM events e"
    f" LEFT JOIN chats c ON e.kind IN {kinds_about(Subject.MESSAGE, Subject.RECEIPT)} AND c.id = e.ref"
    f" LEFT JOIN messages x ON e.kind IN {kinds_about(Subject.MESSAGE)} AND x.chat_id = e.ref AND x.seq = e.a"
    " WHERE e.user_id = :user_id AND e.seq > :after"
    # Of a deleted user the log's head goes first, the events in small steps later.
    " AND EXISTS (SELECT 1 FROM logs WHERE user_id = :user_id) ORDER BY e.seq LIMIT :limit"
)
Body = Message | Receipt | Chat | User | Session


class _Entry(NamedTuple):
    """A stored event with the columns that were joined to it."""

    user_id: int
    ref: int
    a: int
    b: int
    low: int
    high: int
    message: Sequence[Any]


def _message(_: Tx, entry: _Entry) -> Body:
    return load(Pair(entry.ref, entry.low, entry.high), entry.message)


def _receipt_mine(_: Tx, entry: _Entry) -> Body:
    return Receipt(entry.ref, entry.user_id, entry.a, entry.b)


def _receipt_peer(_: Tx, entry: _Entry) -> Body:
    peer_id = Pair(entry.ref, entry.low, entry.high).peer_of(entry.user_id)
    return Receipt(entry.ref, peer_id, entry.a, entry.b)


def _profile(tx: Tx, entry: _Entry) -> Body | None:
    user = user_by_id(tx, entry.ref)
    return profile_seen_by(tx, user, entry.user_id) if user else None


LOADERS: Final[Mapping[Kind, Callable[[Tx, _Entry], Body | None]]] = {
    Kind.MESSAGE_CREATED: _message,
    Kind.RECEIPT_MINE: _receipt_mine,
    Kind.RECEIPT_PEER: _receipt_peer,
    Kind.CHAT_UPDATED: lambda tx, entry: chat_view(tx, entry.user_id, entry.ref),
    Kind.USER_UPDATED: _profile,
    Kind.SESSION_CREATED: lambda tx, entry: session_by_id(tx, entry.ref),
    Kind.SESSION_ENDED: lambda tx, entry: session_by_id(tx, entry.ref),
    Kind.MESSAGE_UPDATED: _message,
}
"""The record that an event of each kind is about, as it is now; None if it is gone."""
# In Python 3.11 looking up a member of an enum takes longer than making a record.
_KINDS: Final = {int(kind): (kind, loader) for kind, loader in LOADERS.items()}


def event_page(tx: Tx, user_id: int, after: int, limit: int) -> tuple[int, list[Event]]:
    """The user's next events after a seq, at most `limit`, in order.

    Before them comes the time of the event with that seq; 0 if it isn't there, or nothing follows it.
    """
    rows = tx.all(_PAGE, user_id=user_id, after=after, limit=limit)
    at = rows[0][0] if rows else None
    return at or 0, [_event(tx, user_id, row) for row in rows]


def _event(tx: Tx, user_id: int, row: Sequence[Any]) -> Event:
    _, seq, number, ref, a, b, at, low, high, *columns = row
    if number not in _KINDS:
        # The seq has to be told all the same: a log has no holes.
        pass_over(number)
        return Event(user_id, seq, number, ref, a, b, at, None)
    kind, loader = _KINDS[number]
    body = loader(tx, _Entry(user_id, ref, a, b, low, high, columns))
    if body is None:
        raise LookupError(f"event {seq} of user {user_id} is about something that is gone")
    return Event(user_id, seq, kind, ref, a, b, at, body)
