"""Marks: how far each side of a chat has got and read. They only ever rise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from duologue.model import Kind, Known, Message, Pair, WhoCanWrite
from duologue.storage.database import Mark, Tx
from duologue.storage.lists import pair_list

# Looking an enum's member up takes longer than the rest of a check.
_ANSWERED: Final = Known.ANSWERED


class RaisedMark(msgspec.Struct, frozen=True, gc=False):
    """A member's marks after a `Mark` was applied, and for whom that changed something."""

    delivered: int
    read: int
    delivered_shown: int
    read_shown: int
    own_changed: bool
    peer_changed: bool


class _Standing(msgspec.Struct, frozen=True, gc=False):
    """A member's marks before, and what decides how much of them the peer may see.

    `withheld` is the newest message that is withheld from the member; 0 if none is.
    """

    user_id: int
    chat_id: int
    delivered: int
    read: int
    delivered_shown: int
    read_shown: int
    withheld: int
    known: int
    last_seq: int
    peer_count: int
    read_receipts: bool
    who_can_write: int | None
    discoverable: bool | None
    peer_log: int | None


def raise_marks(tx: Tx, marks: Sequence[Mark]) -> list[RaisedMark | None]:
    """Apply marks, at most one a member; read implies delivered. None for one beyond its chat's last message."""
    found = _standings(tx, marks)
    raised = [_raised(tx, mark, found.get((mark.owner, mark.chat_id))) for mark in marks]
    moved = [(mark, new) for mark, new in zip(marks, raised, strict=True) if new and new.own_changed]
    tx.many(
        "UPDATE members SET delivered = ?, read = ?, delivered_shown = ?, read_shown = ?"
        " WHERE user_id = ? AND chat_id = ?",
        [
            (new.delivered, new.read, new.delivered_shown, new.read_shown, mark.owner, mark.chat_id)
            for mark, new in moved
        ],
    )
    tx.many(
        "UPDATE members SET read_count = (SELECT CASE ? WHEN 1 THEN low_count ELSE high_count END FROM messages"
        " WHERE chat_id = ? AND seq = ?) WHERE user_id = ? AND chat_id = ?",
        [
            (mark.side, mark.chat_id, new.read, mark.owner, mark.chat_id)
            for mark, new in moved
            if new.read != found[mark.owner, mark.chat_id].read
        ],
    )
    return raised


def _standings(tx: Tx, marks: Sequence[Mark]) -> dict[tuple[int, int], _Standing]:
    if not marks:
        return {}
    listed, values = pair_list([(mark.owner, mark.chat_id) for mark in marks])
    rows = tx.all(
        "SELECT m.user_id, m.chat_id, m.delivered, m.read, m.delivered_shown, m.read_shown, m.withheld, m.known,"
        " c.last_seq, CASE WHEN c.low_user = m.user_id THEN c.high_count ELSE c.low_count END, u.read_receipts,"
        " u.who_can_write, u.discoverable, l.user_id"
        " FROM members m JOIN chats c ON c.id = m.chat_id JOIN users u ON u.id = m.user_id"
        f" LEFT JOIN logs l ON l.user_id = m.peer_id WHERE (m.user_id, m.chat_id) IN {listed}",
        **values,
    )
    return {(row[0], row[1]): _Standing(*row) for row in rows}


def _raised(tx: Tx, mark: Mark, before: _Standing | None) -> RaisedMark | None:
    if before is None or max(mark.delivered, mark.read) > before.last_seq:
        return None
    delivered = max(before.delivered, mark.delivered, mark.read)
    read = max(before.read, mark.read)
    delivered_shown, read_shown = before.delivered_shown, before.read_shown
    # A peer who has written nothing has no use for these marks, and needn't even know of the chat.
    if before.peer_count and _shows(tx, before.known, before.who_can_write, discoverable=before.discoverable):
        delivered_shown = max(delivered_shown, _visible(tx, mark, before, delivered))
        if before.read_receipts:
            read_shown = max(read_shown, mark.read and _visible(tx, mark, before, mark.read))
    own_changed = (delivered, read) != (before.delivered, before.read)
    # A peer whose account is deleted has no log to tell it in.
    peer_changed = before.peer_log is not None and (delivered_shown, read_shown) != (
        before.delivered_shown,
        before.read_shown,
    )
    return RaisedMark(delivered, read, delivered_shown, read_shown, own_changed, peer_changed)


def _shows(tx: Tx, known: int, who_can_write: int | None, *, discoverable: bool | None) -> bool:
    """Return whether the peer may see marks that rise now: a stranger doesn't, if the member chose so."""
    if known == _ANSWERED:
        return True
    presets = tx.presets
    who = presets.who_can_write if who_can_write is None else who_can_write
    found = presets.discoverable if discoverable is None else discoverable
    return who != WhoCanWrite.REQUESTS and bool(found)


