"""Faults to plant into a good history.

Each makes the history of a system that breaks one promise, as far as possible that promise alone. It gives None
if the history has no place where that could be done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from duologue_lab.torture.book import MESSAGE, Book
from duologue_lab.torture.history import (
    AnyEntry,
    ConnectedEntry,
    EventEntry,
    LoggedEntry,
    PeekEntry,
    PersonEntry,
    SendEntry,
    SentEntry,
    StoredEntry,
    ViewEntry,
)

Entries = list[AnyEntry]
Told = EventEntry | LoggedEntry
Change = Callable[[AnyEntry], Sequence[AnyEntry]]
"""What an entry becomes: nothing, itself, another, several."""
T = TypeVar("T")


def _at(book: Book, place: int | None, change: Change) -> Entries | None:
    """The entries with one of them changed."""
    if place is None:
        return None
    return [*book.entries[:place], *change(book.entries[place]), *book.entries[place + 1 :]]


def _first(items: Iterator[T]) -> T | None:
    return next(items, None)


def _inner(book: Book) -> tuple[str, int] | None:
    """A chat and the seq of a message in its middle that was acknowledged."""
    return _first(
        (key.chat, seq)
        for key, answers in book.answers.items()
        if 1 < (seq := book.answer(answers[0]).seq) < len(book.kept(key.chat))
    )


def rewrite(change: Callable[[str, int, AnyEntry], Sequence[AnyEntry]]) -> Callable[[Book], Entries | None]:
    """A fault about a message in the middle of a chat: what it makes of each entry."""

    def plant(book: Book) -> Entries | None:
        found = _inner(book)
        return None if found is None else [new for entry in book.entries for new in change(*found, entry)]

    return plant


def lose(chat: str, seq: int, entry: AnyEntry) -> Sequence[AnyEntry]:
    """It isn't there, and those behind it have moved up."""
    if isinstance(entry, StoredEntry) and entry.chat == chat and entry.seq >= seq:
        return [replace(entry, seq=entry.seq - 1)] if entry.seq > seq else []
    return [entry]


def leave_hole(chat: str, seq: int, entry: AnyEntry) -> Sequence[AnyEntry]:
    """It isn't there, and nothing else is in its place."""
    return [] if isinstance(entry, StoredEntry) and (entry.chat, entry.seq) == (chat, seq) else [entry]


def double(chat: str, seq: int, entry: AnyEntry) -> Sequence[AnyEntry]:
    """It is there twice, one after the other."""
    if isinstance(entry, StoredEntry) and entry.chat == chat and entry.seq >= seq:
        later = replace(entry, seq=entry.seq + 1)
        return [entry, later] if entry.seq == seq else [later]
    return [entry]


def alter(chat: str, seq: int, entry: AnyEntry) -> Sequence[AnyEntry]:
    """It reads otherwise."""
    here = isinstance(entry, StoredEntry) and (entry.chat, entry.seq) == (chat, seq)
    return [replace(entry, text="something else") if here else entry]


def reuse_seq(chat: str, seq: int, entry: AnyEntry) -> Sequence[AnyEntry]:
    """The one behind it has its seq."""
    if isinstance(entry, StoredEntry) and entry.chat == chat and entry.seq > seq:
        return [replace(entry, seq=entry.seq - 1)]
    return [entry]


def invent(chat: str, seq: int, entry: AnyEntry) -> Sequence[AnyEntry]:
    """Nobody ever sent what stands there."""
    here = isinstance(entry, StoredEntry) and (entry.chat, entry.seq) == (chat, seq)
    return [replace(entry, client_id="never sent") if here else entry]


def tell_otherwise(chat: str, seq: int, entry: AnyEntry) -> Sequence[AnyEntry]:
    """Events tell another text than is stored."""
    here = isinstance(entry, Told) and (entry.type, entry.about, entry.a) == (MESSAGE, chat, seq)
    return [replace(entry, text="something else") if here else entry]


