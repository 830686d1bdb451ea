"""A system that keeps every promise, in memory, and the history of its clients: what the checker must accept."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from duologue_lab.torture.history import (
    AcceptedEntry,
    AnyEntry,
    ChatEntry,
    ConnectedEntry,
    DeviceEntry,
    EndedEntry,
    EventEntry,
    History,
    LoggedEntry,
    MarkedEntry,
    MarkEntry,
    OverEntry,
    PersonEntry,
    SendEntry,
    SentEntry,
    StoredEntry,
    TickEntry,
    TrimmedEntry,
    ViewEntry,
    WholeEntry,
)


class Ideal:
    """Each call is something that a client does, and writes down what the client sees."""

    def __init__(self) -> None:
        self.history = History()
        self.logs: dict[str, list[LoggedEntry]] = defaultdict(list)
        self.messages: dict[str, list[StoredEntry]] = defaultdict(list)
        self.marks: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
        self.people: dict[str, PersonEntry] = {}
        self.chats: dict[str, ChatEntry] = {}
        self.owners: list[str] = []
        self.given: list[int] = []
        self.floors: dict[str, int] = defaultdict(int)
        self.closed: set[str] = set()
        self.withheld: set[tuple[str, int]] = set()
        self._attempts = 0
        self._ticks = 0

    def tick(self, count: int) -> None:
        """So many tenths of a second pass."""
        for _ in range(count):
            self._ticks += 1
            self.add(TickEntry(self._ticks / 10))

    def person(self, user: str, devices: int, *, shows_read: bool = True, village: int = 0) -> None:
        self.people[user] = PersonEntry(user, f"+{user}", shows_read, village)
        self.add(self.people[user])
        for _ in range(devices):
            device = len(self.owners)
            self.owners.append(user)
            self.given.append(0)
            self.add(DeviceEntry(device, user, f"ses_{device}", "socket"))
            self._tell(user, "session.created", f"ses_{device}")

    def chat(self, chat: str, one: str, other: str) -> None:
        self.chats[chat] = ChatEntry(chat, one, other)
        self.add(self.chats[chat])
        for user in (one, other):
            self._tell(user, "chat.updated", chat)

    def closed_chat(self, chat: str, one: str, other: str) -> None:
        """A chat of a stranger, of which the other hears nothing."""
        self.chats[chat] = ChatEntry(chat, one, other, closed=True)
        self.closed.add(chat)
        self.add(self.chats[chat])
        self._tell(one, "chat.updated", chat)

    def accept(self, chat: str) -> None:
        """The user who closed a chat opens it."""
        since, user = len(self.history), self.chats[chat].other
        self.closed.discard(chat)
        self._tell(user, "chat.updated", chat)
        self.add(AcceptedEntry(user, chat, since))

    def add(self, entry: AnyEntry) -> None:
        self.history.add(entry)

    def _tell(self, user: str, kind: str, about: str, **rest: str | int) -> None:
        seq = len(self.logs[user]) + 1
        self.logs[user].append(LoggedEntry(user, seq, kind, f"12:00:{seq:02d}", about, **rest))  # type: ignore[arg-type]

    def sides(self, chat: str) -> tuple[str, str]:
        return self.chats[chat].one, self.chats[chat].other

    def attempt(self, device: int, chat: str, client_id: str, connection: int = 0) -> int:
        """Something is sent, and nobody knows yet what becomes of it."""
        self._attempts += 1
        self.add(SendEntry(self._attempts, device, connection, chat, client_id, f"text of {client_id}"))
        return self._attempts

    def answer(self, n: int) -> None:
        """The server stores an attempt, or finds that it has, and says so."""
        fresh = self.store(n)
        send = self.send(n)
        for message in self.messages[send.chat]:
            if (message.sender, message.client_id) == (self.owners[send.device], send.client_id):
                self.add(SentEntry(n, message.seq, message.text, fresh))

    def send(self, n: int) -> SendEntry:
        return next(entry for entry in self.history.entries if isinstance(entry, SendEntry) and entry.n == n)

    def store(self, n: int) -> bool:
        """The server stores an attempt, if it hasn't yet; whether it was new."""
        send = self.send(n)
        kept, sender = self.messages[send.chat], self.owners[send.device]
        if any((message.sender, message.client_id) == (sender, send.client_id) for message in kept):
            return False
        kept.append(StoredEntry("", send.chat, len(kept) + 1, sender, send.client_id, send.text))
        if send.chat in self.closed:
            self.withheld.add((send.chat, len(kept)))
        for user in self.sides(send.chat)[: 1 if send.chat in self.closed else 2]:
            self._tell(
                user,
                "message.created",
                send.chat,
                who=sender,
                a=len(kept),
                client_id=send.client_id,
                text=send.text,
            )
        return True

    def write(self, device: int, chat: str, client_id: str, connection: int = 0) -> None:
        self.answer(self.attempt(device, chat, client_id, connection))

    def give(self, device: int) -> None:
        """A device connects, is given what it hasn't got, and loses its connection."""
        self.connect(device)
        self.pass_on(device)
        self.add(EndedEntry(device, self._attempts))

    def connect(self, device: int) -> None:
        """A device connects."""
        log, given = self.logs[self.owners[device]], self.given[device]
        self._attempts += 1
        self.add(ConnectedEntry(device, self._attempts, 0, len(self.history), given, len(log)))

    def pass_on(self, device: int) -> None:
        """A connected device is given what it hasn't got."""
        log = self.logs[self.owners[device]]
        for event in log[self.given[device] :]:
            fields = msgspec.structs.astuple(event)
            self.add(EventEntry(device, *fields[1:]))
        self.given[device] = len(log)

    def trim(self, user: str, upto: int) -> None:
        """Events up to a seq are old, and are dropped."""
        self.floors[user] = upto
        self.add(TrimmedEntry(self.logs[user][upto].at))

    def mark(self, device: int, chat: str, *, read: int = 0, delivered: int = 0) -> None:
        """A mark is made and acknowledged, and told to both sides."""
        user = self.owners[device]
        self._attempts += 1
        kind = "read" if read else "delivered"
        self.add(MarkEntry(self._attempts, device, kind, chat, read or delivered))
        self._raise(user, chat, max(read, delivered), read)
        self.add(MarkedEntry(self._attempts))

    def ack(self, device: int) -> None:
        """A device acknowledges what it was given: what that covers is delivered."""
        user = self.owners[device]
        self._attempts += 1
        self.add(MarkEntry(self._attempts, device, "ack", "", self.given[device]))
        for event in self.logs[user][: self.given[device]]:
            if event.type == "message.created" and event.who != user:
                self._raise(user, event.about, event.a, 0)
        self.add(MarkedEntry(self._attempts))

    def _raise(self, user: str, chat: str, delivered: int, read: int) -> None:
        before = self.marks[chat, user]
        now = self.marks[chat, user] = max(before[0], delivered), max(before[1], read)
        if now == before:
            return
        for reader in self.sides(chat):
            shown = self._shown(chat, user, reader)
            if reader == user or self.people[user].shows_read or now[0] > before[0]:
                self._tell(reader, "receipt.updated", chat, who=user, a=shown[0], b=shown[1])

    def _shown(self, chat: str, owner: str, reader: str) -> tuple[int, int]:
        delivered, read = self.marks[chat, owner]
        return delivered, read if owner == reader or self.people[owner].shows_read else 0

    def look(self, user: str, chat: str) -> None:
        one, other = self.sides(chat)
        peer = other if user == one else one
        kept, own = self.messages[chat], self.marks[chat, user]
        unread = sum(
            1
            for message in kept
            if message.sender == peer and message.seq > own[1] and (chat, message.seq) not in self.withheld
        )
        peers = self._shown(chat, peer, user)
        self.add(ViewEntry(user, chat, len(self.history), len(kept), unread, *own, *peers))

    def end(self) -> History:
        """Everybody gets everything, and all of it is read back."""
        for device in range(len(self.owners)):
            self.give(device)
        for user, log in self.logs.items():
            for event in log[self.floors[user] :]:
                self.add(event)
            self.add(WholeEntry(user))
        for chat in self.chats:
            for user in self.sides(chat):
                for message in self.messages[chat]:
                    hidden = (chat, message.seq) in self.withheld and user != message.sender
                    texts = ("", "") if hidden else (message.client_id, message.text)
                    self.add(StoredEntry(user, chat, message.seq, message.sender, *texts))
                self.add(WholeEntry(user, chat))
                self.look(user, chat)
        self.add(OverEntry())
        return self.history


