"""The outbox: each message that goes on by SMS, from its place in the queue to the last receipt.

A row is a job of `QUEUE` until a provider has taken it; what the network reports of it comes after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

import msgspec

from duologue.storage.database import Tx
from duologue.storage.tables import jobs
from duologue.storage.tables.messages import is_by_sms
from duologue.storage.tables.sms_ids import FOLDED

_COLUMNS: Final = (
    "id, chat_id, user_id, created_at, next_at, expires_at, sent_at, ended_at, seq, state, attempts, parts,"
    " provider, reason"
)
_STATE: Final = 9  # the column's place
_STEP: Final = 500  # rows
TOO_MANY_ANSWERS: Final = "too_many_answers"
"""The reason for which an answer waits that may be an autoresponder's."""
_LOOKED_BACK: Final = 64
"""Messages in which one from an app is looked for; beyond that the chat has none."""


class State(IntEnum):
    """State of a relayed message, as stored. Append only; the first two are those of a job."""

    QUEUED = jobs.QUEUED
    LEASED = jobs.LEASED
    ARRIVED = 2
    """On the phone, so it is no job any more; its sender's mark is still to be moved."""
    SENT = 3
    DELIVERED = 4
    FAILED = 5
    CANCELLED = jobs.CANCELLED
    DEAD = jobs.DEAD


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One row of the outbox. Times are epoch milliseconds; `reason` says why it ended as it did."""

    id: int
    chat_id: int
    user_id: int
    created_at: int
    next_at: int
    expires_at: int
    sent_at: int | None
    ended_at: int | None
    seq: int
    state: State
    attempts: int
    parts: int
    provider: str
    reason: str


def _load(row: Sequence[Any]) -> Outgoing:
    values = list(row)
    values[_STATE] = State(values[_STATE])
    return Outgoing(*values)


QUEUE: Final = jobs.Queue("sms_outbox", ("chat_id", "user_id"), _COLUMNS, _load)
"""One chat's messages go to a phone in their order."""


def lease_arrived(tx: Tx, now: int, until: int, limit: int) -> list[Outgoing]:
    """Take the next few rows whose sender's mark is to be moved, in the order of each chat."""
    rows = tx.all(
        # Said twice: on PostgreSQL another node may have leased a row since it was looked up.
        "UPDATE sms_outbox SET next_at = :until WHERE state = 2 AND next_at <= :now AND id IN ("
        "SELECT id FROM sms_outbox WHERE state = 2 AND next_at <= :now ORDER BY next_at LIMIT :limit)"
        f" RETURNING {_COLUMNS}",
        now=now,
        until=until,
        limit=limit,
    )
    return sorted(map(_load, rows), key=lambda row: (row.chat_id, row.seq))


def anything_due(tx: Tx, now: int) -> tuple[bool, bool]:
    """Return whether an SMS is due to be sent, and whether a mark is due to be moved."""
    arrived = tx.one("SELECT 1 FROM sms_outbox WHERE state = 2 AND next_at <= :now LIMIT 1", now=now)
    return jobs.oldest_due(tx, QUEUE, now) is not None, arrived is not None


def mend_future(tx: Tx, now: int, latest_at: int, lease_ms: int) -> int:
    """Make due what a clock that was ahead has dated, or leased for longer than `lease_ms`; how many rows."""
    return jobs.mend_future(tx, QUEUE, now, latest_at, lease_ms) + tx.run(
        "UPDATE sms_outbox SET created_at = CASE WHEN created_at > :latest THEN :now ELSE created_at END,"
        " next_at = :now WHERE state = 2 AND (created_at > :latest OR next_at > :longest)",
        now=now,
        latest=latest_at,
        longest=latest_at + lease_ms,
    )


def answers_sent(tx: Tx, row: Outgoing, since: int, now: int) -> list[int]:
    """Return the times (epoch ms) of relayed answers by SMS in a chat, since the last message from an app.

    What is being sent counts as sent now; `row` itself doesn't count.
    """
    latest = tx.all(
        "SELECT seq, client_id FROM messages WHERE chat_id = :chat_id ORDER BY seq DESC LIMIT :most",
        chat_id=row.chat_id,
        most=_LOOKED_BACK,
    )
    from_app = next((seq for seq, client_id in latest if not is_by_sms(client_id)), 0)
    rows = tx.all(
        "SELECT o.sent_at, m.client_id FROM sms_outbox o JOIN messages m ON m.chat_id = o.chat_id AND m.seq = o.seq"
        " WHERE o.chat_id = :chat_id AND o.seq > :from_app AND o.id <> :id AND (o.sent_at > :since OR o.state = 1)",
        chat_id=row.chat_id,
        from_app=from_app,
        id=row.id,
        since=since,
    )
    return sorted(sent_at or now for sent_at, client_id in rows if is_by_sms(client_id))


