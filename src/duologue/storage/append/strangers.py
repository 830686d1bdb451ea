"""Messages between users who don't know each other yet: what reaches whom, and what both learn of each other.

A user is known to the peer of a chat from the first message that it writes there, or from accepting the chat. Where
both are known, messages take the message path (`append`), and nothing of this is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from duologue.errors import overloaded
from duologue.model import Event, Kind, Known, Message, Pair, Receipt, WhoCanWrite
from duologue.storage.append.append import append, insert_messages
from duologue.storage.append.batch import Batch, NoSuchChat
from duologue.storage.append.group import answer_repeat
from duologue.storage.database import AlarmRule, Outcome, Post, Posted, Tx
from duologue.storage.tables.accounts import user_by_id
from duologue.storage.tables.chats import list_chat, raise_chat, tell_chat, write_rule
from duologue.storage.tables.events import NewEvent, append_events
from duologue.storage.tables.messages import find_post, page_after
from duologue.storage.tables.receipts import as_seen, shown_marks, shows_marks, visible_seq, withheld_among


class SenderStanding(msgspec.Struct, frozen=True, gc=False):
    """Relation of a sender to the recipient of a chat.

    `waiting`: messages that the recipient hasn't shown to have read, in a chat in which it never wrote. `listed`: the
    chat is in the recipient's list. `gone`: the recipient has deleted its account.
    """

    sender_known: Known
    recipient_known: Known
    who_can_write: WhoCanWrite
    waiting: int
    listed: bool
    gone: bool

    @property
    def mutual(self) -> bool:
        """True if each has answered the other: only a store that goes back to an older state ends that."""
        return self.sender_known == self.recipient_known == Known.ANSWERED

    @property
    def is_open(self) -> bool:
        """True if the recipient takes messages from everybody, and the sender's first one has been stored."""
        is_first = self.sender_known is not Known.ANSWERED or not self.listed
        return self.who_can_write is WhoCanWrite.EVERYONE and not is_first

    @property
    def withheld(self) -> bool:
        """True if the recipient is to see nothing of what the sender writes now."""
        return self.recipient_known is not Known.ANSWERED and self.who_can_write is WhoCanWrite.NOBODY

    @property
    def is_request(self) -> bool:
        """True while the recipient has yet to accept the chat."""
        return self.recipient_known is Known.STRANGER and self.who_can_write is WhoCanWrite.REQUESTS


def shows_arrival(tx: Tx, pair: Pair, message: Message) -> bool:
    """Return whether the sender of a message may learn of anything that happens to it after its commit."""
    shown = shown_marks(tx, pair)
    if shown.withholds and withheld_among(tx, pair.chat_id, message.seq, message.seq):
        return False
    recipient_id = pair.peer_of(message.sender_id)
    return message.seq <= shown.of[message.sender_id][0] or shows_marks(tx, recipient_id, pair.chat_id)


def page_seen_after(tx: Tx, user_id: int, pair: Pair, after: int, limit: int) -> list[Message]:
    """The oldest `limit` messages with a seq above `after`, as one side sees them: see `as_seen`."""
    return as_seen(tx, pair.chat_id, user_id, page_after(tx, pair, after, limit))


class TooManyWaiting(Exception):
    """As many messages as may be are waiting for a recipient who never answered the sender."""


def sender_standing(tx: Tx, pair: Pair, sender_id: int) -> SenderStanding:
    """Return the relation of a sender to its peer. Raises `NoSuchChat`."""
    row = tx.one(
        "SELECT m.known, p.known, u.who_can_write, c.last_seq - p.read_shown, p.activity, u.deleted_at"
        " FROM members m JOIN chats c ON c.id = m.chat_id JOIN users u ON u.id = m.peer_id"
        " JOIN members p ON p.user_id = m.peer_id AND p.chat_id = m.chat_id"
        " WHERE m.user_id = :sender_id AND m.chat_id = :chat_id",
        sender_id=sender_id,
        chat_id=pair.chat_id,
    )
    if row is None:
        raise NoSuchChat
    mine, theirs, who, waiting, activity, deleted_at = row
    rule = tx.presets.who_can_write if who is None else WhoCanWrite(who)
    return SenderStanding(Known(mine), Known(theirs), rule, waiting, activity > 0, deleted_at is not None)


def check_path(tx: Tx, posts: Sequence[Post]) -> None:
    """Check that messages may take the message path by what the store says now, and that what they answer is there.

    A node that remembers more than that remembers a state which the store has lost. Raises `ApiError` `overloaded`:
    the node has forgotten it when the sender tries again.
    """
    for chat_id, low, high, side in {(post.chat_id, post.low, post.high, post.side) for post in posts}:
        try:
            found = sender_standing(tx, Pair(chat_id, low, high), high if side else low)
        except NoSuchChat:
            found = None
        if found is None or not (found.mutual or found.is_open):
            raise overloaded("The store went back to an older state")
    for post in posts:
        if post.reply_to and not _has(tx, post.chat_id, post.reply_to):
            raise overloaded("The store went back to an older state")


def _has(tx: Tx, chat_id: int, seq: int) -> bool:
    row = tx.one("SELECT last_seq FROM chats WHERE id = :chat_id", chat_id=chat_id)
    return row is not None and seq <= row[0]


