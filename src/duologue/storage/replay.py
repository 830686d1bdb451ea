"""Reading a user's log back, each event with the record that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from duologue.model import Chat, Event, Kind, Message, Pair, Receipt, Session, User
from duologue.storage.accounts import session_by_id, user_by_id
from duologue.storage.chats import chat_view, profile_seen_by
from duologue.storage.database import Tx
from duologue.storage.messages import COLUMNS, load

_MESSAGE: Final = ", ".join(f"x.{name}" for name in COLUMNS.split(", "))
_PAGE: Final = (
    "SELECT (SELECT at FROM events WHERE user_id = :user_id AND seq = :after),"
    f" e.seq, e.kind, e.ref, e.a, e.b, e.at, c.low_user, c.high_user, {_MESSAGE} FROM events e"
    " LEFT JOIN chats c ON e.kind <= 3 AND c.id = e.ref"
    " LEFT JOIN messages x ON e.kind = 1 AND x.chat_id = e.ref AND x.seq = e.a"
    " WHERE e.user_id = :user_id AND e.seq > :after"
    # Of a deleted user the log's head goes first, the events in small steps later.
    " AND EXISTS (SELECT 1 FROM logs WHERE user_id = :user_id) ORDER BY e.seq LIMIT :limit"
)
# In Python 3.11 looking up a member of an enum takes longer than making a record.
_KINDS: Final = {int(kind): kind for kind in Kind}
_CREATED, _MINE, _PEER = Kind.MESSAGE_CREATED, Kind.RECEIPT_MINE, Kind.RECEIPT_PEER


def event_page(tx: Tx, user_id: int, after: int, limit: int) -> tuple[int, list[Event]]:
    """The user's next events after a seq, at most `limit`, in order.

    Before them comes the time of the event with that seq; 0 if it isn't there, or nothing follows it.
    """
    rows = tx.all(_PAGE, user_id=user_id, after=after, limit=limit)
    at = rows[0][0] if rows else None
    return at or 0, [_event(tx, user_id, row) for row in rows]


def _event(tx: Tx, user_id: int, row: Sequence[Any]) -> Event:
    _, seq, number, ref, a, b, at, low, high, *columns = row
    kind = _KINDS[number]
    body: Message | Receipt | Chat | User | Session | None
    if kind is _CREATED:
        body = load(Pair(ref, low, high), columns)
    elif kind is _MINE:
        body = Receipt(ref, user_id, a, b)
    elif kind is _PEER:
        body = Receipt(ref, Pair(ref, low, high).peer_of(user_id), a, b)
    elif kind is Kind.CHAT_UPDATED:
        body = chat_view(tx, user_id, ref)
    elif kind is Kind.USER_UPDATED:
        user = user_by_id(tx, ref)
        body = profile_seen_by(tx, user, user_id) if user else None
    else:
        body = session_by_id(tx, ref)
    if body is None:
        raise LookupError(f"event {seq} of user {user_id} is about something that is gone")
    return Event(user_id, seq, kind, ref, a, b, at, body)
