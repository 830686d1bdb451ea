"""The event log: one per user, numbered without holes, trimmed at its old end."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import Final

import msgspec

from duologue.errors import ApiError
from duologue.model import MAX_SEQ, Chat, Event, Kind, Message, Receipt, Session, User
from duologue.storage.database import Tx
from duologue.storage.lists import id_list

_log = logging.getLogger(__name__)

_TRIM_USERS: Final = 200  # users
_TRIM_EVENTS: Final = 500  # events
NOWHERE: Final = -1
"""In place of a seq: no log has an event there."""


def _time_of(seq: str) -> str:
    """SQL for the time of the event with this seq in the log `l`; 0 if there is none, or it isn't known."""
    return (
        f"coalesce((SELECT e.at FROM events e WHERE e.user_id = l.user_id AND e.seq = {seq}),"
        f" CASE WHEN l.floor = {seq} THEN l.floor_at END, 0)"
    )


def head_columns(asked: str) -> str:
    """SQL for the columns of the `LogHead` of the log `l`, with the time of the event whose seq is `asked`."""
    return f"l.last_seq, l.floor, l.acked, {_time_of('l.last_seq')}, {_time_of(asked)}"


_HEAD: Final = f"SELECT {head_columns(':asked')} FROM logs l WHERE l.user_id = :user_id"


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that has no number yet."""

    user_id: int
    kind: Kind
    ref: int
    body: Message | Receipt | Chat | User | Session
    a: int = 0
    b: int = 0


class LogHead(msgspec.Struct, frozen=True, gc=False):
    """The state of a user's log: its newest seq, the newest no longer kept, the newest that a device acked.

    `last_at` is the newest event's time in epoch milliseconds, `asked_at` that of the event that was asked for; 0 if
    there is no such event. The time of the newest event that is no longer kept is known if this release dropped it.
    """

    last_seq: int
    floor: int
    acked: int
    last_at: int
    asked_at: int


@cache  # So it is said once.
def pass_over(kind: int) -> None:
    """Log that there are events of a kind that only a newer release knows."""
    _log.warning("a newer release wrote events of kind %d to the logs: this one passes over them", kind)


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


def check_seqs(newest: Iterable[int]) -> None:
    """Raises `ApiError` `log_full` when one of these numbers is beyond the last that there is.

    PostgreSQL's columns end there, and so does the wire contract.
    """
    if max(newest, default=0) > MAX_SEQ:
        raise ApiError("log_full")


def _move_heads(tx: Tx, moves: Mapping[int, int]) -> dict[int, int]:
    """Move each log on by its number of events; where each stood before. One statement for all that move as far.

    Raises `ApiError` `log_full`.
    """
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
        check_seqs(last_seq for _, last_seq in rows)
        heads |= {user_id: last_seq - moved for user_id, last_seq in rows}
    return heads


def log_head(tx: Tx, user_id: int, asked: int = NOWHERE) -> LogHead | None:
    """The state of a user's log, with the time of the event whose seq is `asked`.

    None if there is no log: the user is unknown or deleted.
    """
    row = tx.one(_HEAD, user_id=user_id, asked=asked)
    return LogHead(*row) if row else None


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
    newest, *_, newest_at = old[-1]
    tx.run(
        "UPDATE logs SET floor = :newest, floor_at = :newest_at WHERE user_id = :user_id",
        newest=newest,
        newest_at=newest_at,
        user_id=user_id,
    )
    # No event that names a session comes after the one that tells of its end.
    _forget_sessions(tx, user_id, [ref for _, kind, ref, _ in old if kind == Kind.SESSION_ENDED])
    return tx.run(
        "DELETE FROM events WHERE user_id = :user_id AND seq <= :newest", user_id=user_id, newest=newest
    )


def _forget_sessions(tx: Tx, user_id: int, session_ids: Sequence[int]) -> None:
    if session_ids:
        listed, values = id_list(session_ids)
        tx.run(f"DELETE FROM sessions WHERE user_id = :user_id AND id IN {listed}", user_id=user_id, **values)
