"""Alarms raised by a batch: when its messages are to be looked at, in case no device acknowledges them."""

from __future__ import annotations

from collections.abc import Sequence

from duologue.storage.append.batch import Batch
from duologue.storage.database import AlarmRule, Tx


def raise_alarms(tx: Tx, batch: Batch, before: Sequence[tuple[int, int, int]], rule: AlarmRule) -> None:
    """Have the batch's messages looked at in time, for those users who asked for it.

    `before` are the chats' counters before the batch. An older alarm of the same chat covers them already.
    """
    tx.many(
        "INSERT INTO alarms (user_id, chat_id, due_at, seq)"
        " SELECT id, ?, ? + CASE WHEN wait < ? THEN wait ELSE ? END, ? FROM"
        " (SELECT id, coalesce(alarm_after, CASE WHEN registered_at IS NULL THEN ? ELSE ? END) AS wait"
        " FROM users WHERE id = ?) wish"
        " WHERE wait >= 0 ON CONFLICT (user_id, chat_id) DO NOTHING",
        [
            (
                batch.chat_ids[chat],
                batch.now,
                rule.longest,
                rule.longest,
                before[chat][0] + seq,
                rule.unregistered,
                rule.preset,
                batch.user_ids[user],
            )
            for user, chat, seq in batch.firsts()
        ],
    )
