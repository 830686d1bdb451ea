"""Chats, as each of their two users sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final, Literal

import msgspec

from duologue.model import Chat, Kind, Known, Message, Pair, ShowPresence, User, WhoCanWrite, pair_id
from duologue.storage.database import Row, Tx
from duologue.storage.lists import id_list
from duologue.storage.tables.accounts import USER_COLUMNS, ensure_user, load_user, user_by_id
from duologue.storage.tables.events import NewEvent, append_events
from duologue.storage.tables.messages import COLUMNS, load

_ATTEMPTS: Final = 8  # ids tried for a pair
_MESSAGE = ", ".join(f"x.{name}" for name in COLUMNS.split(", "))
_PEER = ", ".join(f"u.{name}" for name in USER_COLUMNS.split(", "))
_OWN: Final = (
    "c.id, c.low_user, c.high_user, c.last_seq, c.low_count, c.high_count, c.created_at, m.user_id, m.activity,"
    " m.delivered, m.read, m.read_count, m.delivered_shown, m.read_shown, m.muted_until, m.archived, m.pinned,"
    " m.known, (SELECT o.who_can_write FROM users o WHERE o.id = :user_id),"
    " coalesce(p.delivered_shown, 0), coalesce(p.read_shown, 0), coalesce(p.withheld, 0), coalesce(p.known, 0)"
)
_OWN_WIDTH: Final = 23  # columns
_USER_WIDTH: Final = len(USER_COLUMNS.split(", "))
_JOINED: Final = (
    " JOIN chats c ON c.id = m.chat_id JOIN users u ON u.id = m.peer_id"
    " LEFT JOIN members p ON p.user_id = m.peer_id AND p.chat_id = m.chat_id"
    # However many messages at the end are withheld from the user, one look finds the newest that is not.
    " LEFT JOIN messages x ON x.chat_id = c.id AND x.seq = CASE WHEN m.withheld = c.last_seq"
    " THEN (SELECT w.visible FROM withheld w WHERE w.chat_id = c.id AND w.seq = c.last_seq)"
    " ELSE c.last_seq END"
)
_COLUMNS: Final = f"SELECT {_OWN}, {_PEER}, {_MESSAGE} FROM"
Folder = Literal["chats", "requests", "all"]
"""A part of a user's chat list. `chats`: what the user opened or answered; all if the user wants no requests."""

