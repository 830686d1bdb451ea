"""Texts to a phone that nobody has answered, neither the phone nor a device of its owner."""

from __future__ import annotations

from typing import Final

from duologue.storage.database import Tx
from duologue.storage.tables import jobs, outbox

PHONE: Final = 0
"""Stands for all chats of a phone together."""
UNANSWERED: Final = "waits_for_answer"
"""The reason for which an SMS waits."""


def take(tx: Tx, user_id: int, chat_id: int, *, per_chat: int, per_phone: int) -> bool:
    """Count one more text to a user's phone. False, and nothing is counted, if these bounds don't allow it."""
    taken: list[int] = []
    marks = _marks(tx, user_id, chat_id)
    if _has_risen(tx, user_id, chat_id, marks[chat_id]):
        # Somebody who writes or reads in this chat is there for all of them.
        _forget(tx, user_id, PHONE)
    for key, mark in sorted(marks.items()):
        taken.append(key)
        if _add(tx, user_id, key, mark) > (per_phone if key == PHONE else per_chat):
            _subtract(tx, user_id, taken)
            return False
    return True


def _marks(tx: Tx, user_id: int, chat_id: int) -> dict[int, int]:
    """For the phone and for the chat, a number that rises when a device acknowledges or the user writes there."""
    row = tx.one(
        "SELECT coalesce(l.acked, 0), m.read, CASE WHEN c.low_user = m.user_id THEN c.low_count ELSE c.high_count END"
        " FROM members m JOIN chats c ON c.id = m.chat_id LEFT JOIN logs l ON l.user_id = m.user_id"
        " WHERE m.user_id = :user_id AND m.chat_id = :chat_id",
        user_id=user_id,
        chat_id=chat_id,
    )
    acked, read, written = row or (0, 0, 0)
    return {PHONE: acked, chat_id: acked + read + written}


def _has_risen(tx: Tx, user_id: int, chat_id: int, mark: int) -> bool:
    row = tx.one(
        "SELECT mark FROM sms_unanswered WHERE user_id = :user_id AND chat_id = :chat_id",
        user_id=user_id,
        chat_id=chat_id,
    )
    return row is not None and row[0] != mark


def _forget(tx: Tx, user_id: int, chat_id: int) -> None:
    tx.run(
        "DELETE FROM sms_unanswered WHERE user_id = :user_id AND chat_id = :chat_id",
        user_id=user_id,
        chat_id=chat_id,
    )


def _add(tx: Tx, user_id: int, chat_id: int, mark: int) -> int:
    row = tx.one(
        "INSERT INTO sms_unanswered (user_id, chat_id, sent, mark) VALUES (:user_id, :chat_id, 1, :mark)"
        " ON CONFLICT (user_id, chat_id) DO UPDATE SET mark = :mark,"
        " sent = CASE WHEN sms_unanswered.mark = :mark THEN sms_unanswered.sent + 1 ELSE 1 END RETURNING sent",
        user_id=user_id,
        chat_id=chat_id,
        mark=mark,
    )
    assert row is not None
    return int(row[0])


def give_back(tx: Tx, user_id: int, chat_id: int) -> None:
    """Uncount a text that was surely not sent."""
    _subtract(tx, user_id, [PHONE, chat_id])


def _subtract(tx: Tx, user_id: int, chat_ids: list[int]) -> None:
    for chat_id in chat_ids:
        tx.run(
            "UPDATE sms_unanswered SET sent = sent - 1 WHERE user_id = :user_id AND chat_id = :chat_id AND sent > 0",
            user_id=user_id,
            chat_id=chat_id,
        )


def answered(tx: Tx, user_id: int, chat_id: int, now: int) -> None:
    """Begin to count anew: the phone has answered in this chat. What waits for that in any chat may go."""
    rows = tx.all(
        "SELECT chat_id FROM sms_unanswered WHERE user_id = :user_id AND chat_id <> 0 ORDER BY chat_id",
        user_id=user_id,
    )
    _forget(tx, user_id, PHONE)
    _forget(tx, user_id, chat_id)
    for (waiting,) in rows:
        jobs.wake(tx, outbox.QUEUE, UNANSWERED, now, chat_id=waiting, user_id=user_id)
