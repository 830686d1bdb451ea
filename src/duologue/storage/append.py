"""Storing a batch statement by statement, in SQL that any engine understands.

The embedded engine's message path, and what PostgreSQL's set-based function is held against.
"""

from __future__ import annotations

from collections.abc import Sequence

from duologue.model import Message
from duologue.storage.batch import Batch, MovedMark, NoSuchChat, Numbers, events, messages
from duologue.storage.database import Tx
from duologue.storage.events import insert_events
from duologue.storage.messages import pack_client_id
from duologue.storage.receipts import raise_mark


def append(tx: Tx, batch: Batch) -> Numbers:
    """Store a batch.

    Raises `UniqueViolation` when one of its messages is stored already, `NoSuchChat` when a chat isn't there.
    """
    tx.lock_logs()
    chats = [
        _advance_chat(tx, chat_id, *moves)
        for chat_id, moves in zip(batch.chat_ids, batch.chat_moves, strict=True)
    ]
    # Messages before marks: a mark may point at a message of its own batch.
    stored = messages(batch, chats)
    _insert_messages(tx, batch, stored)
    moved, out_of_range, moves = _raise_marks(tx, batch)
    users = [
        _advance_log(tx, batch, user, moved_by) if moved_by else 0 for user, moved_by in enumerate(moves)
    ]
    numbers = Numbers(chats, users, moved, out_of_range)
    insert_events(tx, events(batch, numbers, stored))
    return numbers


def _advance_chat(tx: Tx, chat_id: int, total: int, low: int, high: int) -> tuple[int, int, int]:
    row = tx.one(
        "UPDATE chats SET last_seq = last_seq + :total, low_count = low_count + :low,"
        " high_count = high_count + :high WHERE id = :chat_id RETURNING last_seq, low_count, high_count",
        chat_id=chat_id,
        total=total,
        low=low,
        high=high,
    )
    if row is None:
        raise NoSuchChat
    return row[0] - total, row[1] - low, row[2] - high


def _raise_marks(tx: Tx, batch: Batch) -> tuple[list[MovedMark], frozenset[int], list[int]]:
    """Move the marks; also tells which were out of range, and how far each log moves with their events."""
    moves = list(batch.user_moves)
    moved, out_of_range = [], set()
    for index, mark in enumerate(batch.marks):
        raised = raise_mark(tx, mark)
        if raised is None:
            out_of_range.add(index)
        elif raised.own_changed:
            owner, peer = batch.mark_owner[index], batch.mark_peer[index]
            moves[owner] += 1
            moves[peer] += raised.peer_changed
            peer_offset = moves[peer] if raised.peer_changed else 0
            moved.append(
                MovedMark(index, raised.delivered, raised.read, raised.read_shown, moves[owner], peer_offset)
            )
    return moved, frozenset(out_of_range), moves


def _advance_log(tx: Tx, batch: Batch, user: int, moves: int) -> int:
    """Move a user's log on; the seq it stood at before."""
    user_id = batch.user_ids[user]
    row = tx.one(
        "UPDATE logs SET last_seq = last_seq + :moves WHERE user_id = :user_id RETURNING last_seq, top_chat",
        user_id=user_id,
        moves=moves,
    )
    if row is None:
        raise NoSuchChat
    base = row[0] - moves
    raised = batch.raised(user, row[1])
    for chat_id, offset in raised:
        tx.run(
            "UPDATE members SET activity = :activity WHERE user_id = :user_id AND chat_id = :chat_id",
            activity=base + offset,
            user_id=user_id,
            chat_id=chat_id,
        )
    if raised:
        tx.run(
            "UPDATE logs SET top_chat = :top WHERE user_id = :user_id", user_id=user_id, top=batch.top(user)
        )
    return int(base)


def _insert_messages(tx: Tx, batch: Batch, stored: Sequence[Message]) -> None:
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
                pack_client_id(message.client_id),
                message.text,
            )
            for post, message in zip(batch.posts, stored, strict=True)
        ],
    )
