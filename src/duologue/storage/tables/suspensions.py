"""Suspended users: what is theirs is kept, and they may do nothing."""

from __future__ import annotations

from typing import Final, NamedTuple

from duologue.model import Kind
from duologue.storage.database import Tx
from duologue.storage.tables.accounts import user_by_id
from duologue.storage.tables.events import NewEvent, append_events

FOUND_AT_ONCE: Final = 1_000
"""Suspended users that are found in one go."""


class Suspension(NamedTuple):
    """A suspended user: since when (epoch ms), and the newest seq of the user's log."""

    user_id: int
    since: int
    newest: int


def suspend(tx: Tx, user_id: int, now: int) -> bool:
    """Suspend a user. Returns False, and changes nothing, if that was done before or there is no such user.

    The event in the user's own log ends the user's sockets, on every node. Peers aren't told.
    """
    tx.lock_logs()
    suspended = tx.run(
        "UPDATE users SET suspended_at = :now"
        " WHERE id = :user_id AND suspended_at IS NULL AND deleted_at IS NULL",
        user_id=user_id,
        now=now,
    )
    user = user_by_id(tx, user_id)
    if not suspended or user is None:
        return False
    append_events(tx, [NewEvent(user_id, Kind.USER_UPDATED, user_id, user)], now)
    return True


def lift(tx: Tx, user_id: int) -> bool:
    """Let a suspended user in again. Returns False, and changes nothing, if the user isn't suspended."""
    return (
        tx.run(
            "UPDATE users SET suspended_at = NULL WHERE id = :user_id AND suspended_at IS NOT NULL",
            user_id=user_id,
        )
        > 0
    )


def suspended_since(tx: Tx, since: int) -> list[Suspension]:
    """The first few users who were suspended after then (epoch ms) and still are, in the order of that time."""
    rows = tx.all(
        "SELECT u.id, u.suspended_at, l.last_seq FROM users u JOIN logs l ON l.user_id = u.id"
        " WHERE u.suspended_at > :since ORDER BY u.suspended_at LIMIT :most",
        since=since,
        most=FOUND_AT_ONCE,
    )
    return [Suspension(*row) for row in rows]
