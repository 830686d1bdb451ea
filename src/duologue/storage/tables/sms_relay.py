"""The relay by SMS: who wants it, and what of a chat it has to know."""

from __future__ import annotations

from typing import Final

import msgspec

from duologue.model import Pair, Relay, User
from duologue.storage.database import Tx
from duologue.storage.tables.accounts import USER_COLUMNS, load_user
from duologue.storage.tables.outbox import Outgoing

_PEER: Final = ", ".join(f"u.{name}" for name in USER_COLUMNS.split(", "))


class RelayRule(msgspec.Struct, frozen=True, gc=False):
    """Rule when the relay looks at messages: `delay` is in milliseconds.

    `default` is for users who chose nothing, `unregistered` for numbers that nobody has signed in with.
    """

    default: Relay
    unregistered: Relay
    delay: int


def policy_of(user: User, rule: RelayRule) -> Relay:
    """Return the relay policy that follows from a user's choice. A suspended user gets no SMS."""
    if user.phone is None or user.suspended_at is not None:
        return Relay.OFF
    if user.registered_at is None:
        return rule.unregistered
    return rule.default if user.sms_relay is None else user.sms_relay


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
