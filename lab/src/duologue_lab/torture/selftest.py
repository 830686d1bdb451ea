"""Self-test of the checker: every kind of fault, planted into a good history, with the rule that must find it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from duologue_lab.torture.book import MESSAGE, RECEIPT, Book
from duologue_lab.torture.checker import check
from duologue_lab.torture.faults import (
    Entries,
    alter,
    answered_again,
    double,
    foreign,
    forget,
    given,
    in_log,
    invent,
    leave_hole,
    left_out,
    lose,
    mark_back,
    peek,
    read_too_far,
    repeat_mark,
    reuse_seq,
    rewrite,
    seen,
    shorten,
    show_private,
    shrink,
    store_unacknowledged_twice,
    swap,
    swap_for_one,
    swap_in_flight,
    tell_otherwise,
    tell_too_much,
    told_again,
    untold,
)
from duologue_lab.torture.faults_later import (
    change_for_nothing,
    delay,
    forget_mark,
    forget_peer,
    show_withheld,
    trim_too_much,
    withhold_for_ever,
)
from duologue_lab.torture.history import AnyEntry, EventEntry, OddEntry, OverEntry


class PlantedFault(NamedTuple):
    """A fault: its name, the rule that must find it, and the function that plants it."""

    name: str
    rule: str
    plant: Callable[[Book], Entries | None]


def plant_each(
    entries: Sequence[AnyEntry], faults: Iterable[PlantedFault]
) -> Iterator[tuple[PlantedFault, bool | None]]:
    """Each fault, and whether the checker finds it in an otherwise good history; None if it has no place there."""
    book = Book(entries)
    for fault in faults:
        bad = fault.plant(book)
        yield fault, None if bad is None else any(found.rule == fault.rule for found in check(bad))


FAULTS: Final = (
    PlantedFault("an acknowledged message is lost", "lost", rewrite(lose)),
    PlantedFault("an acknowledged message leaves a hole", "hole in chat", rewrite(leave_hole)),
    PlantedFault("two messages have the same seq", "seq given twice", rewrite(reuse_seq)),
    PlantedFault("an acknowledged message is stored twice", "doubled", rewrite(double)),
    PlantedFault("an unacknowledged message is stored twice", "doubled", store_unacknowledged_twice),
    PlantedFault("a text is altered", "altered", rewrite(alter)),
    PlantedFault("a message comes from nowhere", "invented", rewrite(invent)),
    PlantedFault("two messages are swapped for everybody", "reordered", swap),
    PlantedFault("two messages of a connection are swapped", "reordered", swap_in_flight),
    PlantedFault("two messages are swapped for one side", "two orders", swap_for_one),
    PlantedFault(
        "a repeat is stored anew", "answered twice", answered_again(lambda sent: replace(sent, n=sent.n))
    ),
    PlantedFault(
        "a repeat is given another seq",
        "answered twice",
        answered_again(lambda sent: replace(sent, seq=sent.seq + 1, fresh=False)),
    ),
    PlantedFault(
        "an acknowledgement names another seq",
        "moved",
        answered_again(lambda sent: replace(sent, seq=10**6)),
    ),
    PlantedFault("a device misses an event", "hole in log", given(lambda _: [])),
    PlantedFault("a device is given an event twice", "event repeated", given(lambda event: [event, event])),
    PlantedFault("a device never gets the end of the log", "event not given", shorten),
    PlantedFault(
        "two devices are given different events",
        "two logs",
        given(
            lambda event: [replace(event, text="something else")] if isinstance(event, EventEntry) else [],
            lambda event: event.type == MESSAGE,
        ),
    ),
    PlantedFault("an event of others", "foreign event", in_log(MESSAGE, foreign)),
    PlantedFault("a chat of others can be read", "foreign chat", peek),
    PlantedFault("a log forgets what it has told", "event vanished", forget),
    PlantedFault("a log has a hole", "hole in log", in_log(RECEIPT, left_out)),
    PlantedFault("a message is told twice", "told twice", in_log(MESSAGE, told_again)),
    PlantedFault("a message is never told", "message not told", in_log(MESSAGE, untold)),
    PlantedFault("a message is told that isn't there", "message vanished", in_log(MESSAGE, tell_too_much)),
    PlantedFault("a message is told otherwise than stored", "told otherwise", rewrite(tell_otherwise)),
    PlantedFault("a log loses its end", "log shrank", shrink),
    PlantedFault("a mark goes back", "mark went back", in_log(RECEIPT, mark_back)),
    PlantedFault("a mark goes beyond the chat", "mark beyond the chat", in_log(RECEIPT, tell_too_much)),
    PlantedFault("more is read than delivered", "read but not delivered", in_log(RECEIPT, read_too_far)),
    PlantedFault("a receipt says nothing new", "mark repeated", in_log(RECEIPT, repeat_mark)),
    PlantedFault("a private mark is shown", "private mark shown", in_log(RECEIPT, show_private)),
    PlantedFault(
        "a mark that nobody made",
        "mark nobody made",
        given(
            lambda event: [replace(event, b=event.b + 1_000)] if isinstance(event, EventEntry) else [],
            lambda event: event.type == RECEIPT,
        ),
    ),
    PlantedFault("an acknowledged mark is forgotten", "mark forgotten", forget_mark),
    PlantedFault(
        "unread is one too many",
        "unread wrong",
        seen(lambda view: replace(view, unread=view.unread + 1), lambda _: True),
    ),
    PlantedFault(
        "a view is out of date",
        "stale view",
        seen(lambda view: replace(view, last_seq=0, delivered=0, read=0), lambda view: view.last_seq > 1),
    ),
    PlantedFault("a view and the log differ", "marks differ", forget_peer),
    PlantedFault("a connected device hears late", "late", delay),
    PlantedFault("an event too many is trimmed", "trimmed too early", trim_too_much),
    PlantedFault("a device is sent on for nothing", "log changed for nothing", change_for_nothing),
    PlantedFault("a withheld message is shown", "withheld shown", show_withheld),
    PlantedFault("an accepted stranger stays withheld", "withheld for ever", withhold_for_ever),
    PlantedFault(
        "a message is never answered", "never answered", lambda book: [*book.entries, OverEntry(("1-1",))]
    ),
    PlantedFault(
        "a node tells of an internal failure",
        "unexpected",
        lambda book: [*book.entries, OddEntry("node", "internal")],
    ),
    PlantedFault(
        "the history is cut short",
        "unfinished",
        lambda book: [entry for entry in book.entries if not isinstance(entry, OverEntry)],
    ),
)
