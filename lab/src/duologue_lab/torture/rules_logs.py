"""Rules for logs: 1, 2, 3… the same for every device, telling each message once, and nobody else's."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

from duologue_lab.torture.book import MESSAGE, RECEIPT, Book, Violation
from duologue_lab.torture.history import ConnectedEntry, EventEntry, LoggedEntry, PeekEntry, SkippedEntry


def devices_are_given_everything_once(book: Book) -> Iterator[Violation]:
    """Rule: a device gets 1, 2, 3… over all its connections, up to the end of its user's log.

    Where it was told that the log can't be followed any longer, it goes on behind the newest event of that moment.
    """
    for device, user in ((device.device, device.user) for device in book.devices.values()):
        places = book.events[device]
        yield from _numbered(book, f"device {device}", places, book.skips[device])
        given = max((_reached(book, place) for place in (*places, *book.skips[device][-1:])), default=0)
        kept = book.logged[user]
        if (user, "") in book.whole and given < (end := book.event(kept[-1]).seq if kept else 0):
            says = f"device {device} was given {given} events of {end}"
            yield Violation("event not given", says, (*places[-1:], *kept[-1:]))


def _reached(book: Book, place: int) -> int:
    """Return a device's position in its log after it was given an event, or was told to skip some."""
    entry = book.entries[place]
    return entry.latest if isinstance(entry, SkippedEntry) else book.event(place).seq


def logs_are_numbered(book: Book) -> Iterator[Violation]:
    """Each log, read back, is numbered 1, 2, 3 and so on; where logs are trimmed, from its first event on."""
    for user, places in book.logged.items():
        first = book.event(places[0]).seq if places and book.trims else 1
        yield from _numbered(book, f"the log of {user}", places, first=first)


def _numbered(
    book: Book, whose: str, places: list[int], skips: Sequence[int] = (), first: int = 1
) -> Iterator[Violation]:
    expected, before = first, None
    for place in sorted((*places, *skips)) if skips else places:
        reached = _reached(book, place)
        if reached != expected and place not in skips:
            rule = "hole in log" if reached > expected else "event repeated"
            evidence = (place,) if before is None else (before, place)
            yield Violation(rule, f"{whose}: event {reached} comes where {expected} should", evidence)
        expected, before = reached + 1, place


def devices_skip_only_what_is_gone(book: Book) -> Iterator[Violation]:
    """A device is sent on only if the next event was old enough to be dropped, or after a restore."""
    restores = [place for place in book.harms if getattr(book.entries[place], "deed", "") == "restore"]
    first_restore = min(restores, default=len(book.entries))
    for device, places in book.skips.items():
        for place in places:
            skipped = book.entries[place]
            assert isinstance(skipped, SkippedEntry)
            if place > first_restore:
                continue
            if skipped.code == "log_changed":
                says = f"device {device} was told that its log had changed, which it had not"
                yield Violation("log changed for nothing", says, (place,))
            else:
                yield from _not_old(book, book.user(device), skipped.after, place)


def _not_old(book: Book, user: str, after: int, place: int) -> Iterator[Violation]:
    """A device was told that the event after a seq is gone: it or one behind it must have been old."""
    cutoff = book.trimmed_before(place)
    following = [other for other in book.log(user) if book.event(other).seq > after]
    is_known = bool(following) and book.event(following[0]).seq == after + 1
    if is_known and not any(book.event(other).at < cutoff for other in following):
        says = f"a device of {user} was told that the event after {after} is gone: it is not old"
        yield Violation("trimmed too early", says, (following[0], place))


def only_what_is_old_is_trimmed(book: Book) -> Iterator[Violation]:
    """A log ends, at its old end, with an event that was older than the retention.

    What stands before that may be newer by a little: the clocks of nodes differ.
    """
    cutoff = book.trimmed_before()
    for user in book.people if cutoff else ():
        if (user, "") not in book.whole:
            continue
        kept = book.logged[user]
        trimmed = book.log(user)[: len(book.log(user)) - len(kept)]
        expected = book.event(kept[0]).seq - 1 if kept else None
        for place in reversed(trimmed):
            event = book.event(place)
            if event.at < cutoff or event.seq != (expected or event.seq):
                break
            expected = event.seq - 1
            says = f"event {event.seq} of {user} is gone, and not older than {cutoff}"
            yield Violation("trimmed too early", says, (book.trims[-1], place))


def devices_are_given_the_log(book: Book) -> Iterator[Violation]:
    """Each device is given what the log holds. Chats, users and sessions may show a later state of theirs."""
    for user, devices in book.devices_of.items():
        log = {book.event(place).seq: place for place in book.log(user)}
        for place in (place for device in devices for place in book.events[device]):
            given = book.event(place)
            kept = log.get(given.seq)
            if kept is None:
                if (user, "") in book.whole:
                    says = f"a device of {user} was given an event that the log doesn't hold"
                    yield Violation("event vanished", says, (place,))
            elif _content(given) != _content(book.event(kept)):
                says = f"event {given.seq} of {user} differs"
                yield Violation("two logs", says, (place, kept))


def _content(event: EventEntry | LoggedEntry) -> tuple[str | int, ...]:
    return event.type, event.at, event.about, event.who, event.a, event.b, event.client_id, event.text


def nobody_sees_what_isnt_theirs(book: Book) -> Iterator[Violation]:
    """Events are about one's own chats, oneself and one's peers, and one's own sessions."""
    for device in book.devices.values():
        for place in book.events[device.device]:
            yield from _own(book, device.user, place)
    for user, places in book.logged.items():
        for place in places:
            yield from _own(book, user, place)
    yield from _peeks(book)