def sent(
    tx: Tx, row: Outgoing, provider: str, provider_ids: Sequence[str], parts: int, receipts: int, now: int
) -> None:
    """A provider took it, and will report under these ids, `receipts` times each. What it reported already counts.

    True even if the lease had run out by then: what was sent can't be taken back. Of two copies the first counts.
    """
    first = tx.run(
        "UPDATE sms_outbox SET state = 3, sent_at = :now, ended_at = NULL, provider = :provider, parts = :parts,"
        " reason = '' WHERE id = :id AND sent_at IS NULL",
        now=now,
        provider=provider,
        parts=parts,
        id=row.id,
    )
    if not first:
        # A receipt was here before the answer: it told that it was sent, not in how many parts.
        tx.run("UPDATE sms_outbox SET parts = :parts WHERE id = :id AND parts = 0", parts=parts, id=row.id)
        return
    for provider_id in provider_ids:
        tx.run(
            "INSERT INTO sms_ids (provider, provider_id, outbox_id, receipts, folded, at)"
            f" VALUES (:provider, :provider_id, :id, :receipts, {FOLDED}, :now)"
            " ON CONFLICT (provider, provider_id) DO UPDATE SET outbox_id = :id, receipts = :receipts",
            provider=provider,
            provider_id=provider_id,
            id=row.id,
            receipts=receipts,
            now=now,
        )
    fold(tx, row.id, now)


def tried(tx: Tx, outbox_id: int) -> Outgoing | None:
    """The row with this id if it was handed to a provider and nobody knows yet whether that took it."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM sms_outbox WHERE id = :id AND state <= 1 AND attempts > 0", id=outbox_id
    )
    return _load(row) if row else None


def record_receipt(
    tx: Tx, provider: str, provider_id: str, state: str, part: int, event: str, code: str, now: int
) -> int | None:
    """Note what a provider reported, once; the outbox row that it is about, if that is known yet."""
    tx.run(
        "INSERT INTO sms_receipts (provider, provider_id, state, part, event, code, at)"
        " VALUES (:provider, :provider_id, :state, :part, :event, :code, :now)"
        " ON CONFLICT (provider, provider_id, state, part, event) DO NOTHING",
        provider=provider,
        provider_id=provider_id,
        state=state,
        part=part,
        event=event,
        code=code,
        now=now,
    )
    row = tx.one(
        "SELECT outbox_id FROM sms_ids WHERE provider = :provider AND provider_id = :provider_id",
        provider=provider,
        provider_id=provider_id,
    )
    # 0: it is of no row, or not yet.
    return row[0] or None if row else None


def fold(tx: Tx, outbox_id: int, now: int) -> None:
    """Set the state told by all receipts of an SMS: delivered if every part is, failed if any is and no copy came.

    Delivered stands against a failure that comes later, and a delivery against an earlier failure.
    """
    rows = tx.all(
        "SELECT i.provider_id, i.receipts, r.state, r.code FROM sms_ids i LEFT JOIN sms_receipts r"
        " ON r.provider = i.provider AND r.provider_id = i.provider_id WHERE i.outbox_id = :id",
        id=outbox_id,
    )
    missing = {provider_id: receipts for provider_id, receipts, _, _ in rows}
    for provider_id, _, state, _ in rows:
        missing[provider_id] -= state == "delivered"
    failures = [code or state for _, _, state, code in rows if state in ("undelivered", "failed")]
    if missing and all(count <= 0 for count in missing.values()):
        tx.run(
            "UPDATE sms_outbox SET state = 2, next_at = :now, ended_at = :now, reason = ''"
            " WHERE id = :id AND state IN (3, 5)",
            now=now,
            id=outbox_id,
        )
    elif failures:
        tx.run(
            "UPDATE sms_outbox SET state = 5, ended_at = :now, reason = :reason WHERE id = :id AND state = 3",
            now=now,
            reason=failures[0],
            id=outbox_id,
        )


def arrived_up_to(tx: Tx, row: Outgoing) -> int:
    """Up to which seq everything from the peer is on the recipient's phone or devices: its mark may rise to there.

    A message that failed, or never was relayed, holds the mark back: it would claim that one too. A deleted
    one holds nothing back.
    """
    mine = tx.one(
        "SELECT m.delivered, CASE WHEN c.low_user = :user_id THEN 0 ELSE 1 END FROM members m"
        " JOIN chats c ON c.id = m.chat_id WHERE m.user_id = :user_id AND m.chat_id = :chat_id",
        user_id=row.user_id,
        chat_id=row.chat_id,
    )
    if mine is None:
        return 0
    reached, side = mine
    rows = tx.all(
        "SELECT x.seq, o.state FROM messages x LEFT JOIN sms_outbox o ON o.chat_id = x.chat_id AND o.seq = x.seq"
        " WHERE x.chat_id = :chat_id AND x.seq > :delivered AND x.side <> :side"
        " AND x.deleted_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM withheld w WHERE w.chat_id = x.chat_id AND w.seq = x.seq)"
        " ORDER BY x.seq LIMIT :step",
        chat_id=row.chat_id,
        delivered=reached,
        side=side,
        step=_STEP,
    )
    for seq, state in rows:
        if state not in (State.ARRIVED, State.DELIVERED):
            break
        reached = seq
    return int(reached)


def marked(tx: Tx, row: Outgoing) -> None:
    """The sender's mark has been moved as far as it may."""
    tx.run("UPDATE sms_outbox SET state = 4 WHERE id = :id AND state = 2", id=row.id)


