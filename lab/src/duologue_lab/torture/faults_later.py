"""More faults to plant into a good history: of time, of what is trimmed, of restores and of withheld messages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from msgspec.structs import replace

from duologue_lab.torture.book import MESSAGE, Book
from duologue_lab.torture.faults import Entries
from duologue_lab.torture.history import (
    AnyEntry,
    ChatEntry,
    EventEntry,
    SkippedEntry,
    StoredEntry,
    TickEntry,
    ViewEntry,
)
from duologue_lab.torture.rules_marks import Witness, final_views
from duologue_lab.torture.rules_time import CountedTime

_DELAY = 40
"""Ticks."""


def delay(book: Book) -> Entries | None:
    """A connected device hears of a message only after some seconds, in which nothing else happens."""
    if not book.ticks:
        return None
    watch = CountedTime(book)
    for device, places in book.events.items():
        for place in places:
            event = book.event(place)
            span = next((span for span in book.spans[device] if span.begin < place < span.end), None)
            before = [tick for tick in book.ticks if tick < place][-3:]
            after = list(islice((tick for tick in book.ticks if tick > place), 1))
            if (
                span
                and event.type == MESSAGE
                and before
                and after
                and span.begin < _answered(book, event.about, event.a) < place
                and watch.seconds(span.node, before[0], after[0]) > 0
            ):
                return _delayed(book, place)
    return None


def _answered(book: Book, chat: str, seq: int) -> int:
    """Return the place where a message was acknowledged first; 0 if it was not."""
    for key, answers in book.answers.items():
        if key.chat == chat and book.answer(answers[0]).seq == seq:
            return answers[0]
    return 0


def _delayed(book: Book, place: int) -> Entries:
    ticks = [entry.at for entry in book.entries[:place] if isinstance(entry, TickEntry)]
    now = ticks[-1] if ticks else 0.0
    pause = [TickEntry(round(now + number / 10, 3)) for number in range(1, _DELAY + 1)]
    later = [_later(entry) for entry in book.entries[place:]]
    return [*book.entries[:place], *pause, *later]


def _later(entry: AnyEntry) -> AnyEntry:
    return replace(entry, at=entry.at + _DELAY / 10) if isinstance(entry, TickEntry) else entry


def trim_too_much(book: Book) -> Entries | None:
    """One event more than the old ones is dropped from a log, after a device was given it."""
    cutoff = book.trimmed_before()
    if not cutoff:
        return None
    for user, places in book.logged.items():
        given = {book.event(place).seq for device in book.devices_of[user] for place in book.events[device]}
        first = book.event(places[0])
        if len(places) > 1 and first.seq in given and first.at >= cutoff:
            return [entry for place, entry in enumerate(book.entries) if place != places[0]]
    return None


def change_for_nothing(book: Book) -> Entries | None:
    """A device is told that its log has changed, and there was no restore."""
    restores = [place for place in book.harms if getattr(book.entries[place], "deed", "") == "restore"]
    for places in book.events.values():
        event = book.entries[places[0]]
        if isinstance(event, EventEntry) and (not restores or places[0] < restores[0]):
            skipped = SkippedEntry(event.device, "log_changed", event.seq, event.seq)
            return [*book.entries[: places[0] + 1], skipped, *book.entries[places[0] + 1 :]]
    return None


def forget_peer(book: Book) -> Entries | None:
    """A user's last view of a chat shows nothing of what the peer got, of which the user's log tells."""
    for place in final_views(book):
        view = book.entries[place]
        if isinstance(view, ViewEntry) and view.peer_delivered:
            return _changed(book, place, replace(view, peer_delivered=0, peer_read=0))
    return None


def forget_mark(book: Book) -> Entries | None:
    """The last view that must show a mark shows none; the log, to its end, holds the event that was acknowledged."""
    witness, found = Witness(book), None
    for place, entry in enumerate(book.entries):
        witness.on_entry(place, entry)
        if isinstance(entry, ViewEntry) and witness.held_then(entry, (entry.chat, entry.user)).delivered:
            found = place, entry
    return None if found is None else _changed(book, found[0], replace(found[1], delivered=0, read=0))


def _closed(book: Book) -> Iterator[tuple[ChatEntry, int, StoredEntry]]:
    """Return what those who have closed chats can read back of them."""
    for chat in book.chats.values():
        if chat.closed:
            for place in book.stored[chat.chat, chat.other]:
                yield chat, place, book.message(place)


def show_withheld(book: Book) -> Entries | None:
    """A text that was sent to somebody who takes none of strangers can be read."""
    for _, place, message in _closed(book):
        if not message.client_id:
            return _changed(book, place, replace(message, text="something"))
    return None


def withhold_for_ever(book: Book) -> Entries | None:
    """A text that was sent after its chat was accepted can't be read."""
    for chat, place, message in _closed(book):
        opened = max((place for _, place in book.accepted[chat.chat]), default=len(book.entries))
        sent = [places[0] for key, places in book.attempts.items() if key.client_id == message.client_id]
        if message.client_id and sent and sent[0] > opened and message.sender == chat.one:
            return _changed(book, place, replace(message, client_id="", text=""))
    return None


def _changed(book: Book, place: int, entry: AnyEntry) -> Entries:
    return [*book.entries[:place], entry, *book.entries[place + 1 :]]