def swap(book: Book) -> Entries | None:
    """A message has changed places with one that was acknowledged before it was first sent, in everybody's eyes."""
    acknowledged: dict[str, int] = {}
    seen = set()
    for entry in book.entries:
        if isinstance(entry, SentEntry):
            acknowledged.setdefault(book.send(entry.n).chat, entry.seq)
        elif isinstance(entry, SendEntry) and (key := book.key_of(entry)) not in seen:
            seen.add(key)
            answers = book.answers.get(key)
            if answers and key.chat in acknowledged:
                return _swapped(book, key.chat, acknowledged[key.chat], book.answer(answers[0]).seq)
    return None


def swap_in_flight(book: Book) -> Entries | None:
    """The same with two of which one connection sent the second before the first was acknowledged."""
    last: dict[tuple[int, str], tuple[int, int]] = {}
    for key, attempts in book.attempts.items():
        send = book.entries[attempts[0]]
        answers = book.answers.get(key, ())
        if isinstance(send, SendEntry) and send.connection and len(attempts) == len(answers) == 1:
            lane = send.connection, send.chat
            answered, seq = last.get(lane, (0, 0))
            if answered > attempts[0]:
                return _swapped(book, key.chat, seq, book.answer(answers[0]).seq)
            last[lane] = answers[0], book.answer(answers[0]).seq
    return None


def _swapped(book: Book, chat: str, one: int, two: int) -> Entries:
    other = {one: two, two: one}
    stored = {seq: book.message(book.kept(chat)[seq - 1]) for seq in other}
    entries: Entries = []
    for entry in book.entries:
        if isinstance(entry, SentEntry) and book.send(entry.n).chat == chat:
            entries.append(replace(entry, seq=other.get(entry.seq, entry.seq)))
        elif isinstance(entry, StoredEntry) and entry.chat == chat and entry.seq in other:
            new = stored[other[entry.seq]]
            entries.append(replace(entry, sender=new.sender, client_id=new.client_id, text=new.text))
        elif isinstance(entry, Told) and (entry.type, entry.about) == (MESSAGE, chat) and entry.a in other:
            new = stored[other[entry.a]]
            entries.append(replace(entry, who=new.sender, client_id=new.client_id, text=new.text))
        else:
            entries.append(entry)
    return entries


def swap_for_one(book: Book) -> Entries | None:
    """One side reads two messages in the other order."""
    for chat in book.chats.values():
        places = book.stored[chat.chat, chat.one][:2]
        if len(places) == 2:
            one, two = map(book.message, places)
            entries = list(book.entries)
            entries[places[0]], entries[places[1]] = replace(two, seq=1), replace(one, seq=2)
            return entries
    return None


def store_unacknowledged_twice(book: Book) -> Entries | None:
    """A message that was sent and never acknowledged is there twice at the end of its chat."""
    for key, attempts in book.attempts.items():
        send = book.entries[attempts[0]]
        if key not in book.answers and isinstance(send, SendEntry):
            last, chat = len(book.kept(key.chat)), book.chats[key.chat]
            return list(book.entries) + [
                StoredEntry(reader, key.chat, last + number, key.sender, key.client_id, send.text)
                for reader in (chat.one, chat.other)
                for number in (1, 2)
            ]
    return None


def answered_again(change: Callable[[SentEntry], SentEntry]) -> Callable[[Book], Entries | None]:
    """A message is acknowledged once more."""

    def plant(book: Book) -> Entries | None:
        place = _first(
            place for places in book.answers.values() for place in places if book.answer(place).fresh
        )
        return None if place is None else [*book.entries, change(book.answer(place))]

    return plant


def given(
    change: Change, wanted: Callable[[EventEntry], bool] = lambda event: event.seq > 1
) -> Callable[[Book], Entries | None]:
    """Something befalls an event on its way to one device, which isn't the last and which the log still holds.

    An event that was trimmed since, and that no other device was given, can't be compared with anything.
    """

    def plant(book: Book) -> Entries | None:
        places = (
            place
            for device, events in book.events.items()
            for place in events[:-1]
            if isinstance(event := book.entries[place], EventEntry)
            and wanted(event)
            and event.seq >= _first_kept(book, device)
        )
        return _at(book, _first(places), change)

    return plant


def _first_kept(book: Book, device: int) -> int:
    """Return the seq from which on the log of a device's user could be read back."""
    kept = book.logged[book.user(device)]
    return book.event(kept[0]).seq if kept else 0