def send(tx: Tx, post: Post, alarms: AlarmRule | None, most: int | None, now: int) -> tuple[Outcome, bool]:
    """Store a message to somebody who may be a stranger; also tells whether both have answered each other now.

    At most `most` messages may wait for a recipient who never answered. Raises `TooManyWaiting`, `NoSuchChat`.
    """
    tx.lock_logs()
    pair = Pair(post.chat_id, post.low, post.high)
    sender_id = post.high if post.side else post.low
    stored = find_post(tx, post)
    before = sender_standing(tx, pair, sender_id)
    if stored:
        return answer_repeat(post, stored), before.mutual
    if before.gone:
        raise NoSuchChat
    answered = before.recipient_known is Known.ANSWERED
    if most is not None and not answered and before.waiting >= most:
        raise TooManyWaiting
    answer(tx, pair, sender_id, now)
    if before.withheld:
        message = _store_withheld(tx, post, now)
    else:
        if not before.listed:
            list_chat(tx, [pair.peer_of(sender_id)], pair.chat_id, now)
        done = append(tx, Batch([post], [], now), None if before.is_request else alarms)
        tx.emit(done.events)
        [message] = done.messages
    return Posted(message, replayed=False), answered


def accept(tx: Tx, user_id: int, pair: Pair, now: int) -> None:
    """Let the peer of a chat know the user, as if the user had answered."""
    tx.lock_logs()
    answer(tx, pair, user_id, now, always_tell=True)


def answer(tx: Tx, pair: Pair, user_id: int, now: int, *, always_tell: bool = False) -> None:
    """Note that a user writes in a chat or accepts it. Call `tx.lock_logs` before.

    The user's devices hear of the chat if it changes for them, or in any case with `always_tell`. The peer learns who
    the user is, and what it has got and read up to now.
    """
    before = sender_standing(tx, pair, user_id)
    if before.sender_known is Known.ANSWERED:
        return
    user = user_by_id(tx, user_id)
    row = tx.one(
        "SELECT m.activity, CASE WHEN c.low_user = m.user_id THEN c.high_count ELSE c.low_count END"
        " FROM members m JOIN chats c ON c.id = m.chat_id WHERE m.user_id = :user_id AND m.chat_id = :chat_id",
        user_id=user_id,
        chat_id=pair.chat_id,
    )
    assert user is not None
    assert row is not None
    activity, peer_count = row
    was_request = before.sender_known is Known.STRANGER and write_rule(tx, user) is WhoCanWrite.REQUESTS
    tx.run(
        "UPDATE members SET known = 2 WHERE user_id = :user_id AND chat_id = :chat_id",
        user_id=user_id,
        chat_id=pair.chat_id,
    )
    if not activity:
        list_chat(tx, [user_id], pair.chat_id, now)
    elif was_request or always_tell:
        tell_chat(tx, user_id, pair.chat_id, now)
    peer_id = pair.peer_of(user_id)
    news = [NewEvent(peer_id, Kind.USER_UPDATED, user_id, user)] if before.listed else []
    if peer_count:
        news += _show_marks(tx, pair, user_id, read_receipts=user.read_receipts)
    append_events(tx, news, now)


def _show_marks(tx: Tx, pair: Pair, user_id: int, *, read_receipts: bool) -> list[NewEvent]:
    """Show the peer of a chat what the user has got and read; the event that tells it, if that is news."""
    row = tx.one(
        "SELECT delivered, read, delivered_shown, read_shown, withheld FROM members"
        " WHERE user_id = :user_id AND chat_id = :chat_id",
        user_id=user_id,
        chat_id=pair.chat_id,
    )
    assert row is not None
    delivered, read, *before, withheld = row
    side = pair.side_of(user_id)
    if withheld:
        delivered, read = (visible_seq(tx, pair.chat_id, side, seq) for seq in (delivered, read))
    shown = [max(delivered, before[0]), max(read, before[1]) if read_receipts else before[1]]
    if shown == before:
        return []
    tx.run(
        "UPDATE members SET delivered_shown = :delivered, read_shown = :read"
        " WHERE user_id = :user_id AND chat_id = :chat_id",
        delivered=shown[0],
        read=shown[1],
        user_id=user_id,
        chat_id=pair.chat_id,
    )
    receipt = Receipt(pair.chat_id, user_id, *shown)
    return [NewEvent(pair.peer_of(user_id), Kind.RECEIPT_PEER, pair.chat_id, receipt, *shown)]


def _store_withheld(tx: Tx, post: Post, now: int) -> Message:
    """Store a message that its recipient never sees: it has its seq, and stands in the sender's log alone."""
    sender_id, recipient_id = (post.high, post.low) if post.side else (post.low, post.high)
    row = tx.one(
        "UPDATE chats SET last_seq = last_seq + 1 WHERE id = :chat_id RETURNING last_seq, low_count, high_count",
        chat_id=post.chat_id,
    )
    if row is None:
        raise NoSuchChat
    seq, low_count, high_count = row
    message = Message(
        post.chat_id,
        seq,
        sender_id,
        low_count,
        high_count,
        post.client_id,
        post.text,
        post.reply_to,
        now,
        post.by_sms,
    )
    insert_messages(tx, [post], [message])
    tx.run(
        "INSERT INTO withheld (chat_id, seq, side, visible) VALUES (:chat_id, :seq, :side, :visible)",
        chat_id=post.chat_id,
        seq=seq,
        side=post.side,
        visible=visible_seq(tx, post.chat_id, 1 - post.side, seq - 1),
    )
    tx.run(
        "UPDATE members SET withheld = :seq WHERE user_id = :recipient_id AND chat_id = :chat_id",
        seq=seq,
        recipient_id=recipient_id,
        chat_id=post.chat_id,
    )
    news = NewEvent(sender_id, Kind.MESSAGE_CREATED, post.chat_id, message, seq, 1)
    told: list[Event] = append_events(tx, [news], now)
    for event in told:
        raise_chat(tx, sender_id, post.chat_id, event.seq)
    return msgspec.structs.replace(message, withheld=True)
