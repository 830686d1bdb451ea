"""Nouns of the model: people, their chats, and what is in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Expected:
    """An event in somebody's log: its type, and what its data must hold. One `group` may stand in any order."""

    type: str
    data: Json
    group: int = 0


@dataclass
class Marks:
    delivered: int = 0
    read: int = 0
    delivered_shown: int = 0
    read_shown: int = 0


@dataclass
class Message:
    """A message; `answer` is the server's own words when it was stored."""

    seq: int
    sender: str
    client_id: str
    text: str
    reply_to: int | None
    withheld: bool = False
    """Whether its recipient never sees it."""
    edited: bool = False
    deleted: bool = False
    reactions: list[tuple[str, str]] = field(default_factory=list)
    """Side and emoji of each, in their order."""
    answer: Json = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Return whether its text may be another than the one that was sent."""
        return self.edited or self.deleted


@dataclass
class Settings:
    """One side's own view of a chat."""

    muted_until: str | None = None
    archived: bool = False
    pinned: bool = False


@dataclass
class Chat:
    """A chat; `made` is what its first event holds."""

    sides: tuple[str, str]
    id: str = ""
    made_at: str = ""
    made: Json = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    marks: dict[str, Marks] = field(default_factory=dict)
    settings: dict[str, Settings] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    """How far each side has gone: 0 not at all, 1 opened the chat, 2 wrote in it or accepted it."""

    def __post_init__(self) -> None:
        self.known = dict.fromkeys(self.sides, 0)
        self.marks = {phone: Marks() for phone in self.sides}
        self.settings = {phone: Settings() for phone in self.sides}

    def learn(self, chat_id: str) -> None:
        """The id that the server has given it."""
        self.id = self.id or chat_id
        self.made["id"] = self.id

    def peer_of(self, phone: str) -> str:
        return self.sides[1] if phone == self.sides[0] else self.sides[0]

    @property
    def last_seq(self) -> int:
        return len(self.messages)

    def seen_by(self, phone: str) -> list[Message]:
        """The messages that are not withheld from a side."""
        return [message for message in self.messages if message.sender == phone or not message.withheld]

    def unread(self, phone: str) -> int:
        read = self.marks[phone].read
        return sum(message.sender != phone and message.seq > read for message in self.seen_by(phone))

    def has_heard(self, phone: str) -> bool:
        """Return whether a side has had any message from the other."""
        return any(message.sender != phone for message in self.seen_by(phone))

    def visible(self, phone: str, seq: int) -> int:
        """A seq, or that of the newest message before it that a side sees, if that one is withheld from it."""
        if not 0 < seq <= self.last_seq or self.messages[seq - 1] in self.seen_by(phone):
            return seq
        return max((message.seq for message in self.seen_by(phone) if message.seq < seq), default=0)

    def status(self, message: Message) -> str:
        marks = self.marks[self.peer_of(message.sender)]
        if message.withheld:
            return "sent"
        if message.seq <= marks.read_shown:
            return "read"
        return "delivered" if message.seq <= marks.delivered_shown else "sent"


@dataclass
class User:
    phone: str
    id: str = ""
    name: str = ""
    registered: bool = False
    receipts: bool = True
    sessions: dict[str, str] = field(default_factory=dict)
    log: list[Expected] = field(default_factory=list)
    seen: int = 0
    acked: int = 0
    chats: list[Chat] = field(default_factory=list)
    """In the order of the chat list: newest activity first."""
    unlisted: list[Chat] = field(default_factory=list)
    """Chats of which the user hasn't heard: strangers wrote, and nobody may."""
    who_can_write: str | None = None
    discoverable: bool | None = None

    def is_request(self, chat: Chat) -> bool:
        return chat.known[self.phone] == 0 and self.who_can_write == "requests"

    def shows(self, chat: Chat) -> bool:
        """Return whether the peer may see marks that rise now."""
        open_to_all = self.who_can_write != "requests" and self.discoverable is not False
        return chat.has_heard(self.phone) and (chat.known[self.phone] == 2 or open_to_all)

    @property
    def is_gone(self) -> bool:
        """Return whether the account was deleted."""
        return not self.phone.startswith("+")
