"""Rules for marks: they rise, reach what was acknowledged and no further, and unread follows from them."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Final, NamedTuple

from duologue_lab.torture.book import MESSAGE, RECEIPT, Book, Violation
from duologue_lab.torture.history import EventEntry, MarkedEntry, MarkEntry, SentEntry, ViewEntry
from duologue_lab.torture.rules_logs import Told

Side = tuple[str, str]
"""A chat, and one of its users."""


class Level(NamedTuple):
    """Values of marks, and the place in the history that says so."""

    delivered: int = 0
    read: int = 0
    place: int = 0

    def raised(self, delivered: int, read: int, place: int) -> Level:
        """As high as either."""
        levels = max(self.delivered, delivered, read), max(self.read, read)
        return self if levels == self[:2] else Level(*levels, place)


class Covered(NamedTuple):
    """Meaning of an ack of one event: this message of this chat has arrived, if `seq` isn't 0."""

    chat: str = ""
    seq: int = 0


_UNKNOWN: Final = Covered(seq=-1)
"""An event that nobody knows: it was dropped before any device was given it."""
_ALL: Final = 2**62  # beyond any seq


class Claims:
    """Marks that devices have claimed of each chat so far, as far as the caller counts them.

    `covered` tells for each event of a user's log what an ack of it says.
    """

    def __init__(self, book: Book, covered: Callable[[str], Sequence[Covered]]) -> None:
        self._book = book
        self._covered = covered
        self._acked: dict[str, int] = defaultdict(int)
        self.levels: dict[Side, Level] = defaultdict(Level)

    def on_entry(self, place: int, mark: MarkEntry) -> None:
        """One more mark."""
        user = self._book.user(mark.device)
        if mark.kind == "ack":
            for chat, seq in self._covered(user)[self._acked[user] : mark.seq]:
                if seq > 0:
                    self._raise((chat, user), seq, 0, place)
                elif seq < 0:
                    for each in self._book.chats_of[user]:
                        self._raise((each, user), _ALL, 0, place)
            self._acked[user] = max(self._acked[user], mark.seq)
        elif mark.kind == "delivered":
            self._raise((mark.chat, user), mark.seq, 0, place)
        else:
            self._raise((mark.chat, user), 0, mark.seq, place)

    def _raise(self, side: Side, delivered: int, read: int, place: int) -> None:
        self.levels[side] = self.levels[side].raised(delivered, read, place)