def shows_marks(tx: Tx, user_id: int, chat_id: int) -> bool:
    """Return whether the peer may see a user's marks in a chat from now on."""
    row = tx.one(
        "SELECT m.known, u.who_can_write, u.discoverable FROM members m JOIN users u ON u.id = m.user_id"
        " WHERE m.user_id = :user_id AND m.chat_id = :chat_id",
        user_id=user_id,
        chat_id=chat_id,
    )
    return row is not None and _shows(tx, row[0], row[1], discoverable=row[2])


def _visible(tx: Tx, mark: Mark, before: _Standing, seq: int) -> int:
    return visible_seq(tx, mark.chat_id, mark.side, seq) if before.withheld else seq


def visible_seq(tx: Tx, chat_id: int, side: int, seq: int) -> int:
    """This seq, or, if its message is withheld from this side, that of the newest one before it that is not."""
    row = tx.one(
        "SELECT visible FROM withheld WHERE chat_id = :chat_id AND seq = :seq AND side <> :side",
        chat_id=chat_id,
        seq=seq,
        side=side,
    )
    return row[0] if row else seq


class ShownMarks(msgspec.Struct, frozen=True, gc=False):
    """For each side as a sender: how far the other has got and read, as far as it shows that.

    `withholds`: some message of the chat is withheld from its recipient.
    """

    of: dict[int, tuple[int, int]]
    withholds: bool


def shown_marks(tx: Tx, pair: Pair) -> ShownMarks:
    """Return the marks that both sides of a chat may see of each other."""
    rows = tx.all(
        "SELECT peer_id, delivered_shown, read_shown, withheld FROM members"
        " WHERE user_id IN (:low, :high) AND chat_id = :chat_id",
        low=pair.low,
        high=pair.high,
        chat_id=pair.chat_id,
    )
    shown = {peer: (delivered, read) for peer, delivered, read, _ in rows}
    return ShownMarks({pair.low: (0, 0), pair.high: (0, 0)} | shown, any(row[3] for row in rows))


def marks_of_message(tx: Tx, pair: Pair, message: Message) -> tuple[int, int] | None:
    """Return the recipient's delivered and read marks, as far as the sender may see them with this message.

    None if it isn't stored: since it was found, the store has gone back to an older state.
    """
    stored = tx.one(
        "SELECT 1 FROM messages WHERE chat_id = :chat_id AND seq = :seq AND sent_at = :sent_at",
        chat_id=message.chat_id,
        seq=message.seq,
        sent_at=message.sent_at,
    )
    if stored is None:
        return None
    shown = shown_marks(tx, pair)
    if shown.withholds and withheld_among(tx, pair.chat_id, message.seq, message.seq):
        return 0, 0
    return shown.of[message.sender_id]


def withheld_among(tx: Tx, chat_id: int, first: int, last: int) -> set[int]:
    """The seqs from `first` to `last` whose messages are withheld from their recipients."""
    rows = tx.all(
        "SELECT seq FROM withheld WHERE chat_id = :chat_id AND seq >= :first AND seq <= :last",
        chat_id=chat_id,
        first=first,
        last=last,
    )
    return {row[0] for row in rows}


def as_seen(tx: Tx, chat_id: int, user_id: int, messages: Sequence[Message]) -> list[Message]:
    """Messages in rising seq as one side sees them: of those that are withheld from it only the place."""
    if not messages:
        return []
    withheld = withheld_among(tx, chat_id, messages[0].seq, messages[-1].seq)
    return [_hidden(message, user_id) if message.seq in withheld else message for message in messages]


def _hidden(message: Message, user_id: int) -> Message:
    if message.sender_id == user_id:
        return msgspec.structs.replace(message, withheld=True)
    return msgspec.structs.replace(
        message,
        withheld=True,
        client_id="",
        text="",
        reply_to=0,
        by_sms=False,
        edited_at=None,
        deleted_at=None,
        reactions=(),
    )


class LogStep(msgspec.Struct, frozen=True, gc=False):
    """One step through a log: it reached `reached`; the log's newest event is `last_seq`.

    `newest` has each chat's highest message from the peer in between.
    """

    reached: int
    last_seq: int
    newest: dict[Pair, int]


def received(tx: Tx, user_id: int, after: int, seq: int, limit: int) -> LogStep:
    """Return the messages that an ack up to `seq` covers, in steps of at most `limit` events.

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
    return LogStep(rows[-1][0] if len(rows) == limit else seq, last_seq, newest)


def store_acks(tx: Tx, acked: Mapping[int, int]) -> None:
    """Remember up to which seq everything of a user's log is safe on one of its devices: `{user_id: seq}`."""
    tx.lock_logs()
    tx.many(
        "UPDATE logs SET acked = ? WHERE user_id = ? AND acked < ? AND last_seq >= ?",
        [(seq, user_id, seq, seq) for user_id, seq in acked.items()],
    )
