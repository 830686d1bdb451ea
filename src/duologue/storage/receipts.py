"""Marks: how far each side of a chat has got and read. They only ever rise."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from duologue.model import Kind, Pair
from duologue.storage.database import Mark, Row, Tx
from duologue.storage.lists import pair_list


class RaisedMark(msgspec.Struct, frozen=True, gc=False):
    """A member's marks after a `Mark` was applied, and for whom that changed something."""

    delivered: int
    read: int
    read_shown: int
    own_changed: bool
    peer_changed: bool


def raise_marks(tx: Tx, marks: Sequence[Mark]) -> list[RaisedMark | None]:
    """Apply marks, at most one a member; read implies delivered. None for one beyond its chat's last message."""
    found = _standings(tx, marks)
    raised = [_raised(mark, found.get((mark.owner, mark.chat_id))) for mark in marks]
    moved = [(mark, new) for mark, new in zip(marks, raised, strict=True) if new and new.own_changed]
    tx.many(
        "UPDATE members SET delivered = ?, read = ?, read_shown = ? WHERE user_id = ? AND chat_id = ?",
        [(new.delivered, new.read, new.read_shown, mark.owner, mark.chat_id) for mark, new in moved],
    )
    tx.many(
        "UPDATE members SET read_count = (SELECT CASE ? WHEN 1 THEN low_count ELSE high_count END FROM messages"
        " WHERE chat_id = ? AND seq = ?) WHERE user_id = ? AND chat_id = ?",
        [
            (mark.side, mark.chat_id, new.read, mark.owner, mark.chat_id)
            for mark, new in moved
            if new.read != found[mark.owner, mark.chat_id][1]
        ],
    )
    return raised


def _standings(tx: Tx, marks: Sequence[Mark]) -> dict[tuple[int, int], Row]:
    if not marks:
        return {}
    listed, values = pair_list([(mark.owner, mark.chat_id) for mark in marks])
    rows = tx.all(
        "SELECT m.user_id, m.chat_id, m.delivered, m.read, m.read_shown, c.last_seq, u.read_receipts, l.user_id"
        " FROM members m JOIN chats c ON c.id = m.chat_id JOIN users u ON u.id = m.user_id"
        f" LEFT JOIN logs l ON l.user_id = m.peer_id WHERE (m.user_id, m.chat_id) IN {listed}",
        **values,
    )
    return {(row[0], row[1]): row[2:] for row in rows}


def _raised(mark: Mark, row: Row | None) -> RaisedMark | None:
    if row is None or max(mark.delivered, mark.read) > row[3]:
        return None
    delivered = max(row[0], mark.delivered, mark.read)
    read = max(row[1], mark.read)
    read_shown = max(row[2], mark.read) if row[4] else row[2]
    own_changed = (delivered, read) != (row[0], row[1])
    # A peer whose account is deleted has no log to tell it in.
    peer_changed = row[5] is not None and (delivered, read_shown) != (row[0], row[2])
    return RaisedMark(delivered, read, read_shown, own_changed, peer_changed)


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


class Received(msgspec.Struct, frozen=True, gc=False):
    """What one step through a log covers: it reached `reached`; the log's newest event is `last_seq`.

    `newest` has each chat's highest message from the peer in between.
    """

    reached: int
    last_seq: int
    newest: dict[Pair, int]


def received(tx: Tx, user_id: int, after: int, seq: int, limit: int) -> Received:
    """Which messages an ack of everything up to `seq` covers, in steps of at most `limit` events.

    It begins behind `after`, or behind what was acked before if that is further.
    """
    row = tx.one("SELECT last_seq, acked FROM logs WHERE user_id = :user_id", user_id=user_id)
    last_seq, acked = row or (0, 0)
    rows = tx.all(
        "SELECT e.seq, e.ref, e.a, c.low_user, c.high_user, e.kind, e.b FROM events e"
        " LEFT JOIN chats c ON e.kind = 1 AND c.id = e.ref"
        " WHERE e.user_id = :user_id AND e.seq > :acked AND e.seq <= :seq ORDER BY e.seq LIMIT :limit",
        user_id=user_id,
        acked=max(after, acked),
        seq=seq,
        limit=limit,
    )
    newest: dict[Pair, int] = {}
    for _, chat_id, message_seq, low, high, kind, mine in rows:
        if kind == Kind.MESSAGE_CREATED and not mine:
            newest[Pair(chat_id, low, high)] = message_seq
    return Received(rows[-1][0] if len(rows) == limit else seq, last_seq, newest)


def store_acks(tx: Tx, acked: dict[int, int]) -> None:
    """Remember up to which seq everything of a user's log is safe on one of its devices: `{user_id: seq}`."""
    tx.lock_logs()
    tx.many(
        "UPDATE logs SET acked = ? WHERE user_id = ? AND acked < ? AND last_seq >= ?",
        [(seq, user_id, seq, seq) for user_id, seq in acked.items()],
    )
