"""A history by its nouns: where in it each user, chat, message and log stands. All numbers are places in it."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from duologue_lab.torture.history import (
    AcceptedEntry,
    AnyEntry,
    ChatEntry,
    ConnectedEntry,
    DeviceEntry,
    EndedEntry,
    EventEntry,
    HarmEntry,
    ListeningEntry,
    LoggedEntry,
    MarkedEntry,
    MarkEntry,
    PersonEntry,
    RefusedEntry,
    SendEntry,
    SentEntry,
    SkippedEntry,
    StoredEntry,
    TickEntry,
    TrimmedEntry,
    ViewEntry,
    WholeEntry,
)
from duologue_lab.torture.undone import windows, without_undone

MESSAGE = "message.created"
RECEIPT = "receipt.updated"


class Key(NamedTuple):
    """Identity of a message: its chat, its sender and its `client_id`."""

    chat: str
    sender: str
    client_id: str


class Violation(NamedTuple):
    """A broken promise: its name, what happened, and the places in the history that prove it."""

    rule: str
    says: str
    evidence: tuple[int, ...] = ()


class Span(NamedTuple):
    """A device was connected to a node from one place to another."""

    begin: int
    end: int
    node: int


class Book:
    """The index. Entries that refer to nothing are passed over: a history may have been cut short."""

    def __init__(self, entries: Sequence[AnyEntry]) -> None:
        self.undone = windows(entries)
        self.entries = entries = without_undone(entries)
        self.people: dict[str, PersonEntry] = {}
        self.devices: dict[int, DeviceEntry] = {}
        self.chats: dict[str, ChatEntry] = {}
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
        self.devices_of: dict[str, list[int]] = defaultdict(list)
        self.accepted: dict[str, list[tuple[int, int]]] = defaultdict(list)
        """Of a closed chat: between which places it was opened."""
        self.spans: dict[int, list[Span]] = defaultdict(list)
        self.skips: dict[int, list[int]] = defaultdict(list)
        self.trims: list[int] = []
        self.ticks: list[int] = []
        self.harms: list[int] = []
        self._places: dict[type, list[int]] = {
            TickEntry: self.ticks,
            HarmEntry: self.harms,
            TrimmedEntry: self.trims,
            ViewEntry: self.views,
        }
        self.withheld: set[tuple[str, int]] = set()
        """Messages of closed chats that their recipient could not read back: chat and seq."""
        self._logs: dict[str, list[int]] = {}
        self._open: dict[tuple[int, int], tuple[int, int]] = {}
        self._seqs: dict[tuple[str, str], list[int]] = {}
        for place, entry in enumerate(entries):
            self._take(place, entry)
        for (device, _), (begin, node) in self._open.items():
            self.spans[device].append(Span(begin, len(entries), node))
        for spans in self.spans.values():
            spans.sort()

    def _take(self, place: int, entry: AnyEntry) -> None:
        """The frequent kinds first."""
        if isinstance(entry, EventEntry):
            self.events[entry.device].append(place)
        elif isinstance(entry, LoggedEntry):
            self.logged[entry.user].append(place)
        elif isinstance(entry, StoredEntry):
            self.stored[entry.chat, entry.reader].append(place)
            if not entry.client_id:
                self.withheld.add((entry.chat, entry.seq))
        elif isinstance(entry, SendEntry | SentEntry | MarkEntry):
            self._speak(place, entry)
        elif isinstance(entry, ConnectedEntry | ListeningEntry | EndedEntry | SkippedEntry):
            self._connect(place, entry)
        elif isinstance(entry, TickEntry | HarmEntry | TrimmedEntry | ViewEntry):
            self._places[type(entry)].append(place)
        else:
            self._introduce(place, entry)

    def _speak(self, place: int, entry: SendEntry | SentEntry | MarkEntry) -> None:
        if isinstance(entry, SendEntry):
            self.sends[entry.n] = place
            self.attempts[self.key_of(entry)].append(place)
        elif isinstance(entry, MarkEntry):
            self.marks[entry.n] = place
        elif entry.n in self.sends:
            self.answers[self.key_of(self.send(entry.n))].append(place)

    def _connect(
        self, place: int, entry: ConnectedEntry | ListeningEntry | EndedEntry | SkippedEntry
    ) -> None:
        if isinstance(entry, SkippedEntry):
            self.skips[entry.device].append(place)
        elif not isinstance(entry, EndedEntry):
            self._open[entry.device, entry.connection] = place, entry.node
            if isinstance(entry, ConnectedEntry):
                self.connections.append(place)
        elif begun := self._open.pop((entry.device, entry.connection), None):
            self.spans[entry.device].append(Span(begun[0], place, begun[1]))

    def _introduce(self, place: int, entry: AnyEntry) -> None:
        if isinstance(entry, PersonEntry):
            self.people[entry.user] = entry
        elif isinstance(entry, DeviceEntry):
            self.devices[entry.device] = entry
            self.sessions_of[entry.user].add(entry.session)
            self.devices_of[entry.user].append(entry.device)
        elif isinstance(entry, AcceptedEntry):
            self.accepted[entry.chat].append((entry.since, place))
        elif isinstance(entry, WholeEntry):
            self.whole.add((entry.user, entry.chat))
        elif isinstance(entry, ChatEntry):
            self.chats[entry.chat] = entry
            for user, peer in ((entry.one, entry.other), (entry.other, entry.one)):
                self.chats_of[user].add(entry.chat)
                self.peers_of[user].add(peer)

    def user(self, device: int) -> str:
        """Return the user of a device."""
        return self.devices[device].user

    def key_of(self, send: SendEntry) -> Key:
        """Return the identity of the message of an attempt."""
        return Key(send.chat, self.user(send.device), send.client_id)

    def send(self, n: int) -> SendEntry:
        """The attempt with that number."""
        entry = self.entries[self.sends[n]]
        assert isinstance(entry, SendEntry)
        return entry

    def mark(self, entry: MarkedEntry | RefusedEntry) -> MarkEntry | None:
        """The mark that an answer is about, if it is about one."""
        mark = self.entries[self.marks[entry.n]] if entry.n in self.marks else None
        return mark if isinstance(mark, MarkEntry) else None

    def peer(self, chat: str, user: str) -> str:
        """The other side of a chat."""
        found = self.chats[chat]
        return found.other if user == found.one else found.one

    def message(self, place: int) -> StoredEntry:
        """The message that was read back there."""
        entry = self.entries[place]
        assert isinstance(entry, StoredEntry)
        return entry

    def answer(self, place: int) -> SentEntry:
        """The answer that stands there."""
        entry = self.entries[place]
        assert isinstance(entry, SentEntry)
        return entry

    def event(self, place: int) -> EventEntry | LoggedEntry:
        """The event that was given, or read back, there."""
        entry = self.entries[place]
        assert isinstance(entry, EventEntry | LoggedEntry)
        return entry

    def log(self, user: str) -> list[int]:
        """Return a user's log in its order, as far as it is known.

        What was read back at the end, and before that what devices had been given of the part that was trimmed.
        """
        if user not in self._logs:
            kept = self.logged[user]
            self._logs[user] = self._trimmed_part(user, self.event(kept[0]).seq if kept else 0) + kept
        return self._logs[user]

    def _trimmed_part(self, user: str, floor: int) -> list[int]:
        if not self.trims:
            return []
        known: dict[int, int] = {}
        for device in self.devices_of[user]:
            for place in self.events[device]:
                seq = self.event(place).seq
                if not floor or seq < floor:
                    known.setdefault(seq, place)
        return [known[seq] for seq in sorted(known)]

    def trimmed_before(self, place: int | None = None) -> str:
        """Return the time before which events may have been dropped up to a place of the history; empty: none."""
        trims = self.trims if place is None else self.trims[: bisect_right(self.trims, place)]
        return max(
            (entry.before for trim in trims if isinstance(entry := self.entries[trim], TrimmedEntry)),
            default="",
        )

    def was_read(self, chat: str) -> bool:
        """Return whether the chat's first user could read it back to its end."""
        return (self.chats[chat].one, chat) in self.whole

    def kept(self, chat: str) -> list[int]:
        """The messages of a chat, as its first user read them back."""
        return self.stored[chat, self.chats[chat].one]

    def newest_of(self, chat: str, sender: str, upto: int) -> int:
        """Return the highest seq up to `upto` of a message of this sender, as it was read back; 0: there is none."""
        if (chat, sender) not in self._seqs:
            messages = [self.message(place) for place in self.kept(chat)]
            self._seqs[chat, sender] = sorted(
                each.seq
                for each in messages
                if each.sender == sender and (chat, each.seq) not in self.withheld
            )
        seqs = self._seqs[chat, sender]
        place = bisect_right(seqs, upto)
        return seqs[place - 1] if place else 0

    def connection(self, place: int) -> ConnectedEntry:
        """The connection that began there."""
        entry = self.entries[place]
        assert isinstance(entry, ConnectedEntry)
        return entry
