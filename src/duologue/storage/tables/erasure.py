"""Erasing what is left of deleted users, in small steps. Nobody can read it meanwhile."""

from __future__ import annotations

from typing import Final

from duologue.storage.database import Tx

ERASED_AT_ONCE: Final = 500
"""Rows that one step deletes at most."""
_KEYS: Final = {
    "sessions": "id",
    "alarms": "chat_id",
    "sms_pairs": "service",
    "sms_unanswered": "chat_id",
    "events": "seq",
}
"""The tables, and what tells the rows of one user apart."""


def next_erasure(tx: Tx) -> int | None:
    """Return the time of the next step (epoch ms); None if nobody is to be erased."""
    row = tx.one("SELECT min(due_at) FROM erasures")
    return row[0] if row else None


def erase_some(tx: Tx, now: int) -> int:
    """Delete the next few rows of a deleted user; how many."""
    row = tx.one("SELECT user_id FROM erasures WHERE due_at <= :now ORDER BY due_at LIMIT 1", now=now)
    if row is None or not _claim(tx, row[0], now):
        return 0
    user_id, erased = row[0], 0
    for table, key in _KEYS.items():
        erased += tx.run(
            f"DELETE FROM {table} WHERE user_id = :user_id"
            f" AND {key} IN (SELECT {key} FROM {table} WHERE user_id = :user_id LIMIT :most)",
            user_id=user_id,
            most=ERASED_AT_ONCE - erased,
        )
        if erased >= ERASED_AT_ONCE:
            return erased
    tx.run("DELETE FROM erasures WHERE user_id = :user_id", user_id=user_id)
    return erased


def _claim(tx: Tx, user_id: int, now: int) -> bool:
    """Let other users' erasures go first next time, and other nodes wait; whether none of those has just ended it."""
    return tx.run("UPDATE erasures SET due_at = :now WHERE user_id = :user_id", now=now, user_id=user_id) > 0
