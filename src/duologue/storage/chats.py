"""Chats, as each of their two users sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from duologue.model import Chat, Kind, Pair, pair_id
from duologue.storage.accounts import USER_COLUMNS, ensure_user, load_user, user_by_id
from duologue.storage.database import Row, Tx
from duologue.storage.events import NewEvent, append_events
from duologue.storage.lists import id_list
from duologue.storage.messages import COLUMNS, load

_ATTEMPTS: Final = 8
_MESSAGE = ", ".join(f"x.{name}" for name in COLUMNS.split(", "))
_PEER = ", ".join(f"u.{name}" for name in USER_COLUMNS.split(", "))
_VIEW: Final = (
    "SELECT c.id, c.low_user, c.high_user, c.last_seq, c.low_count, c.high_count, c.created_at,"
    " m.user_id, m.activity, m.delivered, m.read, m.read_count, m.read_shown, m.muted_until, m.archived, m.pinned,"
    " coalesce(p.delivered, 0), coalesce(p.read_shown, 0),"
    f" {_PEER}, {_MESSAGE}"
    " FROM members m JOIN chats c ON c.id = m.chat_id JOIN users u ON u.id = m.peer_id"
    " LEFT JOIN members p ON p.user_id = m.peer_id AND p.chat_id = m.chat_id"
    " LEFT JOIN messages x ON x.chat_id = c.id AND x.seq = c.last_seq"
)

_OF_PEER: Final = (
    "FROM sessions s WHERE s.user_id = CASE WHEN c.low_user = :user_id THEN c.high_user ELSE c.low_user END"
)
_LAST_SEEN: Final = (
    f"SELECT c.id, c.low_user, c.high_user, (SELECT max(s.last_seen_at) {_OF_PEER} AND s.ended_at IS NULL),"
    f" (SELECT s.last_seen_at {_OF_PEER} AND s.ended_at IS NOT NULL ORDER BY s.ended_at DESC LIMIT 1)"
    " FROM chats c WHERE c.id IN"
)


def find_pair(tx: Tx, low: int, high: int) -> Pair | None:
    """Return the chat of two users (`low` < `high`); None if there is none."""
    for attempt in range(_ATTEMPTS):
        chat_id = pair_id(low, high, attempt)
        row = tx.one("SELECT low_user, high_user FROM chats WHERE id = :chat_id", chat_id=chat_id)
        if row is None:
            return _moved_pair(tx, low, high)
        if row == (low, high):
            return Pair(chat_id, low, high)
    return None


def _moved_pair(tx: Tx, low: int, high: int) -> Pair | None:
    """Return the chat that one of the two got when accounts under two spellings of a number became one."""
    row = tx.one(
        "SELECT c.id, c.low_user, c.high_user FROM moved_chats v JOIN chats c ON c.id = v.chat_id"
        " WHERE v.low_user = :low AND v.high_user = :high ORDER BY v.chat_id LIMIT 1",
        low=low,
        high=high,
    )
    return Pair(*row) if row else None


def pair_of(tx: Tx, user_id: int, chat_id: int) -> Pair | None:
    """The chat with this id, if the user is one of its two."""
    row = tx.one(
        "SELECT c.low_user, c.high_user FROM members m JOIN chats c ON c.id = m.chat_id"
        " WHERE m.user_id = :user_id AND m.chat_id = :chat_id",
        user_id=user_id,
        chat_id=chat_id,
    )
    return Pair(chat_id, *row) if row else None


def pair_by_phone(tx: Tx, user_id: int, phone: str) -> Pair | None:
    """The user's chat with whoever holds this number, if there is one. Writes nothing."""
    row = tx.one("SELECT id FROM users WHERE phone = :phone", phone=phone)
    return find_pair(tx, min(user_id, row[0]), max(user_id, row[0])) if row else None