def _peeks(book: Book) -> Iterator[Violation]:
    for place, entry in enumerate(book.entries):
        if isinstance(entry, PeekEntry) and entry.status != 404:
            says = f"{entry.user} asked for a chat of others and got {entry.status}"
            yield Violation("foreign chat", says, (place,))


def _own(book: Book, user: str, place: int) -> Iterator[Violation]:
    event = book.event(place)
    topic = event.type.partition(".")[0]
    if topic == "user":
        own = event.about == user or event.about in book.peers_of[user]
    elif topic == "session":
        own = event.about in book.sessions_of[user]
    else:
        own = event.about in book.chats_of[user]
    if not own:
        yield Violation("foreign event", f"{user} was told of {event.about}", (place,))


def each_message_is_told_once(book: Book) -> Iterator[Violation]:
    """In the log of either side each message of a chat stands once, in the chat's order, as it is stored."""
    for user in book.people:
        told = Told(book, user)
        for place in book.log(user):
            told.pass_by(place)
            event = book.event(place)
            if event.type == MESSAGE and event.about in book.chats:
                yield from told.on_entry(place)
                yield from _as_stored(book, place)
        if (user, "") in book.whole:
            yield from told.end()


class Told:
    """Goes through a user's log, and knows which message of each chat must be told next.

    Where events are missing that no device was given before they were dropped, any later message may come next.
    """

    def __init__(self, book: Book, user: str) -> None:
        self._book = book
        self._user = user
        self._seq = 0
        self.newest: dict[str, int] = defaultdict(int)
        self._places: dict[str, int] = {}
        self.unsure: set[str] = set()

    def pass_by(self, place: int) -> None:
        """Call it with every event of the log."""
        seq = self._book.event(place).seq
        if seq != self._seq + 1:
            self.unsure |= self._book.chats_of[self._user]
        self._seq = seq

    def _next(self, chat: str) -> int:
        seq = self.newest[chat] + 1
        while self._is_withheld(chat, seq):
            seq += 1
        return seq

    def _is_withheld(self, chat: str, seq: int) -> bool:
        return (chat, seq) in self._book.withheld and self._user == self._book.chats[chat].other

    def on_entry(self, place: int) -> Iterator[Violation]:
        """The next event that tells a message."""
        event = self._book.event(place)
        chat, expected = event.about, self._next(event.about)
        if event.a != expected and not (chat in self.unsure and event.a > expected):
            rule = "message not told" if event.a > expected else "told twice"
            says = f"{self._user} is told of message {event.a} of {chat} where {expected} should be"
            before = (self._places[chat],) if chat in self._places else ()
            yield Violation(rule, says, (*before, place))
        self.unsure.discard(chat)
        self.newest[chat], self._places[chat] = event.a, place

    def end(self) -> Iterator[Violation]:
        """The log ends: has every message been told that stands in a chat?"""
        for chat in self._book.chats_of[self._user] - self.unsure:
            kept = self._book.stored[chat, self._user]
            if kept and self._next(chat) <= self._book.message(kept[-1]).seq:
                says = f"{self._user} is told of {self.newest[chat]} messages of {chat}"
                yield Violation("message not told", says, (kept[-1],))


def _as_stored(book: Book, place: int) -> Iterator[Violation]:
    event = book.event(place)
    kept = book.kept(event.about)
    if not 0 < event.a <= len(kept):
        if book.was_read(event.about):
            yield Violation("message vanished", f"message {event.a} of {event.about} was told", (place,))
        return
    message = book.message(kept[event.a - 1])
    if (event.who, event.client_id, event.text) != (message.sender, message.client_id, message.text):
        says = f"message {event.a} of {event.about} was told otherwise than it is stored"
        yield Violation("told otherwise", says, (place, kept[event.a - 1]))


def logs_never_shrink(book: Book) -> Iterator[Violation]:
    """A new connection knows of at least all that any device of the user was given before."""
    given: dict[str, list[int]] = defaultdict(list)
    for place, entry in enumerate(book.entries):
        if isinstance(entry, EventEntry):
            user = book.user(entry.device)
            if not given[user] or entry.seq > book.event(given[user][-1]).seq:
                given[user].append(place)
        elif isinstance(entry, ConnectedEntry):
            before = given[book.user(entry.device)]
            index = bisect_left(before, entry.since)
            if index and entry.latest < (seq := book.event(before[index - 1]).seq):
                says = f"the newest event is {entry.latest}, and {seq} was given before"
                yield Violation("log shrank", says, (before[index - 1], place))


def receipts_are_about_the_two(book: Book) -> Iterator[Violation]:
    """A receipt tells the marks of one of the chat's two sides."""
    for places in book.logged.values():
        for place in places:
            event = book.event(place)
            if event.type == RECEIPT and event.about in book.chats:
                chat = book.chats[event.about]
                if event.who not in (chat.one, chat.other):
                    says = f"marks of {event.who}, who isn't in {event.about}"
                    yield Violation("foreign event", says, (place,))


RULES = (
    devices_are_given_everything_once,
    devices_skip_only_what_is_gone,
    only_what_is_old_is_trimmed,
    logs_are_numbered,
    devices_are_given_the_log,
    nobody_sees_what_isnt_theirs,
    each_message_is_told_once,
    logs_never_shrink,
    receipts_are_about_the_two,
)
