"""Storing a batch statement by statement, in SQL that any engine understands.

The embedded engine's message path, and what PostgreSQL's set-based function is held against.
"""

from __future__ import annotations

from collections.abc import Sequence

from duologue.model import Message
from duologue.storage.append.alarms import raise_alarms
from duologue.storage.append.batch import AppendResult, Batch, MovedMark, NoSuchChat, Stored, events, messages
from duologue.storage.database import AlarmRule, Post, Row, Tx
from duologue.storage.lists import id_list
from duologue.storage.tables.events import check_seqs, insert_events
from duologue.storage.tables.messages import pack_client_id
from duologue.storage.tables.receipts import raise_marks


def append(tx: Tx, batch: Batch, alarms: AlarmRule | None = None) -> Stored:
    """Store a batch, with its alarms if there is a rule for them.

    Raises `UniqueViolation` when one of its messages is stored already, `NoSuchChat` when a chat isn't there, and
    `ApiError` `log_full`.
    """
    tx.lock_logs()
    chats = _advance_chats(tx, batch)
    # Messages before marks: a mark may point at a message of its own batch.
    stored = messages(batch, chats)
    insert_messages(tx, batch.posts, stored)
    moved, out_of_range, moves = _raise_marks(tx, batch)
    numbers = AppendResult(chats, _advance_logs(tx, batch, moves), moved, out_of_range)
    told = events(batch, numbers, stored)
    insert_events(tx, told)
    if alarms:
        raise_alarms(tx, batch, chats, alarms)
    return Stored(numbers, stored, told)


def _found(tx: Tx, sql: str, ids: Sequence[int]) -> list[Row]:
    """The rows with these ids, in their order: `sql` ends where the list begins. Raises `NoSuchChat`."""
    if not ids:
        return []
    listed, values = id_list(ids)
    rows = {row[0]: row for row in tx.all(f"{sql} {listed}", **values)}
    if len(rows) < len(ids):
        raise NoSuchChat
    return [rows[key] for key in ids]


def _advance_chats(tx: Tx, batch: Batch) -> list[tuple[int, int, int]]:
    """Move the chats' counters on; where they stood before."""
    sql = "SELECT id, last_seq, low_count, high_count FROM chats WHERE id IN"
    before = [(seq, low, high) for _, seq, low, high in _found(tx, sql, batch.chat_ids)]
    check_seqs([seq + moves[0] for (seq, _, _), moves in zip(before, batch.chat_moves, strict=True)])
    tx.many(
        "UPDATE chats SET last_seq = ?, low_count = ?, high_count = ? WHERE id = ?",
        [
            (seq + total, low + lows, high + highs, chat_id)
            for chat_id, (seq, low, high), (total, lows, highs) in zip(
                batch.chat_ids, before, batch.chat_moves, strict=True
            )
        ],
    )
    return before


def _raise_marks(tx: Tx, batch: Batch) -> tuple[list[MovedMark], frozenset[int], list[int]]:
    """Move the marks; also tells which were out of range, and how far each log moves with their events."""
    moves = list(batch.user_moves)
    moved, out_of_range = [], set()
    for index, raised in enumerate(raise_marks(tx, batch.marks)):
        if raised is None:
            out_of_range.add(index)
        elif raised.own_changed:
            owner, peer = batch.mark_owner[index], batch.mark_peer[index]
            moves[owner] += 1
            moves[peer] += raised.peer_changed
            peer_offset = moves[peer] if raised.peer_changed else 0
            moved.append(
                MovedMark(
                    index,
                    raised.delivered,
                    raised.read,
                    raised.delivered_shown,
                    raised.read_shown,
                    moves[owner],
                    peer_offset,
                )
            )
    return moved, frozenset(out_of_range), moves


def _advance_logs(tx: Tx, batch: Batch, moves: Sequence[int]) -> list[int]:
    """Move the users' logs on; the seqs they stood at before, 0 for those that stay where they are."""
    users = [user for user, moved_by in enumerate(moves) if moved_by]
    sql = "SELECT user_id, last_seq, top_chat FROM logs WHERE user_id IN"
    rows = _found(tx, sql, [batch.user_ids[user] for user in users])
    check_seqs([row[1] + moves[user] for user, row in zip(users, rows, strict=True)])
    before, logs, activity = [0] * len(moves), [], []
    for user, (user_id, seq, top) in zip(users, rows, strict=True):
        before[user] = seq
        logs.append((seq + moves[user], batch.tops[user] or top, user_id))
        activity += [(seq + offset, user_id, chat_id) for chat_id, offset in batch.raised(user, top)]
    tx.many("UPDATE logs SET last_seq = ?, top_chat = ? WHERE user_id = ?", logs)
    tx.many("UPDATE members SET activity = ? WHERE user_id = ? AND chat_id = ?", activity)
    return before


def insert_messages(tx: Tx, posts: Sequence[Post], stored: Sequence[Message]) -> None:
    """Store posts as the messages that they have become. Raises `UniqueViolation`."""
    tx.many(
        "INSERT INTO messages (chat_id, seq, side, low_count, high_count, reply_to, sent_at, client_id, text)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                message.chat_id,
                message.seq,
                post.side,
                message.low_count,
                message.high_count,
                message.reply_to,
                message.sent_at,
                pack_client_id(post.client_id, by_sms=post.by_sms),
                message.text,
            )
            for post, message in zip(posts, stored, strict=True)
        ],
    )
