"""Check of a whole database: are its numbers consistent? Row by row, in bounded memory.

Two walks, each in the order of its keys: chats with their messages, and users with their chats, sessions and logs.
At no time is more held than a page of each table and the chats and sessions of one user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from duologue.model import Subject, kinds_about, pair_id
from duologue.storage.audit.audit_logs import AuditedUser, Found, check_account
from duologue.storage.audit.pages import Stream
from duologue.storage.database import Row, Tx
from duologue.storage.tables.messages import unpack_client_id

_KEPT: Final = 20
"""So many findings of one rule are told; all are counted."""
_PAIR_ATTEMPTS: Final = 8  # ids that a pair may have
_CHATS_AT_ONCE: Final = 1_000  # chats
_MOST: Final = 2**63 - 1  # the highest id

Progress = Callable[[Counter[str]], None]
"""Called now and then with how many rows of each table were read."""


class Finding(msgspec.Struct, frozen=True):
    """Something that can't be true of a sound database: the rule's name, and what was found where."""

    rule: str
    says: str


class AuditReport(msgspec.Struct):
    """Rows read, findings (the first of each rule), and their number."""

    counts: Counter[str]
    findings: list[Finding]
    broken: Counter[str]

    @property
    def sound(self) -> bool:
        return not self.broken


def audit(tx: Tx, progress: Progress = lambda _: None) -> AuditReport:
    """Read everything that a transaction sees, and tell what is wrong with it."""
    report = AuditReport(Counter(), [], Counter())

    def found(rule: str, says: str) -> None:
        report.broken[rule] += 1
        if report.broken[rule] <= _KEPT:
            report.findings.append(Finding(rule, says))

    def stream(name: str, sql: str, key: str) -> Stream:
        def read(rows: int) -> None:
            report.counts[name] += rows
            progress(report.counts)

        return Stream(tx, sql, key, read, lambda row: found("orphan", f"{name}: {row[0]} has {row[1:4]}"))

    _check_chats(stream, found)
    for low, high in _ranges(tx):
        _check_client_ids(tx, low, high, found)
    _check_users(stream, found)
    return report


Streams = Callable[[str, str, str], Stream]


def _check_chats(stream: Streams, found: Found) -> None:
    """Each chat is of two users, in both their lists; its messages are numbered, and its counters count them."""
    chats = stream(
        "chats",
        "SELECT c.id, c.low_user, c.high_user, c.last_seq, c.low_count, c.high_count,"
        " m.withheld, n.withheld, l.id, h.id, m.peer_id, n.peer_id, v.chat_id"
        " FROM chats c LEFT JOIN users l ON l.id = c.low_user LEFT JOIN users h ON h.id = c.high_user"
        " LEFT JOIN members m ON m.user_id = c.low_user AND m.chat_id = c.id"
        " LEFT JOIN members n ON n.user_id = c.high_user AND n.chat_id = c.id"
        " LEFT JOIN moved_chats v ON v.chat_id = c.id",
        "c.id",
    )
    messages = stream(
        "messages",
        "SELECT x.chat_id, x.seq, x.side, x.low_count, x.high_count, x.reply_to, w.side, w.visible,"
        " x.sent_at, x.edited_at, x.deleted_at, x.text = '', x.reactions FROM messages x"
        " LEFT JOIN withheld w ON w.chat_id = x.chat_id AND w.seq = x.seq",
        "x.chat_id, x.seq",
    )
    for chat, low, high, *counters, low_id, high_id, low_peer, high_peer, moved in chats.every():
        if (moved is None and not low < high) or (low_id, high_id) != (low, high):
            found("chat without users", f"chat {chat} is of {low} and {high}")
        if (low_peer, high_peer) != (high, low):
            found(
                "chat not listed",
                f"chat {chat} of {low} and {high} is in the list of {high_peer} and {low_peer}",
            )
        if moved is None and chat not in {pair_id(low, high, attempt) for attempt in range(_PAIR_ATTEMPTS)}:
            found("chat under a foreign id", f"chat {chat} of {low} and {high}")
        counted = _check_messages(chat, messages.take(chat), found)
        if tuple(counters) != counted:
            found("chat miscounted", f"chat {chat} says {tuple(counters)}, its messages {counted}")
    messages.end()
    withheld = stream(
        "withheld",
        "SELECT w.chat_id, w.seq, x.seq FROM withheld w"
        " LEFT JOIN messages x ON x.chat_id = w.chat_id AND x.seq = w.seq",
        "w.chat_id, w.seq",
    )
    for chat, seq, message in withheld.every():
        if message is None:
            found("orphan", f"withheld: there is no message {seq} in chat {chat}")


def _check_messages(chat: int, rows: Iterator[Row], found: Found) -> tuple[int, ...]:
    """Counters that a chat should have: its newest seq, each side's messages, and those that each doesn't see."""
    seq = low = high = 0
    visible, newest_withheld = [0, 0], [0, 0]
    for _, number, side, low_count, high_count, reply_to, withheld_side, pointer, *changes in rows:
        if number != seq + 1:
            found("chat not numbered", f"chat {chat}: {number} follows {seq}")
        seq = number
        if withheld_side is None:
            low, high = low + (side == 0), high + (side == 1)
            visible = [seq, seq]
        else:
            if (withheld_side, pointer) != (side, visible[1 - side]):
                found(
                    "withheld mistaken", f"chat {chat}: {seq} of side {side} says {withheld_side}, {pointer}"
                )
            visible[side], newest_withheld[1 - side] = seq, seq
        if side not in (0, 1) or (low_count, high_count) != (low, high):
            found(
                "side not numbered",
                f"chat {chat}: {seq} says {low_count} + {high_count}, it is {low} + {high}",
            )
            low, high = low_count, high_count
        _check_changes(f"chat {chat}: {seq}", changes, found)
        if not 0 <= reply_to < seq:
            found("answer to nothing", f"chat {chat}: {seq} answers {reply_to}")
    return seq, low, high, *newest_withheld


def _check_changes(where: str, changes: Sequence[Any], found: Found) -> None:
    """A message is changed after it was sent, and nothing is left of it once it is deleted."""
    sent_at, edited_at, deleted_at, is_empty, reactions = changes
    if min(each for each in (edited_at, deleted_at, sent_at) if each is not None) < sent_at:
        found("changed before sent", f"{where}, sent at {sent_at}, says {edited_at}, {deleted_at}")
    if deleted_at is not None and (not is_empty or reactions):
        found("deleted but readable", f"{where}, deleted at {deleted_at}, has a text or reactions")
    each = [] if reactions is None else reactions.split(" ")
    if len(set(each)) < len(each) or any(one[:1] not in {"0", "1"} or not one[1:] for one in each):
        found("reactions mistaken", f"{where} has {reactions!r}")


def _ranges(tx: Tx) -> Iterator[tuple[int, int]]:
    """The chats, so many at a time."""
    low = -1
    while True:
        row = tx.one(
            "SELECT id FROM chats WHERE id > :low ORDER BY id LIMIT 1 OFFSET :skipped",
            low=low,
            skipped=_CHATS_AT_ONCE - 1,
        )
        yield low, row[0] if row else _MOST
        if row is None:
            return
        low = row[0]


def _check_client_ids(tx: Tx, low: int, high: int, found: Found) -> None:
    """No side of a chat has used a `client_id` twice, whatever the index says."""
    rows = tx.all(
        "SELECT chat_id, side, client_id, count(*) FROM messages WHERE chat_id > :low AND chat_id <= :high"
        " GROUP BY chat_id, side, client_id HAVING count(*) > 1 LIMIT :most",
        low=low,
        high=high,
        most=_KEPT,
    )
    for chat, side, client_id, count in rows:
        found(
            "client_id used twice",
            f"chat {chat}, side {side}: {unpack_client_id(client_id)!r}, {count} times",
        )


def _check_users(stream: Streams, found: Found) -> None:
    """Each user's chats, sessions and log agree with each other, and with what the chats hold."""
    users = stream("users", "SELECT id, phone, deleted_at FROM users", "id")
    logs = stream("logs", "SELECT user_id, last_seq, floor, acked, top_chat FROM logs", "user_id")
    members = stream(
        "members",
        "SELECT m.user_id, m.chat_id, m.peer_id, m.activity, m.known, m.delivered, m.read, m.delivered_shown,"
        " m.read_shown, m.read_count, c.low_user, c.last_seq,"
        " CASE WHEN c.low_user = m.user_id THEN c.low_count ELSE c.high_count END, x.low_count, x.high_count,"
        " coalesce(p.delivered_shown, 0), coalesce(p.read_shown, 0)"
        " FROM members m LEFT JOIN chats c ON c.id = m.chat_id AND m.user_id IN (c.low_user, c.high_user)"
        " LEFT JOIN messages x ON x.chat_id = m.chat_id AND x.seq = m.read"
        " LEFT JOIN members p ON p.user_id = m.peer_id AND p.chat_id = m.chat_id",
        "m.user_id, m.chat_id",
    )
    withheld = stream(
        "withheld from users",
        "SELECT m.user_id, m.chat_id, w.seq FROM members m JOIN chats c ON c.id = m.chat_id"
        " JOIN withheld w ON w.chat_id = m.chat_id AND w.side = CASE WHEN c.low_user = m.user_id THEN 1 ELSE 0 END",
        "m.user_id, m.chat_id, w.seq",
    )
    sessions = stream("sessions", "SELECT user_id, created_at, id FROM sessions", "user_id, created_at, id")
    events = stream(
        "events",
        "SELECT e.user_id, e.seq, e.kind, e.ref, e.a, e.b, x.side FROM events e"
        f" LEFT JOIN messages x ON e.kind IN {kinds_about(Subject.MESSAGE)} AND x.chat_id = e.ref AND x.seq = e.a",
        "e.user_id, e.seq",
    )
    erasures = stream("erasures", "SELECT user_id FROM erasures", "user_id")
    for user, phone, deleted_at in users.every():
        account = AuditedUser(
            user,
            phone is None or deleted_at is not None,
            erasures.one(user) is not None,
            logs.one(user),
            list(members.take(user)),
            {row[2] for row in sessions.take(user)},
            {(chat, seq) for _, chat, seq in withheld.take(user)},
        )
        check_account(account, events.take(user), found)
    for each in (logs, members, withheld, sessions, events, erasures):
        each.end()
