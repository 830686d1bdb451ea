"""The arithmetic of one group commit: numbers relative to the batch, made absolute by the engine's counters.

A batch knows which chats and users it touches and how far it moves each counter. Whatever engine stores it
needs only each counter's value before the batch; every seq then follows by addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from duologue.model import Event, Kind, Message, Receipt
from duologue.storage.database import Mark, Marked, Outcome, Post, Posted

# In Python 3.11 looking up a member of an enum takes longer than making a record.
_CREATED: Final = Kind.MESSAGE_CREATED
_MINE: Final = Kind.RECEIPT_MINE
_PEER: Final = Kind.RECEIPT_PEER


class Batch:
    """Posts and marks laid out as columns; `*_of` hold indexes into `chat_ids` and `user_ids`."""

    def __init__(self, posts: Sequence[Post], marks: Sequence[Mark], now: int) -> None:
        self.posts = posts
        self.marks = marks
        self.now = now
        self._chats: dict[int, int] = {}
        self._users: dict[int, int] = {}
        self.chat_ids: list[int] = []
        self.chat_moves: list[list[int]] = []
        self.user_ids: list[int] = []
        self.user_moves: list[int] = []
        self.tops: list[int] = []
        """The chat that this batch leaves at the top of each user's list; 0 if it moves none."""
        self.top_offsets: list[int] = []
        """Of the events that move them there."""
        self.several: dict[int, dict[int, int]] = {}
        """For users with more than one chat in the batch: each chat with its event's offset, the top chat last."""
        self.chat_of: list[int] = []
        self.low_of: list[int] = []
        self.high_of: list[int] = []
        self.counts: list[tuple[int, int, int]] = []
        self.offsets: list[tuple[int, int]] = []
        for post in posts:
            self._place(post)
        self.mark_owner = [self._user(mark.owner) for mark in marks]
        self.mark_peer = [self._user(mark.peer) for mark in marks]

    def _place(self, post: Post) -> None:
        """Number a post within the batch: in its chat, on its side, and in both users' logs."""
        chat, low, high = self._chat(post.chat_id), self._user(post.low), self._user(post.high)
        moves = self.chat_moves[chat]
        moves[0] += 1
        moves[1 + post.side] += 1
        self.chat_of.append(chat)
        self.low_of.append(low)
        self.high_of.append(high)
        self.counts.append((moves[0], moves[1], moves[2]))
        self.offsets.append((self._move(low, post.chat_id), self._move(high, post.chat_id)))

    def _move(self, user: int, chat_id: int) -> int:
        """One more event in a user's log, which moves a chat to the top of the list. Tells the event's offset."""
        self.user_moves[user] = offset = self.user_moves[user] + 1
        top = self.tops[user]
        if top not in (chat_id, 0) or user in self.several:
            chats = self.several.setdefault(user, {top: self.top_offsets[user]})
            chats.pop(chat_id, None)
            chats[chat_id] = offset
        self.tops[user] = chat_id
        self.top_offsets[user] = offset
        return offset

    def _chat(self, chat_id: int) -> int:
        index = self._chats.get(chat_id)
        if index is None:
            index = self._chats[chat_id] = len(self.chat_ids)
            self.chat_ids.append(chat_id)
            self.chat_moves.append([0, 0, 0])
        return index

    def _user(self, user_id: int) -> int:
        index = self._users.get(user_id)
        if index is None:
            index = self._users[user_id] = len(self.user_ids)
            self.user_ids.append(user_id)
            self.user_moves.append(0)
            self.tops.append(0)
            self.top_offsets.append(0)
        return index

    def firsts(self) -> list[tuple[int, int, int]]:
        """For each recipient in each chat its first message of the batch: user, chat, and seq within the batch."""
        firsts: dict[tuple[int, int], int] = {}
        for post, chat, low, high, counts in zip(
            self.posts, self.chat_of, self.low_of, self.high_of, self.counts, strict=True
        ):
            firsts.setdefault((low if post.side else high, chat), counts[0])
        return [(user, chat, seq) for (user, chat), seq in firsts.items()]

    def raised(self, user: int, top_before: int) -> list[tuple[int, int]]:
        """The chats that this batch moves in a user's list, each with its event's offset.

        A chat that is at the top already stays there, and then nothing needs to be written: the usual case.
        """
        if user in self.several:
            return list(self.several[user].items())
        top = self.tops[user]
        return [(top, self.top_offsets[user])] if top not in (top_before, 0) else []


