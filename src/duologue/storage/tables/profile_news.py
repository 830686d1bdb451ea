"""Telling peers of a user's profile, in small steps.

A change makes one row for the user (`storage/tables/accounts.py:tell_profile`). The steps begin it by writing down
whom to tell, then tell a few peers at a time. The place and the events move in one transaction under the lock of all
log writers: so no two nodes tell the same peers, and a crash repeats nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from duologue.model import Kind
from duologue.storage.database import Tx
from duologue.storage.tables.accounts import NEWS_REST, user_by_id
from duologue.storage.tables.events import NewEvent, append_events

PEERS_TOLD: Final = 1_000
"""How many of a user's peers, those with the most recently active chats, hear of a change to its profile."""
TOLD_AT_ONCE: Final = 40
"""Peers that one step tells: so many rows of logs and of events."""
_USERS_AT_ONCE: Final = 10
"""Users whose peers one step tells, at most."""
_ID_BYTES: Final = 8  # bytes


def next_news(tx: Tx) -> int | None:
    """Return the time of the next step (epoch ms); None if nobody has news."""
    row = tx.one("SELECT min(due_at) FROM profile_news")
    return row[0] if row else None


def fresh_news(tx: Tx, now: int) -> list[tuple[int, int]]:
    """A few users with news that are due and not begun, and how often each has changed."""
    rows = tx.all(
        "SELECT user_id, changes FROM profile_news WHERE due_at <= :now AND peers IS NULL"
        " ORDER BY due_at LIMIT :most",
        now=now,
        most=_USERS_AT_ONCE,
    )
    return [(row[0], row[1]) for row in rows]


def peers_to_tell(tx: Tx, user_id: int) -> list[int]:
    """Return the users who hear of this user's profile, the most recently active chat first.

    These are the peers whom the user has answered; that an account is gone is told to all who list a chat with it.
    """
    user = user_by_id(tx, user_id)
    known = "m.known > 0 AND m.known = 2" if user and user.phone else "m.known >= 0"
    rows = tx.all(
        # A subquery and no join: PostgreSQL would rather read all members through than look so many up.
        f"SELECT m.peer_id FROM members m WHERE m.user_id = :user_id AND {known}"
        " AND (SELECT p.activity FROM members p WHERE p.user_id = m.peer_id AND p.chat_id = m.chat_id) > 0"
        " ORDER BY m.activity DESC LIMIT :most",
        user_id=user_id,
        most=PEERS_TOLD,
    )
    return [row[0] for row in rows]


def begin_news(tx: Tx, user_id: int, changes: int, peers: Sequence[int]) -> None:
    """Write down whom to tell. Nothing happens if the profile has changed since `peers` were looked up."""
    tx.run(
        "UPDATE profile_news SET peers = :peers, next_peer = 0"
        " WHERE user_id = :user_id AND changes = :changes AND peers IS NULL",
        peers=struct.pack(f">{len(peers)}q", *peers),
        user_id=user_id,
        changes=changes,
    )


def tell_news(tx: Tx, now: int) -> int:
    """Tell the next few peers of users with due news; how many. Each hears of the profile as it is now."""
    tx.lock_logs()
    rows = tx.all(
        "SELECT user_id, next_peer, peers FROM profile_news WHERE due_at <= :now AND peers IS NOT NULL"
        " ORDER BY due_at LIMIT :most",
        now=now,
        most=_USERS_AT_ONCE,
    )
    new: list[NewEvent] = []
    for user_id, next_peer, packed in rows:
        peers = _peers(packed, next_peer, TOLD_AT_ONCE - len(new))
        user = user_by_id(tx, user_id)
        if user:
            new += [NewEvent(peer, Kind.USER_UPDATED, user_id, user) for peer in peers]
        _advance(tx, user_id, next_peer, next_peer + len(peers), len(packed) // _ID_BYTES, now)
        if len(new) >= TOLD_AT_ONCE:
            break
    append_events(tx, new, now)
    return len(new)


def _peers(packed: bytes, start: int, most: int) -> tuple[int, ...]:
    part = bytes(packed[start * _ID_BYTES : (start + most) * _ID_BYTES])
    return struct.unpack(f">{len(part) // _ID_BYTES}q", part)


def _advance(tx: Tx, user_id: int, before: int, next_peer: int, total: int, now: int) -> None:
    """Note how far the telling has come, and let other users' news go first.

    The row of somebody whose peers all have been told rests before it goes: changes meanwhile are told together.
    """
    if before == total:
        tx.run("DELETE FROM profile_news WHERE user_id = :user_id", user_id=user_id)
        return
    tx.run(
        "UPDATE profile_news SET next_peer = :next_peer, due_at = :due_at WHERE user_id = :user_id",
        next_peer=next_peer,
        due_at=now + NEWS_REST if next_peer == total else now,
        user_id=user_id,
    )
