"""Alarms: which messages are to be looked at, and when, in case no device acknowledges them.

An alarm is made in the transaction of the message that it is about, and stays until everything from that message
on has been looked at. An alarm names no channel: core/delivery decides who is told, and how.
"""

from __future__ import annotations

from typing import Final

import msgspec

from duologue.model import User
from duologue.storage.database import AlarmRule, Tx
from duologue.storage.tables.accounts import USER_COLUMNS, load_user
from duologue.storage.tables.messages import is_by_sms

MESSAGES_AT_ONCE: Final = 20  # messages
_ALARMS: Final = 100  # alarms at once
_SWEPT: Final = 500  # alarms at once
_PEER: Final = ", ".join(f"u.{name}" for name in USER_COLUMNS.split(", "))


class Alarm(msgspec.Struct, frozen=True, gc=False):
    """An alarm that is due: messages of a chat from `seq` on are to be looked at.

    `side`, `delivered` and `known` are those of its user in the chat.
    """

    user: User
    chat_id: int
    seq: int
    side: int
    delivered: int
    known: int


class WaitingMessage(msgspec.Struct, frozen=True, gc=False):
    """A message that an alarm is about. `sent_at` is in epoch milliseconds; `by_sms`: its sender used no app."""

    seq: int
    sent_at: int
    by_sms: bool


def is_due(tx: Tx, now: int) -> bool:
    """Return whether an alarm is due."""
    return tx.one("SELECT 1 FROM alarms WHERE due_at <= :now LIMIT 1", now=now) is not None


def drop_needless(tx: Tx, rule: AlarmRule, now: int) -> int:
    """Drop those of the next due alarms whose messages all have been acknowledged: nearly all of them, in one go."""
    return tx.run(
        "DELETE FROM alarms WHERE (user_id, chat_id) IN ("
        "SELECT a.user_id, a.chat_id FROM (SELECT user_id, chat_id, seq FROM alarms WHERE due_at <= :now"
        " ORDER BY due_at LIMIT :most) a JOIN users u ON u.id = a.user_id JOIN chats c ON c.id = a.chat_id"
        " JOIN members m ON m.user_id = a.user_id AND m.chat_id = a.chat_id"
        " WHERE u.registered_at IS NOT NULL AND coalesce(u.alarm_after, :preset) <> 0"
        # A minimum is one look into the index, wherever the plan would rather read all messages.
        " AND (SELECT min(x.seq) FROM messages x WHERE x.chat_id = a.chat_id"
        " AND x.seq > CASE WHEN m.delivered < a.seq THEN a.seq - 1 ELSE m.delivered END"
        " AND x.side <> CASE WHEN c.low_user = a.user_id THEN 0 ELSE 1 END) IS NULL)",
        now=now,
        most=_SWEPT,
        preset=rule.preset,
    )


def due_alarms(tx: Tx, now: int) -> list[Alarm]:
    """Return the next few alarms that are due, the oldest first."""
    rows = tx.all(
        f"SELECT a.chat_id, a.seq, c.low_user, m.delivered, m.known, {_PEER} FROM alarms a"
        " JOIN chats c ON c.id = a.chat_id JOIN users u ON u.id = a.user_id"
        " JOIN members m ON m.user_id = a.user_id AND m.chat_id = a.chat_id"
        " WHERE a.due_at <= :now ORDER BY a.due_at LIMIT :most",
        now=now,
        most=_ALARMS,
    )
    alarms = []
    for chat_id, seq, low, delivered, known, *columns in rows:
        user = load_user(columns)
        alarms.append(Alarm(user, chat_id, seq, int(user.id != low), delivered, known))
    return alarms


def waiting(tx: Tx, alarm: Alarm, *, acknowledged: bool) -> list[WaitingMessage]:
    """Return the next messages that an alarm is about, at most `MESSAGES_AT_ONCE`.

    Those that a device has are among them if `acknowledged` ones are asked for. Deleted ones never are.
    """
    rows = tx.all(
        "SELECT seq, sent_at, client_id FROM messages x"
        " WHERE chat_id = :chat_id AND seq >= :seq AND side <> :side AND deleted_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM withheld w WHERE w.chat_id = x.chat_id AND w.seq = x.seq)"
        " ORDER BY seq LIMIT :most",
        chat_id=alarm.chat_id,
        seq=alarm.seq if acknowledged else max(alarm.seq, alarm.delivered + 1),
        side=alarm.side,
        most=MESSAGES_AT_ONCE,
    )
    return [WaitingMessage(seq, sent_at, is_by_sms(client_id)) for seq, sent_at, client_id in rows]


def move(tx: Tx, alarm: Alarm, seq: int, due_at: int) -> None:
    """Have an alarm ring again at `due_at` (epoch ms), for messages from `seq` on."""
    tx.run(
        "UPDATE alarms SET seq = :seq, due_at = :due_at WHERE user_id = :user_id AND chat_id = :chat_id",
        seq=seq,
        due_at=due_at,
        user_id=alarm.user.id,
        chat_id=alarm.chat_id,
    )


def drop(tx: Tx, alarm: Alarm) -> None:
    """Forget an alarm: everything that it was about has been seen to."""
    tx.run(
        "DELETE FROM alarms WHERE user_id = :user_id AND chat_id = :chat_id",
        user_id=alarm.user.id,
        chat_id=alarm.chat_id,
    )