def good_history() -> History:
    """Three people in two chats, one of whom doesn't show what they read; repeats, silence, marks and looks."""
    system = Ideal()
    system.person("ana", devices=2)
    system.person("ben", devices=1, shows_read=False)
    system.person("eve", devices=1)
    system.chat("ana-ben", "ana", "ben")
    system.chat("ana-eve", "ana", "eve")
    system.give(0)
    system.write(0, "ana-ben", "one", connection=1)
    system.write(0, "ana-ben", "two")
    in_flight = [system.attempt(0, "ana-ben", name, connection=1) for name in ("three", "four")]
    for n in in_flight:
        system.answer(n)
    system.give(2)
    system.ack(2)
    system.mark(2, "ana-ben", read=2)
    system.look("ana", "ana-ben")
    system.write(2, "ana-ben", "one")
    system.store(system.attempt(2, "ana-ben", "stored but never answered"))
    system.attempt(2, "ana-ben", "never arrived")
    repeated = [system.attempt(1, "ana-ben", "repeated") for _ in range(2)]
    for n in repeated:
        system.answer(n)
    system.give(0)
    system.give(1)
    system.mark(0, "ana-ben", read=5)
    system.mark(1, "ana-ben", delivered=3)
    system.look("ben", "ana-ben")
    for number in range(3):
        system.write(3, "ana-eve", f"from eve {number}")
    system.give(1)
    system.ack(1)
    system.look("ana", "ana-eve")
    system.closed_chat("eve-ben", "eve", "ben")
    system.write(3, "eve-ben", "withheld")
    system.accept("eve-ben")
    system.write(3, "eve-ben", "heard")
    system.connect(0)
    system.tick(5)
    system.write(3, "ana-eve", "heard at once")
    system.tick(10)
    system.pass_on(0)
    system.tick(5)
    system.trim("ana", 3)
    return system.end()