def shorten(book: Book) -> Entries | None:
    """The last event of a log never reaches one device."""
    return _at(book, _first(places[-1] for places in book.events.values() if len(places) > 1), lambda _: [])


def forget(book: Book) -> Entries | None:
    """The last event of a log is gone, after a device was given it."""
    return _at(book, _first(places[-1] for places in book.logged.values() if len(places) > 1), lambda _: [])


def in_log(
    kind: str, change: Callable[[Book, LoggedEntry], Sequence[AnyEntry]]
) -> Callable[[Book], Entries | None]:
    """Something befalls an event of this kind in a log itself; the first that can be changed so."""

    def plant(book: Book) -> Entries | None:
        for user, places in book.logged.items():
            whole = len(book.log(user)) == book.event(places[-1]).seq
            for place in places if whole else ():
                entry = book.entries[place]
                if isinstance(entry, LoggedEntry) and entry.type == kind:
                    new = change(book, entry)
                    if list(new) != [entry]:
                        return _at(book, place, lambda _, new=new: new)  # type: ignore[misc]
        return None

    return plant


def left_out(book: Book, entry: LoggedEntry) -> Sequence[AnyEntry]:
    """An event between two others is gone: without its first or its last one, a trimmed log may still be right."""
    places = book.logged[entry.user]
    return [entry] if entry in (book.entries[places[0]], book.entries[places[-1]]) else []


def foreign(book: Book, entry: LoggedEntry) -> Sequence[AnyEntry]:
    """An event is about a chat of others."""
    chat = _first(chat for chat in book.chats if chat not in book.chats_of[entry.user])
    return [replace(entry, about=chat)] if chat else [entry]


def told_again(_: Book, entry: LoggedEntry) -> Sequence[AnyEntry]:
    """The message before it, again."""
    return [replace(entry, a=entry.a - 1)] if entry.a > 1 else [entry]


def untold(_: Book, entry: LoggedEntry) -> Sequence[AnyEntry]:
    """Something else is told in its place."""
    return [replace(entry, type="chat.updated", who="", a=0, client_id="", text="")]


def tell_too_much(_: Book, entry: LoggedEntry) -> Sequence[AnyEntry]:
    """Tell of a message that isn't there."""
    return [replace(entry, a=entry.a + 1_000)]


def read_too_far(_: Book, entry: LoggedEntry) -> Sequence[AnyEntry]:
    """Beyond what is delivered."""
    return [replace(entry, b=entry.a + 1)]


def mark_back(_: Book, entry: LoggedEntry) -> Sequence[AnyEntry]:
    """It falls to nothing at once, in a receipt that shouldn't be there."""
    return [entry, replace(entry, a=0, b=0)]


def repeat_mark(_: Book, entry: LoggedEntry) -> Sequence[AnyEntry]:
    """Without anything new."""
    return [entry, entry]


def show_private(book: Book, entry: LoggedEntry) -> Sequence[AnyEntry]:
    """Show the read mark of a user who doesn't show it."""
    private = entry.who != entry.user and not book.people[entry.who].shows_read
    return [replace(entry, b=entry.a)] if private else [entry]


def seen(
    change: Callable[[ViewEntry], ViewEntry], wanted: Callable[[ViewEntry], bool]
) -> Callable[[Book], Entries | None]:
    """A view shows something else; the last one that can."""

    def plant(book: Book) -> Entries | None:
        for place in reversed(book.views):
            view = book.entries[place]
            if isinstance(view, ViewEntry) and wanted(view):
                return _at(book, place, lambda _, view=view: [change(view)])  # type: ignore[misc]
        return None

    return plant


def shrink(book: Book) -> Entries | None:
    """A new connection doesn't know of what was given before."""
    place = _first(place for place in book.connections if book.connection(place).after > 0)
    return _at(
        book, place, lambda entry: [replace(entry, latest=0)] if isinstance(entry, ConnectedEntry) else []
    )


def peek(book: Book) -> Entries | None:
    """A chat of others can be seen."""
    person = _first(entry for entry in book.entries if isinstance(entry, PersonEntry))
    return [*book.entries, PeekEntry(person.user, "cht_of_others", 200)] if person else None