def open_chat(tx: Tx, user_id: int, phone: str, now: int) -> Pair | None:
    """The user's chat with whoever holds this number, made if need be; both find it in their lists.

    None if that is the user, since a chat has two sides, or if the user was deleted meanwhile.
    """
    tx.lock_logs()
    caller = user_by_id(tx, user_id)
    if caller is None or caller.phone in (None, phone):
        return None
    peer = ensure_user(tx, phone, now)
    low, high = min(user_id, peer.id), max(user_id, peer.id)
    found = find_pair(tx, low, high)
    if found:
        return found
    pair = _create(tx, low, high, now)
    new = []
    for owner in (low, high):
        tx.run(
            "INSERT INTO members (user_id, chat_id, peer_id) VALUES (:user_id, :chat_id, :peer_id)",
            user_id=owner,
            chat_id=pair.chat_id,
            peer_id=pair.peer_of(owner),
        )
        chat = chat_view(tx, owner, pair.chat_id)
        assert chat is not None
        new.append(NewEvent(owner, Kind.CHAT_UPDATED, pair.chat_id, chat))
    for event in append_events(tx, new, now):
        raise_chat(tx, event.user_id, pair.chat_id, event.seq)
    return pair


def _create(tx: Tx, low: int, high: int, now: int) -> Pair:
    """Insert the chat under the first of its candidate ids that no other pair has taken."""
    for attempt in range(_ATTEMPTS):
        chat_id = pair_id(low, high, attempt)
        created = tx.run(
            "INSERT INTO chats (id, low_user, high_user, created_at) VALUES (:chat_id, :low, :high, :now)"
            " ON CONFLICT (id) DO NOTHING",
            chat_id=chat_id,
            low=low,
            high=high,
            now=now,
        )
        if created:
            return Pair(chat_id, low, high)
    raise RuntimeError("eight chat ids in a row were taken")


def raise_chat(tx: Tx, user_id: int, chat_id: int, activity: int) -> None:
    """Move a chat to the top of a user's list. `activity` is the seq of the event that moved it."""
    tx.run(
        "UPDATE members SET activity = :activity WHERE user_id = :user_id AND chat_id = :chat_id",
        user_id=user_id,
        chat_id=chat_id,
        activity=activity,
    )
    tx.run("UPDATE logs SET top_chat = :chat_id WHERE user_id = :user_id", user_id=user_id, chat_id=chat_id)


def chat_view(tx: Tx, user_id: int, chat_id: int) -> Chat | None:
    """One of the user's chats."""
    row = tx.one(
        f"{_VIEW} WHERE m.user_id = :user_id AND m.chat_id = :chat_id", user_id=user_id, chat_id=chat_id
    )
    return _load(row) if row else None


def chat_page(tx: Tx, user_id: int, below: int, limit: int) -> list[Chat]:
    """The user's chats with an `activity` below the given one, newest activity first."""
    rows = tx.all(
        f"{_VIEW} WHERE m.user_id = :user_id AND m.activity < :below ORDER BY m.activity DESC LIMIT :limit",
        user_id=user_id,
        below=below,
        limit=limit,
    )
    return [_load(row) for row in rows]


def _load(row: Sequence[Any]) -> Chat:
    chat_id, low, high, last_seq, low_count, high_count, created_at, user_id = row[:8]
    activity, delivered, read, read_count, read_shown, muted_until, archived, pinned = row[8:16]
    peer_delivered, peer_read = row[16:18]
    pair = Pair(chat_id, low, high)
    return Chat(
        id=chat_id,
        user_id=user_id,
        peer=load_user(row[18:25]),
        last_seq=last_seq,
        last_message=load(pair, row[25:]) if row[25] is not None else None,
        unread=(high_count if user_id == low else low_count) - read_count,
        delivered=delivered,
        read=read,
        peer_delivered=peer_delivered,
        peer_read=peer_read,
        read_shown=read_shown,
        muted_until=muted_until,
        archived=bool(archived),
        pinned=bool(pinned),
        activity=activity,
        created_at=created_at,
    )


