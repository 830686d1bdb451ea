"""Queries about the sessions and logs that a node follows: many in one statement."""

from __future__ import annotations

from collections.abc import Sequence

from duologue.storage.database import Tx
from duologue.storage.lists import id_list


def look(tx: Tx, session_ids: Sequence[int], user_ids: Sequence[int]) -> tuple[set[int], dict[int, int]]:
    """Those of the sessions that are of use, and the newest seq of each user's log, if it has one still."""
    return _usable(tx, session_ids), _log_ends(tx, user_ids)


def _usable(tx: Tx, session_ids: Sequence[int]) -> set[int]:
    """Those that have not ended, and whose users aren't suspended."""
    if not session_ids:
        return set()
    listed, values = id_list(session_ids)
    rows = tx.all(
        "SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id"
        f" WHERE s.ended_at IS NULL AND u.suspended_at IS NULL AND s.id IN {listed}",
        **values,
    )
    return {row[0] for row in rows}


def _log_ends(tx: Tx, user_ids: Sequence[int]) -> dict[int, int]:
    if not user_ids:
        return {}
    listed, values = id_list(user_ids)
    return dict(tx.all(f"SELECT user_id, last_seq FROM logs WHERE user_id IN {listed}", **values))
