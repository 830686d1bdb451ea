"""The relay's alarms: which messages are to be looked at, and when, in case no device acknowledges them.

An alarm is made in the transaction of the message that it is about, and stays until everything from that message
on has been looked at. What a device acknowledged in time never gets a row in the outbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

import msgspec

from duologue.clock import SLACK
from duologue.model import Known, Pair, Relay, User, WhoCanWrite
from duologue.storage.accounts import USER_COLUMNS, load_user
from duologue.storage.batch import Batch
from duologue.storage.chats import write_rule
from duologue.storage.database import RelayRule, Tx
from duologue.storage.messages import is_by_sms
from duologue.storage.outbox import TOO_MANY_ANSWERS, Outgoing, enqueue, wake

_ALARMS: Final = 100  # alarms at once
_SWEPT: Final = 500  # alarms at once
_MESSAGES: Final = 20  # messages at once
_PEER: Final = ", ".join(f"u.{name}" for name in USER_COLUMNS.split(", "))


def raise_alarms(tx: Tx, batch: Batch, before: Sequence[tuple[int, int, int]], rule: RelayRule) -> None:
    """Have the batch's messages looked at in time, for those users who want them relayed.

    `before` are the chats' counters before the batch. An older alarm of the same chat covers them already.
    """
    tx.many(
        "INSERT INTO relay_alarms (user_id, chat_id, due_at, seq)"
        " SELECT id, ?, ? + CASE WHEN policy = 2 THEN 0 ELSE ? END, ? FROM"
        " (SELECT id, CASE WHEN registered_at IS NULL THEN ? ELSE coalesce(sms_relay, ?) END AS policy"
        " FROM users WHERE id = ? AND phone IS NOT NULL) wish"
        " WHERE policy > 0 ON CONFLICT (user_id, chat_id) DO NOTHING",
        [
            (
                batch.chat_ids[chat],
                batch.now,
                rule.delay,
                before[chat][0] + seq,
                int(rule.unregistered),
                int(rule.default),
                batch.user_ids[user],
            )
            for user, chat, seq in batch.firsts()
        ],
    )


def policy_of(user: User, rule: RelayRule) -> Relay:
    """Return the relay policy that follows from a user's choice. A suspended user gets no SMS."""
    if user.phone is None or user.suspended_at is not None:
        return Relay.OFF
    if user.registered_at is None:
        return rule.unregistered
    return rule.default if user.sms_relay is None else user.sms_relay


class _Alarm(msgspec.Struct, frozen=True, gc=False):
    user: User
    chat_id: int
    seq: int
    side: int
    delivered: int
    known: int


def answer_alarms(tx: Tx, rule: RelayRule, valid_for: int, now: int) -> int:
    """Look at what the next few due alarms are about, and queue what nobody acknowledged; how many alarms.

    A message that isn't due yet keeps its alarm. `valid_for` (ms) is how long an SMS is worth sending.
    """
    # An alarm must not go while a message that relies on it is being stored.
    tx.lock_logs()
    needless = _drop_needless(tx, rule, now)
    rows = tx.all(
        f"SELECT a.chat_id, a.seq, c.low_user, m.delivered, m.known, {_PEER} FROM relay_alarms a"
        " JOIN chats c ON c.id = a.chat_id JOIN users u ON u.id = a.user_id"
        " JOIN members m ON m.user_id = a.user_id AND m.chat_id = a.chat_id"
        " WHERE a.due_at <= :now ORDER BY a.due_at LIMIT :most",
        now=now,
        most=_ALARMS,
    )
    for chat_id, seq, low, delivered, known, *columns in rows:
        user = load_user(columns)
        _answer(tx, _Alarm(user, chat_id, seq, int(user.id != low), delivered, known), rule, valid_for, now)
    return needless + len(rows)


def _drop_needless(tx: Tx, rule: RelayRule, now: int) -> int:
    """Drop those of the next due alarms whose messages all have been acknowledged: nearly all of them, in one go."""
    return tx.run(
        "DELETE FROM relay_alarms WHERE (user_id, chat_id) IN ("
        "SELECT a.user_id, a.chat_id FROM (SELECT user_id, chat_id, seq FROM relay_alarms WHERE due_at <= :now"
        " ORDER BY due_at LIMIT :most) a JOIN users u ON u.id = a.user_id JOIN chats c ON c.id = a.chat_id"
        " JOIN members m ON m.user_id = a.user_id AND m.chat_id = a.chat_id"
        " WHERE u.registered_at IS NOT NULL AND coalesce(u.sms_relay, :default) <> 2"
        # A minimum is one look into the index, wherever the plan would rather read all messages.
        " AND (SELECT min(x.seq) FROM messages x WHERE x.chat_id = a.chat_id"
        " AND x.seq > CASE WHEN m.delivered < a.seq THEN a.seq - 1 ELSE m.delivered END"
        " AND x.side <> CASE WHEN c.low_user = a.user_id THEN 0 ELSE 1 END) IS NULL)",
        now=now,
        most=_SWEPT,
        default=int(rule.default),
    )