class Witness:
    """Goes through the history with those who make it: `said` so far, and `held`, the acknowledged part of it."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._all = cache(partial(_covered, book, sure=False))
        self._sure = cache(partial(_covered, book, sure=True))
        self._said, self._held = Claims(book, self._all), Claims(book, self._sure)
        self.said, self.held = self._said.levels, self._held.levels
        self._moments = _moments(book)
        self._held_at: dict[int, dict[Side, Level]] = {}

    def on_entry(self, place: int, entry: object) -> None:
        """The next entry."""
        if isinstance(entry, MarkEntry):
            self._said.on_entry(place, entry)
        elif isinstance(entry, MarkedEntry) and (mark := self.book.mark(entry)):
            self._held.on_entry(place, mark)
        sides = self._moments.get(place + 1)
        if sides:
            self._held_at[place + 1] = {side: self.held[side] for side in sides}

    def held_then(self, view: ViewEntry, side: Side) -> Level:
        """Return the marks that were acknowledged when a view was asked for."""
        return self._held_at.get(view.since, {}).get(side, Level())


def _covered(book: Book, user: str, *, sure: bool) -> list[Covered]:
    """Return the meaning of an ack of each event of a log; if `sure`, only of those that are in the log to the end.

    An event that was dropped may have been dropped before its ack was looked at.
    """
    covered: list[Covered] = []
    for place in book.logged[user] if sure else book.log(user):
        event = book.event(place)
        covered += [Covered() if sure else _UNKNOWN] * (event.seq - 1 - len(covered))
        is_new = event.type == MESSAGE and event.who != user
        covered.append(Covered(event.about, event.a) if is_new else Covered())
    return covered


def marks_follow_what_was_said(book: Book) -> Iterator[Violation]:
    """No mark is seen before a device has said so; what was acknowledged is seen from then on."""
    witness = Witness(book)
    for place, entry in enumerate(book.entries):
        witness.on_entry(place, entry)
        if isinstance(entry, EventEntry) and entry.type == RECEIPT:
            yield from _was_said(witness, place, (entry.about, entry.who), entry.a, entry.b)
        elif isinstance(entry, ViewEntry) and entry.chat in book.chats:
            yield from _view_follows(witness, place, entry)


def _was_said(witness: Witness, place: int, side: Side, delivered: int, read: int) -> Iterator[Violation]:
    said = witness.said[side]
    if delivered > said.delivered or read > said.read:
        says = f"{side[1]} never said {delivered}/{read} of {side[0]}"
        yield Violation("mark nobody made", says, _with(said.place, place))


def _view_follows(witness: Witness, place: int, view: ViewEntry) -> Iterator[Violation]:
    peer = witness.book.peer(view.chat, view.user)
    shows = witness.book.people[peer].shows_read
    for owner, delivered, read, visible in (
        (view.user, view.delivered, view.read, True),
        (peer, view.peer_delivered, view.peer_read, shows),
    ):
        side = view.chat, owner
        yield from _was_said(witness, place, side, delivered, read)
        held = witness.held_then(view, side)
        least_delivered, least_read = held.delivered, held.read
        if owner == peer:  # one sees marks on one's own messages: on others they say nothing
            least_delivered = witness.book.newest_of(view.chat, view.user, held.delivered)
            least_read = witness.book.newest_of(view.chat, view.user, held.read)
        if delivered < least_delivered or (visible and read < least_read):
            says = f"{owner} had {held.delivered}/{held.read} of {view.chat} acknowledged, not {delivered}/{read}"
            yield Violation("mark forgotten", says, _with(held.place, place))
        if read and not visible:
            yield Violation("private mark shown", f"{view.user} sees what {owner} has read", (place,))


def _moments(book: Book) -> dict[int, list[Side]]:
    """Times at which views were asked for, and whose."""
    moments: dict[int, list[Side]] = defaultdict(list)
    for place in book.views:
        view = book.entries[place]
        assert isinstance(view, ViewEntry)
        if view.chat in book.chats:
            peer = book.peer(view.chat, view.user)
            moments[view.since] += [(view.chat, view.user), (view.chat, peer)]
    return moments


def _with(earlier: int, place: int) -> tuple[int, ...]:
    return (earlier, place) if earlier else (place,)


def marks_only_rise(book: Book) -> Iterator[Violation]:
    """In each log the marks of a side rise with every receipt, and never beyond the messages told before it."""
    for user in book.people:
        told = Told(book, user)
        levels: dict[Side, Level] = defaultdict(Level)
        for place in book.log(user):
            told.pass_by(place)
            event = book.event(place)
            if event.type == MESSAGE and event.about in book.chats:
                told.newest[event.about] = max(told.newest[event.about], event.a)
                told.unsure.discard(event.about)
            elif event.type == RECEIPT and event.about in book.chats:
                before, now = levels[event.about, event.who], Level(event.a, event.b, place)
                levels[event.about, event.who] = now
                yield from _rises(book, user, place, before, now)
                if now.delivered > (known := told.newest[event.about]) and event.about not in told.unsure:
                    says = f"{user} sees marks of {event.who} in {event.about}: {now.delivered} of {known}"
                    yield Violation("mark beyond the chat", says, (place,))


def _rises(book: Book, user: str, place: int, before: Level, now: Level) -> Iterator[Violation]:
    event = book.event(place)
    evidence = _with(before.place, place)
    says = f"{user} sees marks of {event.who} in {event.about}: {now.delivered}/{now.read}"
    if now.delivered < before.delivered or now.read < before.read:
        yield Violation("mark went back", says, evidence)
    elif now[:2] == before[:2]:
        yield Violation("mark repeated", says, evidence)
    if now.read > now.delivered:
        yield Violation("read but not delivered", says, (place,))
    shown = event.who == user or event.who not in book.people or book.people[event.who].shows_read
    if now.read and not shown:
        yield Violation("private mark shown", says, (place,))


def views_are_exact(book: Book) -> Iterator[Violation]:
    """At any moment unread is the number of the peer's messages above one's read mark, and marks are in range."""
    seqs: dict[Side, list[int]] = defaultdict(list)
    for chat in book.chats:
        for place in book.kept(chat):
            message = book.message(place)
            if (chat, message.seq) not in book.withheld:
                seqs[chat, message.sender].append(message.seq)
    for place in book.views:
        view = book.entries[place]
        assert isinstance(view, ViewEntry)
        if view.chat not in book.chats or not book.was_read(view.chat):
            continue
        theirs = seqs[view.chat, book.peer(view.chat, view.user)]
        unread = bisect_right(theirs, view.last_seq) - bisect_right(theirs, view.read)
        if view.unread != unread:
            says = f"{view.user} is told of {view.unread} unread in {view.chat}: it is {unread}"
            yield Violation("unread wrong", says, (place,))
        if not view.read <= view.delivered <= view.last_seq or not (
            view.peer_read <= view.peer_delivered <= view.last_seq
        ):
            yield Violation("mark beyond the chat", f"{view.user} sees {view.chat}", (place,))


def views_never_go_back(book: Book) -> Iterator[Violation]:
    """A view shows at least what was acknowledged, and what an earlier view showed, before it was asked for."""
    lasts = _acknowledged(book)
    before: dict[Side, list[int]] = defaultdict(list)
    for place in book.views:
        view = book.entries[place]
        assert isinstance(view, ViewEntry)
        last = _at(lasts[view.chat], view.since)
        if view.last_seq < last[1]:
            says = f"{view.user} sees {view.chat} up to {view.last_seq} of {last[1]}"
            yield Violation("stale view", says, (last[0], place))
        for earlier in before[view.chat, view.user][-1:]:
            then = book.entries[earlier]
            assert isinstance(then, ViewEntry)
            if earlier < view.since and any(
                getattr(view, name) < getattr(then, name)
                for name in ("last_seq", "delivered", "read", "peer_delivered", "peer_read")
            ):
                says = f"{view.user} sees less of {view.chat} than before"
                yield Violation("stale view", says, (earlier, place))
        before[view.chat, view.user].append(place)


def _acknowledged(book: Book) -> dict[str, list[tuple[int, int]]]:
    """For each chat when which seq was acknowledged, as far as it was higher than all before."""
    lasts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, entry in enumerate(book.entries):
        if isinstance(entry, SentEntry) and entry.n in book.sends:
            list_of_chat = lasts[book.send(entry.n).chat]
            if not list_of_chat or entry.seq > list_of_chat[-1][1]:
                list_of_chat.append((place, entry.seq))
    return lasts


def _at(lasts: list[tuple[int, int]], place: int) -> tuple[int, int]:
    index = bisect_right(lasts, (place, 0))
    return lasts[index - 1] if index else (0, 0)


def final_views(book: Book) -> Iterator[int]:
    """Return the places of each user's last view of each chat, if the user's whole log is known up to that view.

    Of a log that was trimmed before any device was given all of it, the last receipts may be missing.
    """
    final = {
        (view.user, view.chat): place
        for place in book.views
        if isinstance(view := book.entries[place], ViewEntry)
    }
    for (user, chat), place in final.items():
        view = book.entries[place]
        assert isinstance(view, ViewEntry)
        log = book.logged[user]
        if log and chat in book.chats and view.since >= log[-1] and len(book.log(user)) >= _end(book, log):
            yield place


def logs_agree_with_views(book: Book) -> Iterator[Violation]:
    """The last receipts of a log are the marks that its user sees at the end."""
    last: dict[tuple[str, str, str], tuple[int, int, int]] = {}
    for user in book.people:
        for place in book.log(user):
            event = book.event(place)
            if event.type == RECEIPT:
                last[user, event.about, event.who] = event.a, event.b, place
    for place in final_views(book):
        view = book.entries[place]
        assert isinstance(view, ViewEntry)
        user, chat = view.user, view.chat
        own = last.get((user, chat, user), (0, 0, 0))
        peers = last.get((user, chat, book.peer(chat, user)), (0, 0, 0))
        for told, delivered, read in (
            (own, view.delivered, view.read),
            (peers, view.peer_delivered, view.peer_read),
        ):
            if told[:2] != (delivered, read):
                says = f"{user} was told {told[0]}/{told[1]} of {chat} and sees {delivered}/{read}"
                yield Violation("marks differ", says, _with(told[2], place))


def _end(book: Book, log: Sequence[int]) -> int:
    """Return the number of events that a log has had."""
    return book.event(log[-1]).seq


RULES = (
    marks_follow_what_was_said,
    marks_only_rise,
    views_are_exact,
    views_never_go_back,
    logs_agree_with_views,
)