def cancel_for(tx: Tx, user_id: int, reason: str, now: int) -> int:
    """Cancel what waits to go to a user's phone; how many. What is leased is past recall."""
    return tx.run(
        "UPDATE sms_outbox SET state = 6, reason = :reason, ended_at = :now WHERE user_id = :user_id AND state = 0",
        reason=reason,
        now=now,
        user_id=user_id,
    )


def withdraw(tx: Tx, chat_id: int, seq: int, reason: str, now: int) -> None:
    """Cancel the SMS of a message if it waits to be sent; the reason keeps what it waited for."""
    tx.run(
        "UPDATE sms_outbox SET state = 6, ended_at = :now,"
        " reason = CASE WHEN reason = '' THEN :reason ELSE :reason || ', after: ' || reason END"
        " WHERE chat_id = :chat_id AND seq = :seq AND state = 0",
        now=now,
        reason=reason,
        chat_id=chat_id,
        seq=seq,
    )


def find(tx: Tx, chat_id: int, seq: int) -> Outgoing | None:
    """The relay of a message, if there is one."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM sms_outbox WHERE chat_id = :chat_id AND seq = :seq", chat_id=chat_id, seq=seq
    )
    return _load(row) if row else None


def receipts_of(tx: Tx, outbox_id: int) -> list[tuple[int, str, int, str]]:
    """Each receipt of an SMS: time, state, part and code, in the order of their coming."""
    rows = tx.all(
        "SELECT r.at, r.state, r.part, r.code FROM sms_ids i JOIN sms_receipts r"
        " ON r.provider = i.provider AND r.provider_id = i.provider_id WHERE i.outbox_id = :id"
        " ORDER BY r.at, CASE r.state WHEN 'queued' THEN 0 WHEN 'sent' THEN 1 ELSE 2 END, r.part",
        id=outbox_id,
    )
    return [(at, state, part, code) for at, state, part, code in rows]


def counts(tx: Tx) -> dict[State, int]:
    """Return the number of rows in each state."""
    return {State(state): count for state, count in jobs.counts(tx, QUEUE).items()}


def oldest_due(tx: Tx, now: int) -> int | None:
    """Since when (epoch ms) somebody should have seen to a row; None if nothing is overdue."""
    arrived = tx.one("SELECT min(next_at) FROM sms_outbox WHERE state = 2 AND next_at <= :now", now=now)
    due = [at for at in (jobs.oldest_due(tx, QUEUE, now), arrived[0] if arrived else None) if at is not None]
    return min(due, default=None)


def purge(tx: Tx, before: int) -> int:
    """Forget what ended before then, a step at a time; how many rows went."""
    ids = jobs.purge(tx, QUEUE, before, State.ARRIVED)
    if ids:
        tx.run(f"DELETE FROM sms_ids WHERE outbox_id IN ({', '.join(map(str, ids))})")
    return len(ids) + tx.run(
        "DELETE FROM sms_receipts WHERE (provider, provider_id, state, part, event) IN"
        " (SELECT provider, provider_id, state, part, event FROM sms_receipts WHERE at < :before"
        " ORDER BY at LIMIT :step)",
        before=before,
        step=_STEP,
    )