class MovedMark(msgspec.Struct, frozen=True, gc=False):
    """A mark that rose: its index in the batch, its values now, and the offsets of its events.

    `peer_offset` is 0 when nothing changes that the peer may see.
    """

    index: int
    delivered: int
    read: int
    delivered_shown: int
    read_shown: int
    own_offset: int
    peer_offset: int


class AppendResult(msgspec.Struct, frozen=True, gc=False):
    """Answer of an engine: each counter's value before the batch, and the outcome of the marks."""

    chats: Sequence[tuple[int, int, int]]
    users: Sequence[int]
    moved: Sequence[MovedMark]
    out_of_range: frozenset[int]


def messages(batch: Batch, chats: Sequence[tuple[int, int, int]]) -> list[Message]:
    """The posts as they are stored; `chats` is as in `AppendResult`."""
    stored = []
    for post, chat, (seq, low, high) in zip(batch.posts, batch.chat_of, batch.counts, strict=True):
        before = chats[chat]
        stored.append(
            Message(
                post.chat_id,
                before[0] + seq,
                post.high if post.side else post.low,
                before[1] + low,
                before[2] + high,
                post.client_id,
                post.text,
                post.reply_to,
                batch.now,
                post.by_sms,
            )
        )
    return stored


def events(batch: Batch, numbers: AppendResult, stored: Sequence[Message]) -> list[Event]:
    """Every event of the batch; each user's own stand in the order of their seqs."""
    told = []
    users, now = numbers.users, batch.now
    for post, message, low, high, (low_offset, high_offset) in zip(
        batch.posts, stored, batch.low_of, batch.high_of, batch.offsets, strict=True
    ):
        chat_id, seq, side = post.chat_id, message.seq, post.side
        told.append(Event(post.low, users[low] + low_offset, _CREATED, chat_id, seq, 1 - side, now, message))
        told.append(Event(post.high, users[high] + high_offset, _CREATED, chat_id, seq, side, now, message))
    for moved in numbers.moved:
        _tell_mark(told, batch, users, moved)
    return told


def _tell_mark(told: list[Event], batch: Batch, users: Sequence[int], moved: MovedMark) -> None:
    """The events of one mark: for its owner's devices, and for the peer as far as the peer may see it."""
    mark, now, delivered, read = batch.marks[moved.index], batch.now, moved.delivered, moved.read
    chat_id, owner = mark.chat_id, mark.owner
    seq = users[batch.mark_owner[moved.index]] + moved.own_offset
    body = Receipt(chat_id, owner, delivered, read)
    told.append(Event(owner, seq, _MINE, chat_id, delivered, read, now, body))
    if moved.peer_offset:
        delivered, read = moved.delivered_shown, moved.read_shown
        seq = users[batch.mark_peer[moved.index]] + moved.peer_offset
        body = Receipt(chat_id, owner, delivered, read)
        told.append(Event(mark.peer, seq, _PEER, chat_id, delivered, read, now, body))


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A stored batch: its messages in its order, and all events that follow from it."""

    numbers: AppendResult
    messages: list[Message]
    events: list[Event]


def as_stored(batch: Batch, numbers: AppendResult) -> Stored:
    """A batch with an engine's answer."""
    stored = messages(batch, numbers.chats)
    return Stored(numbers, stored, events(batch, numbers, stored))


def outcomes(batch: Batch, stored: Stored) -> tuple[list[Outcome], list[Outcome]]:
    """The answer to each post and to each mark, in the batch's order."""
    posted: list[Outcome] = [Posted(message, replayed=False) for message in stored.messages]
    numbers = stored.numbers
    changed = {moved.index for moved in numbers.moved}
    marked: list[Outcome] = [
        OutOfRange() if index in numbers.out_of_range else Marked(index in changed)
        for index in range(len(batch.marks))
    ]
    return posted, marked


class OutOfRange(Exception):
    """The mark points beyond the chat's last message, or the chat is not its owner's."""


class NoSuchChat(Exception):
    """A chat of the batch is not there (its users were deleted)."""