def update_chat(
    tx: Tx, user_id: int, chat_id: int, changes: dict[str, int | bool | None], now: int
) -> Chat | None:
    """Change the user's own view of a chat (`muted_until`, `archived`, `pinned`); None if it isn't theirs."""
    tx.lock_logs()
    before = chat_view(tx, user_id, chat_id)
    if before is None or all(getattr(before, name) == value for name, value in changes.items()):
        return before
    assignments = ", ".join(f"{name} = :{name}" for name in changes)
    tx.run(
        f"UPDATE members SET {assignments} WHERE user_id = :user_id AND chat_id = :chat_id",
        user_id=user_id,
        chat_id=chat_id,
        **changes,
    )
    chat = chat_view(tx, user_id, chat_id)
    assert chat is not None
    append_events(tx, [NewEvent(user_id, Kind.CHAT_UPDATED, chat_id, chat)], now)
    return chat


def last_seq(tx: Tx, chat_id: int) -> int:
    """The seq of a chat's newest message; 0 while it is empty."""
    row = tx.one("SELECT last_seq FROM chats WHERE id = :chat_id", chat_id=chat_id)
    return row[0] if row else 0


def peers_last_seen(tx: Tx, user_id: int, others: Sequence[int]) -> dict[int, int | None]:
    """Of these users, those who share a chat with the user, and when any of their devices was last seen.

    One statement, whoever they are, and two more for those it doesn't find: they may have a chat under another id.
    """
    pairs = [(min(user_id, other), max(user_id, other)) for other in dict.fromkeys(others)]
    seen = _peers_seen(tx, user_id, [pair_id(low, high) for low, high in pairs])
    missing = [(low, high) for low, high in pairs if (high if low == user_id else low) not in seen]
    elsewhere = _other_ids(tx, user_id, missing)
    if elsewhere:
        seen |= _peers_seen(tx, user_id, elsewhere)
    asked = set(others)
    return {other: at for other, at in seen.items() if other in asked}


def _peers_seen(tx: Tx, user_id: int, chat_ids: Sequence[int]) -> dict[int, int | None]:
    """The other side of each of these chats that is the user's, and when it was last seen."""
    seen: dict[int, int | None] = {}
    for _, low, high, live, ended in _last_seen(tx, user_id, chat_ids) if chat_ids else ():
        if user_id in (low, high):
            peer = high if low == user_id else low
            seen[peer] = max((at for at in (live, ended) if at is not None), default=None)
    return seen


def _other_ids(tx: Tx, user_id: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The chats of these pairs under other ids than `pair_id` gives first: the next that it gives, or moved chats."""
    if not pairs:
        return []
    listed, values = id_list([pair_id(low, high) for low, high in pairs])
    taken = {row[0] for row in tx.all(f"SELECT id FROM chats WHERE id IN {listed}", **values)}
    further = [
        pair_id(low, high, attempt)
        for low, high in pairs
        if pair_id(low, high) in taken
        for attempt in range(1, _ATTEMPTS)
    ]
    listed, values = id_list([high if low == user_id else low for low, high in pairs])
    moved = tx.all(
        f"SELECT chat_id FROM moved_chats WHERE low_user = :user_id AND high_user IN {listed}"
        f" UNION ALL SELECT chat_id FROM moved_chats WHERE low_user IN {listed} AND high_user = :user_id",
        user_id=user_id,
        **values,
    )
    return further + [row[0] for row in moved]


def _last_seen(tx: Tx, user_id: int, chat_ids: Sequence[int]) -> list[Row]:
    """Those of these chats that there are: id, sides, and when the other side was last seen.

    That is when its live session used last was, and when the session that ended last was.
    """
    listed, values = id_list(chat_ids)
    return tx.all(f"{_LAST_SEEN} {listed}", user_id=user_id, **values)
