"""Marks: how far each side of a chat has got and read. They only ever rise."""

from __future__ import annotations

import msgspec

from duologue.model import Kind, Pair
from duologue.storage.database import Mark, Tx


class RaisedMark(msgspec.Struct, frozen=True, gc=False):
    """A member's marks after a `Mark` was applied, and for whom that changed something."""

    delivered: int
    read: int
    read_shown: int
    own_changed: bool
    peer_changed: bool


def raise_mark(tx: Tx, mark: Mark) -> RaisedMark | None:
    """Apply one mark; read implies delivered. None if it points beyond the chat's last message."""
    row = tx.one(
        "SELECT m.delivered, m.read, m.read_shown, c.last_seq, u.read_receipts, l.user_id"
        " FROM members m JOIN chats c ON c.id = m.chat_id JOIN users u ON u.id = m.user_id"
        " LEFT JOIN logs l ON l.user_id = m.peer_id"
        " WHERE m.user_id = :owner AND m.chat_id = :chat_id",
        owner=mark.owner,
        chat_id=mark.chat_id,
    )
    if row is None or max(mark.delivered, mark.read) > row[3]:
        return None
    delivered = max(row[0], mark.delivered, mark.read)
    read = max(row[1], mark.read)
    read_shown = max(row[2], mark.read) if row[4] else row[2]
    own_changed = (delivered, read) != (row[0], row[1])
    if own_changed:
        _store(tx, mark, delivered, read, read_shown, read_moved=read != row[1])
    # A peer whose account is deleted has no log to tell it in.
    peer_changed = row[5] is not None and (delivered, read_shown) != (row[0], row[2])
    return RaisedMark(delivered, read, read_shown, own_changed, peer_changed)


def _store(tx: Tx, mark: Mark, delivered: int, read: int, read_shown: int, *, read_moved: bool) -> None:
    tx.run(
        "UPDATE members SET delivered = :delivered, read = :read, read_shown = :read_shown"
        " WHERE user_id = :owner AND chat_id = :chat_id",
        delivered=delivered,
        read=read,
        read_shown=read_shown,
        owner=mark.owner,
        chat_id=mark.chat_id,
    )
    if read_moved:
        peers = "low_count" if mark.side else "high_count"
        tx.run(
            f"UPDATE members SET read_count = (SELECT {peers} FROM messages"
            " WHERE chat_id = :chat_id AND seq = :read) WHERE user_id = :owner AND chat_id = :chat_id",
            read=read,
            owner=mark.owner,
            chat_id=mark.chat_id,
        )


def shown_marks(tx: Tx, pair: Pair) -> dict[int, tuple[int, int]]:
    """For each side as a sender: how far the other has got and, as far as it shows, read."""
    shown = {}
    for sender, recipient in ((pair.low, pair.high), (pair.high, pair.low)):
        row = tx.one(
            "SELECT delivered, read_shown FROM members WHERE user_id = :recipient AND chat_id = :chat_id",
            recipient=recipient,
            chat_id=pair.chat_id,
        )
        shown[sender] = (row[0], row[1]) if row else (0, 0)
    return shown


def received(tx: Tx, user_id: int, seq: int, limit: int) -> tuple[int, dict[int, int]]:
    """Which messages an ack of everything up to `seq` covers, in steps of at most `limit` events.

    Returns how far this step reached in the user's log, and for each chat the highest message seq from its
    peer that stands between the last ack and there.
    """
    acked = tx.one("SELECT acked FROM logs WHERE user_id = :user_id", user_id=user_id)
    rows = tx.all(
        "SELECT seq, kind, ref, a, b FROM events WHERE user_id = :user_id AND seq > :acked AND seq <= :seq"
        " ORDER BY seq LIMIT :limit",
        user_id=user_id,
        acked=acked[0] if acked else 0,
        seq=seq,
        limit=limit,
    )
    newest: dict[int, int] = {}
    for _, kind, chat_id, message_seq, mine in rows:
        if kind == Kind.MESSAGE_CREATED and not mine:
            newest[chat_id] = max(newest.get(chat_id, 0), message_seq)
    reached = rows[-1][0] if len(rows) == limit else seq
    return reached, newest


def store_acks(tx: Tx, acked: dict[int, int]) -> None:
    """Remember up to which seq everything of a user's log is safe on one of its devices: `{user_id: seq}`."""
    tx.lock_logs()
    tx.many(
        "UPDATE logs SET acked = ? WHERE user_id = ? AND acked < ? AND last_seq >= ?",
        [(seq, user_id, seq, seq) for user_id, seq in acked.items()],
    )