_OTHER: Final = "CASE WHEN c.low_user = :user_id THEN c.high_user ELSE c.low_user END"
_LAST_SEEN: Final = (
    f"SELECT c.id, c.low_user, c.high_user, p.known, (SELECT u.presence FROM users u WHERE u.id = {_OTHER}),"
    f" (SELECT max(s.last_seen_at) FROM sessions s WHERE s.user_id = {_OTHER} AND s.ended_at IS NULL),"
    f" (SELECT s.last_seen_at FROM sessions s WHERE s.user_id = {_OTHER} AND s.ended_at IS NOT NULL"
    " ORDER BY s.ended_at DESC LIMIT 1)"
    f" FROM chats c LEFT JOIN members p ON p.user_id = {_OTHER} AND p.chat_id = c.id WHERE c.id IN"
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
    """The user's chat with the holder of this number, if there is one. Writes nothing."""
    row = tx.one("SELECT id FROM users WHERE phone = :phone", phone=phone)
    return find_pair(tx, min(user_id, row[0]), max(user_id, row[0])) if row else None


def open_chat(tx: Tx, user_id: int, phone: str, now: int) -> Pair | None:
    """Have the user's chat with the holder of this number, made if need be, in the user's list.

    The peer finds a new chat in its list too, unless nobody may write to it. None if the number is the user's own,
    since a chat has two sides, or if the user was deleted meanwhile.
    """
    tx.lock_logs()
    caller = user_by_id(tx, user_id)
    if caller is None or caller.phone in (None, phone):
        return None
    peer = ensure_user(tx, phone, now)
    low, high = min(user_id, peer.id), max(user_id, peer.id)
    found = find_pair(tx, low, high)
    if found:
        _opened(tx, user_id, found.chat_id, now)
        return found
    pair = _create(tx, low, high, now)
    for owner in (low, high):
        tx.run(
            "INSERT INTO members (user_id, chat_id, peer_id, known) VALUES (:user_id, :chat_id, :peer_id, :known)",
            user_id=owner,
            chat_id=pair.chat_id,
            peer_id=pair.peer_of(owner),
            known=int(Known.OPENED if owner == user_id else Known.STRANGER),
        )
    told = [user_id] if write_rule(tx, peer) is WhoCanWrite.NOBODY else [low, high]
    list_chat(tx, told, pair.chat_id, now)
    return pair


def _opened(tx: Tx, user_id: int, chat_id: int, now: int) -> None:
    """Note that a user has opened a stranger's chat: it is no request any more, and is in the list."""
    before = chat_view(tx, user_id, chat_id)
    if before is None or before.known is not Known.STRANGER:
        return
    tx.run(
        "UPDATE members SET known = 1 WHERE user_id = :user_id AND chat_id = :chat_id",
        user_id=user_id,
        chat_id=chat_id,
    )
    if not before.activity:
        list_chat(tx, [user_id], chat_id, now)
    elif before.request:
        tell_chat(tx, user_id, chat_id, now)


def write_rule(tx: Tx, user: User) -> WhoCanWrite:
    """Return the user's choice whose messages arrive."""
    return tx.presets.who_can_write if user.who_can_write is None else user.who_can_write


def list_chat(tx: Tx, user_ids: Sequence[int], chat_id: int, now: int) -> None:
    """Put a chat that isn't listed yet at the top of these users' lists, and tell them of it."""
    new = []
    for user_id in user_ids:
        chat = chat_view(tx, user_id, chat_id)
        assert chat is not None
        new.append(NewEvent(user_id, Kind.CHAT_UPDATED, chat_id, chat))
    for event in append_events(tx, new, now):
        raise_chat(tx, event.user_id, chat_id, event.seq)


def tell_chat(tx: Tx, user_id: int, chat_id: int, now: int) -> Chat:
    """Tell a user's devices how one of its chats stands now."""
    chat = chat_view(tx, user_id, chat_id)
    assert chat is not None
    append_events(tx, [NewEvent(user_id, Kind.CHAT_UPDATED, chat_id, chat)], now)
    return chat


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
        f"{_COLUMNS} members m{_JOINED} WHERE m.user_id = :user_id AND m.chat_id = :chat_id",
        user_id=user_id,
        chat_id=chat_id,
    )
    return _load(tx, row) if row else None


def chat_page(tx: Tx, user_id: int, below: int, limit: int, folder: Folder = "all") -> list[Chat]:
    """The user's chats of a folder with an `activity` below the given one, newest activity first."""
    if folder == "all":
        return _merged(_scan(tx, user_id, below, limit, known) for known in ("> 0", "= 0"))[:limit]
    owner = user_by_id(tx, user_id)
    if owner is None or write_rule(tx, owner) is not WhoCanWrite.REQUESTS:
        return [] if folder == "requests" else chat_page(tx, user_id, below, limit, "all")
    return _scan(tx, user_id, below, limit, "= 0" if folder == "requests" else "> 0")


def _scan(tx: Tx, user_id: int, below: int, limit: int, known: str) -> list[Chat]:
    """Chats that stand in one of the two indexes of the list."""
    rows = tx.all(
        f"{_COLUMNS} members m{_JOINED} WHERE m.user_id = :user_id AND m.activity > 0 AND m.activity < :below"
        f" AND m.known {known} ORDER BY m.activity DESC LIMIT :limit",
        user_id=user_id,
        below=below,
        limit=limit,
    )
    return [_load(tx, row) for row in rows]


def _merged(scans: Iterable[list[Chat]]) -> list[Chat]:
    return sorted(chain.from_iterable(scans), key=lambda chat: -chat.activity)


