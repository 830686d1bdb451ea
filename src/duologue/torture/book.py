"""A history by its nouns: where in it each user, chat, message and log stands. All numbers are places in it."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from duologue.torture.history import (
    AnyEntry,
    Chat,
    Connected,
    Device,
    Event,
    Logged,
    Mark,
    Marked,
    Person,
    Refused,
    Send,
    Sent,
    Stored,
    View,
    Whole,
)

MESSAGE = "message.created"
RECEIPT = "receipt.updated"


class Key(NamedTuple):
    """What makes a message the same one: its chat, its sender and its `client_id`."""

    chat: str
    sender: str
    client_id: str


class Violation(NamedTuple):
    """A broken promise: its name, what happened, and the places in the history that prove it."""

    rule: str
    says: str
    evidence: tuple[int, ...] = ()


class Book:
    """The index. Entries that refer to nothing are passed over: a history may have been cut short."""

    def __init__(self, entries: Sequence[AnyEntry]) -> None:
        self.entries = entries
        self.people: dict[str, Person] = {}
        self.devices: dict[int, Device] = {}
        self.chats: dict[str, Chat] = {}
        self.chats_of: dict[str, set[str]] = defaultdict(set)
        self.peers_of: dict[str, set[str]] = defaultdict(set)
        self.sessions_of: dict[str, set[str]] = defaultdict(set)
        self.sends: dict[int, int] = {}
        self.marks: dict[int, int] = {}
        self.attempts: dict[Key, list[int]] = defaultdict(list)
        self.answers: dict[Key, list[int]] = defaultdict(list)
        self.stored: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.events: dict[int, list[int]] = defaultdict(list)
        self.logged: dict[str, list[int]] = defaultdict(list)
        self.connections: list[int] = []
        self.views: list[int] = []
        self.whole: set[tuple[str, str]] = set()
        self._seqs: dict[tuple[str, str], list[int]] = {}
        for place, entry in enumerate(entries):
            self._take(place, entry)

    def _take(self, place: int, entry: AnyEntry) -> None:
        """The frequent kinds first."""
        if isinstance(entry, Event):
            self.events[entry.device].append(place)
        elif isinstance(entry, Logged):
            self.logged[entry.user].append(place)
        elif isinstance(entry, Stored):
            self.stored[entry.chat, entry.reader].append(place)
        elif isinstance(entry, Send):
            self.sends[entry.n] = place
            self.attempts[self.key_of(entry)].append(place)
        elif isinstance(entry, Sent):
            if entry.n in self.sends:
                self.answers[self.key_of(self.send(entry.n))].append(place)
        elif isinstance(entry, Mark):
            self.marks[entry.n] = place
        elif isinstance(entry, View):
            self.views.append(place)
        elif isinstance(entry, Connected):
            self.connections.append(place)
        else:
            self._introduce(entry)

    def _introduce(self, entry: AnyEntry) -> None:
        if isinstance(entry, Person):
            self.people[entry.user] = entry
        elif isinstance(entry, Device):
            self.devices[entry.device] = entry
            self.sessions_of[entry.user].add(entry.session)
        elif isinstance(entry, Whole):
            self.whole.add((entry.user, entry.chat))
        elif isinstance(entry, Chat):
            self.chats[entry.chat] = entry
            for user, peer in ((entry.one, entry.other), (entry.other, entry.one)):
                self.chats_of[user].add(entry.chat)
                self.peers_of[user].add(peer)

    def user(self, device: int) -> str:
        """Whose device that is."""
        return self.devices[device].user

    def key_of(self, send: Send) -> Key:
        """Which message an attempt is of."""
        return Key(send.chat, self.user(send.device), send.client_id)

    def send(self, n: int) -> Send:
        """The attempt with that number."""
        entry = self.entries[self.sends[n]]
        assert isinstance(entry, Send)
        return entry

    def mark(self, entry: Marked | Refused) -> Mark | None:
        """The mark that an answer is about, if it is about one."""
        mark = self.entries[self.marks[entry.n]] if entry.n in self.marks else None
        return mark if isinstance(mark, Mark) else None

    def peer(self, chat: str, user: str) -> str:
        """The other side of a chat."""
        found = self.chats[chat]
        return found.other if user == found.one else found.one

    def message(self, place: int) -> Stored:
        """The message that was read back there."""
        entry = self.entries[place]
        assert isinstance(entry, Stored)
        return entry

    def answer(self, place: int) -> Sent:
        """The answer that stands there."""
        entry = self.entries[place]
        assert isinstance(entry, Sent)
        return entry

    def event(self, place: int) -> Event | Logged:
        """The event that was given, or read back, there."""
        entry = self.entries[place]
        assert isinstance(entry, Event | Logged)
        return entry

    def was_read(self, chat: str) -> bool:
        """Whether its first user could read it back to its end."""
        return (self.chats[chat].one, chat) in self.whole

    def kept(self, chat: str) -> list[int]:
        """The messages of a chat, as its first user read them back."""
        return self.stored[chat, self.chats[chat].one]

    def newest_of(self, chat: str, sender: str, upto: int) -> int:
        """Return the highest seq up to `upto` of a message of this sender, as it was read back; 0: there is none."""
        if (chat, sender) not in self._seqs:
            messages = [self.message(place) for place in self.kept(chat)]
            self._seqs[chat, sender] = sorted(each.seq for each in messages if each.sender == sender)
        seqs = self._seqs[chat, sender]
        place = bisect_right(seqs, upto)
        return seqs[place - 1] if place else 0

    def connection(self, place: int) -> Connected:
        """The connection that began there."""
        entry = self.entries[place]
        assert isinstance(entry, Connected)
        return entry
