"""What must hold of logs: 1, 2, 3… the same for every device, telling each message once, and nobody else's."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from duologue.torture.book import MESSAGE, RECEIPT, Book, Violation
from duologue.torture.history import Connected, Event, Logged, Peek


def devices_are_given_everything_once(book: Book) -> Iterator[Violation]:
    """What a device is given over all its connections is 1, 2, 3… up to the end of its user's log."""
    for device, user in ((device.device, device.user) for device in book.devices.values()):
        places = book.events[device]
        yield from _numbered(book, f"device {device}", places)
        given = max((book.event(place).seq for place in places), default=0)
        kept = book.logged[user]
        if (user, "") in book.whole and given < (end := book.event(kept[-1]).seq if kept else 0):
            says = f"device {device} was given {given} events of {end}"
            yield Violation("event not given", says, (*places[-1:], *kept[-1:]))


def logs_are_numbered(book: Book) -> Iterator[Violation]:
    """Each log, read back, is numbered 1, 2, 3 and so on."""
    for user, places in book.logged.items():
        yield from _numbered(book, f"the log of {user}", places)


def _numbered(book: Book, whose: str, places: list[int]) -> Iterator[Violation]:
    expected = 1
    for before, place in zip([None, *places], places, strict=False):
        seq = book.event(place).seq
        if seq != expected:
            rule = "hole in log" if seq > expected else "event repeated"
            evidence = (place,) if before is None else (before, place)
            yield Violation(rule, f"{whose}: event {seq} comes where {expected} should", evidence)
        expected = seq + 1


def devices_are_given_the_log(book: Book) -> Iterator[Violation]:
    """Each device is given what the log holds. Chats, users and sessions may show a later state of theirs."""
    logs = {user: {book.event(place).seq: place for place in places} for user, places in book.logged.items()}
    for device in book.devices.values():
        log = logs.get(device.user, {})
        for place in book.events[device.device]:
            given = book.event(place)
            kept = log.get(given.seq)
            if kept is None:
                if (device.user, "") in book.whole:
                    says = f"device {device.device} was given an event that the log doesn't hold"
                    yield Violation("event vanished", says, (place,))
            elif _content(given) != _content(book.event(kept)):
                says = f"event {given.seq} of {device.user} differs"
                yield Violation("two logs", says, (place, kept))


def _content(event: Event | Logged) -> tuple[str | int, ...]:
    return event.type, event.at, event.about, event.who, event.a, event.b, event.client_id, event.text


def nobody_sees_what_isnt_theirs(book: Book) -> Iterator[Violation]:
    """Events are about one's own chats, oneself and one's peers, and one's own sessions."""
    for device in book.devices.values():
        for place in book.events[device.device]:
            yield from _own(book, device.user, place)
    for user, places in book.logged.items():
        for place in places:
            yield from _own(book, user, place)
    for place, entry in enumerate(book.entries):
        if isinstance(entry, Peek) and entry.status != 404:
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
    for user, places in book.logged.items():
        told: dict[str, int] = defaultdict(int)
        last: dict[str, int] = {}
        for place in places:
            event = book.event(place)
            if event.type != MESSAGE or event.about not in book.chats:
                continue
            chat, expected = event.about, told[event.about] + 1
            if event.a != expected:
                rule = "message not told" if event.a > expected else "told twice"
                says = f"{user} is told of message {event.a} of {chat} where {expected} should be"
                yield Violation(rule, says, (last[chat], place) if chat in last else (place,))
            told[chat], last[chat] = event.a, place
            yield from _as_stored(book, place)
        for chat in book.chats_of[user]:
            kept = book.stored[chat, user]
            if kept and (user, "") in book.whole and told[chat] < book.message(kept[-1]).seq:
                says = f"{user} is told of {told[chat]} messages of {chat}"
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
        if isinstance(entry, Event):
            user = book.user(entry.device)
            if not given[user] or entry.seq > book.event(given[user][-1]).seq:
                given[user].append(place)
        elif isinstance(entry, Connected):
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
    logs_are_numbered,
    devices_are_given_the_log,
    nobody_sees_what_isnt_theirs,
    each_message_is_told_once,
    logs_never_shrink,
    receipts_are_about_the_two,
)
