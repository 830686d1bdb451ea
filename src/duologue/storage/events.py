"""The event log: one per user, numbered without holes, trimmed at its old end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Final

import msgspec

from duologue.model import Chat, Event, Kind, Message, Receipt, Session, User
from duologue.storage.database import Tx
from duologue.storage.lists import id_list

_TRIM_USERS: Final = 200
_TRIM_EVENTS: Final = 500


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that has no number yet."""

    user_id: int
    kind: Kind
    ref: int
    body: Message | Receipt | Chat | User | Session
    a: int = 0
    b: int = 0


class LogHead(msgspec.Struct, frozen=True, gc=False):
    """Where a user's log stands: its newest seq, the newest no longer kept, the newest that a device acked."""

    last_seq: int
    floor: int
    acked: int


def insert_events(tx: Tx, events: Sequence[Event]) -> None:
    """Store numbered events."""
    tx.many(
        "INSERT INTO events (user_id, seq, kind, ref, a, b, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (event.user_id, event.seq, int(event.kind), event.ref, event.a, event.b, event.at)
            for event in events
        ],
    )


def append_events(tx: Tx, new: Sequence[NewEvent], now: int) -> list[Event]:
    """Number events in their users' logs, store them, and emit them. Call `tx.lock_logs` before.

    A user whose log is gone (deleted) is passed over.
    """
    heads = _move_heads(tx, Counter(item.user_id for item in new))
    events = []
    for item in sorted(new, key=lambda item: item.user_id):
        if item.user_id in heads:
            heads[item.user_id] += 1
            seq = heads[item.user_id]
            events.append(Event(item.user_id, seq, item.kind, item.ref, item.a, item.b, now, item.body))
    insert_events(tx, events)
    tx.emit(events)
    return events


def _move_heads(tx: Tx, moves: Mapping[int, int]) -> dict[int, int]:
    """Move each log on by its number of events; where each stood before. One statement for all that move as far."""
    users_by_move: dict[int, list[int]] = defaultdict(list)
    for user_id, moved in moves.items():
        users_by_move[moved].append(user_id)
    heads: dict[int, int] = {}
    for moved, user_ids in users_by_move.items():
        listed, values = id_list(user_ids)
        rows = tx.all(
            f"UPDATE logs SET last_seq = last_seq + :moved WHERE user_id IN {listed} RETURNING user_id, last_seq",
            moved=moved,
            **values,
        )
        heads |= {user_id: last_seq - moved for user_id, last_seq in rows}
    return heads


def log_head(tx: Tx, user_id: int) -> LogHead:
    """The state of a user's log. An unknown user's is empty."""
    row = tx.one("SELECT last_seq, floor, acked FROM logs WHERE user_id = :user_id", user_id=user_id)
    return LogHead(*row) if row else LogHead(0, 0, 0)


def trim_logs(tx: Tx, after_user: int, cutoff: int) -> tuple[int | None, int]:
    """Drop what is older than `cutoff` (epoch ms) from the logs of the next few users after `after_user`.

    One small step of a few hundred events, so that no writer waits for it. Returns the last user looked at, or
    None at the end of the users, and how many events went.
    """
    tx.lock_logs()
    rows = tx.all(
        "SELECT l.user_id, l.floor, e.at FROM logs l"
        " LEFT JOIN events e ON e.user_id = l.user_id AND e.seq = l.floor + 1"
        " WHERE l.user_id > :after_user ORDER BY l.user_id LIMIT :limit",
        after_user=after_user,
        limit=_TRIM_USERS,
    )
    dropped = 0
    for user_id, floor, at in rows:
        if at is not None and at < cutoff:
            dropped += _trim(tx, user_id, floor, cutoff)
        if dropped >= _TRIM_EVENTS:
            return user_id, dropped
    return (rows[-1][0] if len(rows) == _TRIM_USERS else None), dropped


def _trim(tx: Tx, user_id: int, floor: int, cutoff: int) -> int:
    oldest = tx.all(
        "SELECT seq, kind, ref, at FROM events WHERE user_id = :user_id AND seq > :floor AND seq <= :ceiling"
        " ORDER BY seq",
        user_id=user_id,
        floor=floor,
        ceiling=floor + _TRIM_EVENTS,
    )
    # Up to the first that is to stay: one behind it that seems older was dated by a clock that was behind.
    old = list(takewhile(lambda event: event[3] < cutoff, oldest))
    newest = old[-1][0]
    tx.run("UPDATE logs SET floor = :newest WHERE user_id = :user_id", newest=newest, user_id=user_id)
    # No event that names a session comes after the one that tells of its end.
    _forget_sessions(tx, user_id, [ref for _, kind, ref, _ in old if kind == Kind.SESSION_ENDED])
    return tx.run(
        "DELETE FROM events WHERE user_id = :user_id AND seq <= :newest", user_id=user_id, newest=newest
    )


def _forget_sessions(tx: Tx, user_id: int, session_ids: Sequence[int]) -> None:
    if session_ids:
        listed, values = id_list(session_ids)
        tx.run(f"DELETE FROM sessions WHERE user_id = :user_id AND id IN {listed}", user_id=user_id, **values)