def _load(tx: Tx, row: Sequence[Any]) -> Chat:
    chat_id, low, high, last_seq, low_count, high_count, created_at, user_id = row[:8]
    activity, delivered, read, read_count, delivered_shown, read_shown, muted_until, archived, pinned = row[
        8:17
    ]
    known, who_can_write, peer_delivered, peer_read, peer_withheld, peer_known = row[17:_OWN_WIDTH]
    peer, last = row[_OWN_WIDTH : _OWN_WIDTH + _USER_WIDTH], row[_OWN_WIDTH + _USER_WIDTH :]
    pair = Pair(chat_id, low, high)
    who = tx.presets.who_can_write if who_can_write is None else who_can_write
    return Chat(
        id=chat_id,
        user_id=user_id,
        peer=as_seen(load_user(peer), peer_known),
        last_seq=last_seq,
        last_message=_last(load(pair, last), user_id, peer_withheld) if last[0] is not None else None,
        unread=(high_count if user_id == low else low_count) - read_count,
        delivered=delivered,
        read=read,
        peer_delivered=peer_delivered,
        peer_read=peer_read,
        delivered_shown=delivered_shown,
        read_shown=read_shown,
        known=Known(known),
        request=known == Known.STRANGER and who == WhoCanWrite.REQUESTS,
        muted_until=muted_until,
        archived=bool(archived),
        pinned=bool(pinned),
        activity=activity,
        created_at=created_at,
    )


def _last(message: Message, user_id: int, peer_withheld: int) -> Message:
    """The last message, with a note if it is the user's own and withheld from the peer."""
    hidden = message.sender_id == user_id and message.seq == peer_withheld
    return msgspec.structs.replace(message, withheld=True) if hidden else message


def as_seen(user: User, known: int) -> User:
    """A user as the peer of one of its chats sees it: a stranger's name and registration aren't told."""
    if known == Known.ANSWERED:
        return user
    return msgspec.structs.replace(user, display_name="", registered_at=None)


def profile_seen_by(tx: Tx, user: User, viewer_id: int) -> User:
    """A user's profile as another user, or it itself, may see it now."""
    if user.id == viewer_id:
        return user
    pair = find_pair(tx, min(user.id, viewer_id), max(user.id, viewer_id))
    row = tx.one(
        "SELECT known FROM members WHERE user_id = :user_id AND chat_id = :chat_id",
        user_id=user.id,
        chat_id=pair.chat_id if pair else 0,
    )
    return as_seen(user, row[0] if row else Known.STRANGER)


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
    return tell_chat(tx, user_id, chat_id, now)


def last_seq(tx: Tx, chat_id: int) -> int:
    """The seq of a chat's newest message; 0 while it is empty."""
    row = tx.one("SELECT last_seq FROM chats WHERE id = :chat_id", chat_id=chat_id)
    return row[0] if row else 0


class Peers(msgspec.Struct, frozen=True, gc=False):
    """Users whom a user may watch, with when they were last seen, and those of them who let nobody see that."""

    seen: dict[int, int | None]
    hidden: set[int]


def peers_last_seen(tx: Tx, user_id: int, others: Sequence[int]) -> Peers:
    """Of these users, those who have answered the user, and when any of their devices was last seen.

    One statement, whoever they are, and two more for those it doesn't find: they may have a chat under another id.
    """
    pairs = [(min(user_id, other), max(user_id, other)) for other in dict.fromkeys(others)]
    found = _others(tx, user_id, [pair_id(low, high) for low, high in pairs])
    missing = [(low, high) for low, high in pairs if (high if low == user_id else low) not in found]
    elsewhere = _other_ids(tx, user_id, missing)
    if elsewhere:
        found |= _others(tx, user_id, elsewhere)
    peers = Peers({}, set())
    for other in found.keys() & {*others}:
        known, presence, *seen = found[other]
        if known != Known.ANSWERED:
            continue
        if (tx.presets.presence if presence is None else presence) == ShowPresence.NOBODY:
            peers.hidden.add(other)
        else:
            peers.seen[other] = max((at for at in seen if at is not None), default=None)
    return peers


def _others(tx: Tx, user_id: int, chat_ids: Sequence[int]) -> dict[int, list[Any]]:
    """The other side of each of these chats that is the user's, with what decides about its presence."""
    rows = _last_seen(tx, user_id, chat_ids) if chat_ids else []
    return {high if low == user_id else low: about for _, low, high, *about in rows if user_id in (low, high)}


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
    """Those of these chats that there are: id, sides, and what decides about the other side's presence.

    That is how far it has gone towards the user, whom it lets see it, and when it was last seen: when its live
    session used last was, and when the session that ended last was.
    """
    listed, values = id_list(chat_ids)
    return tx.all(f"{_LAST_SEEN} {listed}", user_id=user_id, **values)