def _answer(tx: Tx, alarm: _Alarm, rule: RelayRule, valid_for: int, now: int) -> None:
    policy = policy_of(alarm.user, rule)
    if alarm.known == Known.STRANGER and write_rule(tx, alarm.user) is WhoCanWrite.REQUESTS:
        policy = Relay.OFF
    waiting = [] if policy is Relay.OFF else _unacknowledged(tx, alarm, policy)
    delay = 0 if policy is Relay.ALWAYS else rule.delay
    # What a clock that was ahead has dated is due with its alarm, or it would wait for that date.
    due = list(takewhile(lambda each: each[1] + delay <= now or each[1] > now + SLACK, waiting))
    for seq, sent_at, by_sms in due:
        if not by_sms:
            # A person is there, so no loop is to be feared, and the person isn't to wait for its end.
            wake(tx, alarm.chat_id, alarm.user.id, TOO_MANY_ANSWERS, now)
        enqueue(tx, alarm.chat_id, seq, alarm.user.id, now, min(sent_at, now) + valid_for)
    later = waiting[len(due)] if len(due) < len(waiting) else None
    if later is None and len(waiting) == _MESSAGES:
        later = (waiting[-1][0] + 1, now - delay, False)
    if later is None:
        tx.run(
            "DELETE FROM relay_alarms WHERE user_id = :user_id AND chat_id = :chat_id",
            user_id=alarm.user.id,
            chat_id=alarm.chat_id,
        )
    else:
        tx.run(
            "UPDATE relay_alarms SET seq = :seq, due_at = :due_at WHERE user_id = :user_id AND chat_id = :chat_id",
            seq=later[0],
            due_at=min(later[1], now) + delay,
            user_id=alarm.user.id,
            chat_id=alarm.chat_id,
        )


def _unacknowledged(tx: Tx, alarm: _Alarm, policy: Relay) -> list[tuple[int, int, bool]]:
    """The next messages that the alarm is about, as (seq, sent_at, by_sms)."""
    rows = tx.all(
        "SELECT seq, sent_at, client_id FROM messages x"
        " WHERE chat_id = :chat_id AND seq >= :seq AND side <> :side"
        " AND NOT EXISTS (SELECT 1 FROM withheld w WHERE w.chat_id = x.chat_id AND w.seq = x.seq)"
        " ORDER BY seq LIMIT :most",
        chat_id=alarm.chat_id,
        seq=alarm.seq if policy is Relay.ALWAYS else max(alarm.seq, alarm.delivered + 1),
        side=alarm.side,
        most=_MESSAGES,
    )
    return [(seq, sent_at, is_by_sms(client_id)) for seq, sent_at, client_id in rows]


def anything_due(tx: Tx, now: int) -> tuple[bool, bool]:
    """Return whether an alarm is due, and whether the outbox has work to do."""
    alarm = tx.one("SELECT 1 FROM relay_alarms WHERE due_at <= :now LIMIT 1", now=now)
    row = tx.one("SELECT 1 FROM sms_outbox WHERE state <= 2 AND next_at <= :now LIMIT 1", now=now)
    return alarm is not None, row is not None


def is_needless(tx: Tx, outgoing: Outgoing, rule: RelayRule) -> bool:
    """Return whether a device has the message, and its user doesn't want all messages on the phone too."""
    row = tx.one(
        f"SELECT m.delivered, {_PEER} FROM members m JOIN users u ON u.id = m.user_id"
        " WHERE m.user_id = :user_id AND m.chat_id = :chat_id",
        user_id=outgoing.user_id,
        chat_id=outgoing.chat_id,
    )
    if row is None:
        return False
    return row[0] >= outgoing.seq and policy_of(load_user(row[1:]), rule) is not Relay.ALWAYS


def is_unanswered(tx: Tx, outgoing: Outgoing, pair: Pair) -> bool:
    """Return whether the recipient has had a text in this chat, and has never written in it."""
    written = tx.one("SELECT low_count, high_count FROM chats WHERE id = :chat_id", chat_id=pair.chat_id)
    if written is None or written[pair.side_of(outgoing.user_id)]:
        return False
    # The outbox forgets after some days; the service number knows for as long as it is this chat's.
    earlier = tx.one(
        "SELECT 1 FROM sms_outbox WHERE chat_id = :chat_id AND seq < :seq AND state IN (1, 2, 3, 4, 5)"
        " UNION SELECT 1 FROM sms_pairs WHERE user_id = :user_id AND chat_id = :chat_id AND introduced = 1",
        chat_id=pair.chat_id,
        seq=outgoing.seq,
        user_id=outgoing.user_id,
    )
    return earlier is not None
