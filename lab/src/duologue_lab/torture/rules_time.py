"""Rule for time: a connected device hears what was acknowledged within two seconds, outside of faults.

The time is counted by the history's own ticks, and only while both ends could keep it: not while the run itself was
held up, not while the node or the database is known to be down, and not for a moment after either.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from duologue_lab.torture.book import MESSAGE, Book, Key, Span, Violation
from duologue_lab.torture.history import HarmEntry, SkippedEntry, TickEntry

WITHIN: Final = 2.0
"""Seconds in which a connected device must hear what was acknowledged."""
MARGIN: Final = 0.5
"""Seconds beside that for what no tick shows: two processes of a busy machine that wait for each other."""
_TICK: Final = 0.1
"""Seconds from one tick to the next."""
_HELD_UP: Final = 0.25
"""Seconds between two ticks from which on the run was held up: it can't judge others then."""
_COLLECTS_ITSELF: Final = 0.5
"""Seconds after that, for what has queued up meanwhile."""
_RECOVERS: Final = {"node": 3.0, "postgres": 4.0}
"""Seconds after the end of a fault: connections are made anew, at most a second apart, and the backlog is read."""
_BEGINS: Final = {"kill": "start", "stop": "start", "freeze": "thaw", "lock": "unlock"}
EVERYWHERE: Final = -1
"""In place of a node's number: what concerns all of them."""


class CountedTime:
    """Tells how many seconds between two places of a history count for a node."""

    def __init__(self, book: Book) -> None:
        self._ticks = book.ticks
        self._at = [entry.at for place in book.ticks if isinstance(entry := book.entries[place], TickEntry)]
        faults = _faults(book, self._at)
        self._counted: dict[int, list[float]] = {}
        self._faults = faults

    def seconds(self, node: int, begin: int, end: int) -> float:
        """Seconds that surely passed between two places, and count."""
        first, last = bisect_left(self._ticks, begin), bisect_right(self._ticks, end) - 1
        counted = self._counted_of(node)
        return counted[last] - counted[first] if first < last else 0.0

    def _counted_of(self, node: int) -> list[float]:
        """For each tick the seconds up to it that count for a node."""
        if node not in self._counted:
            faults = sorted(self._faults[EVERYWHERE] + self._faults[node])
            self._counted[node] = _counted(self._at, faults)
        return self._counted[node]


def _counted(at: Sequence[float], faults: Sequence[tuple[float, float]]) -> list[float]:
    total, excused_until, next_fault = 0.0, 0.0, 0
    counted = [0.0] * len(at)
    for index in range(1, len(at)):
        before, now = at[index - 1], at[index]
        while next_fault < len(faults) and faults[next_fault][0] <= now:
            excused_until = max(excused_until, faults[next_fault][1])
            next_fault += 1
        if now - before > _HELD_UP:
            excused_until = max(excused_until, now + _COLLECTS_ITSELF)
        elif before >= excused_until:
            total += min(now - before, _TICK)
        counted[index] = total
    return counted


def _faults(book: Book, at: Sequence[float]) -> dict[int, list[tuple[float, float]]]:
    """For each node, and for all together, from when to when something was wrong, in the run's seconds."""
    faults: dict[int, list[tuple[float, float]]] = defaultdict(list)
    begun: dict[tuple[str, str], float] = {}
    for place in book.harms:
        harm = book.entries[place]
        assert isinstance(harm, HarmEntry)
        index = bisect_left(book.ticks, place)
        now = at[min(index, len(at) - 1)] if at else 0.0
        if harm.deed in _BEGINS:
            begun[_BEGINS[harm.deed], harm.to] = at[index - 1] if index else 0.0
        elif (since := begun.pop((harm.deed, harm.to), None)) is not None:
            kind, node = concerns(harm.to)
            faults[node].append((since, now + _RECOVERS[kind]))
    for (_, to), since in begun.items():
        faults[concerns(to)[1]].append((since, float("inf")))
    return {key: sorted(found) for key, found in faults.items()} | {
        key: [] for key in {EVERYWHERE, *_nodes(book)} - faults.keys()
    }


def concerns(to: str) -> tuple[str, int]:
    """Return whose fault it is, and which node it concerns: `node 2 at http://…`, `worker of node 2 …`, `postgres`.

    The bus is nobody's excuse: whatever it does, a device must hear in time.
    """
    words = to.split()
    if "node" in words:
        return "node", int(words[words.index("node") + 1])
    if words[0] in {"nats", "bus", "device"}:
        return "node", -2
    return "postgres", EVERYWHERE


def _nodes(book: Book) -> set[int]:
    return {span.node for spans in book.spans.values() for span in spans}


def acknowledged_is_heard_soon(book: Book) -> Iterator[Violation]:
    """A device that is connected hears of each acknowledged message within two seconds of either."""
    if not book.ticks:
        return
    hearing = _Hearing(book)
    for key, answers in book.answers.items():
        chat = book.chats.get(key.chat)
        if chat is None:
            continue
        seq = book.answer(answers[0]).seq
        for user in (chat.one, chat.other):
            if (key.chat, seq) not in book.withheld or user == chat.one:
                for device in book.devices_of[user]:
                    yield from hearing.in_time(user, device, key, answers[0])


class _Hearing:
    """Knows where each device was given each message, and which it was told to skip."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._watch = CountedTime(book)
        self._heard: dict[tuple[int, str, int], int] = {}
        self._seqs: dict[tuple[str, str, int], int] = {}
        for user in book.people:
            for place in book.log(user):
                event = book.event(place)
                if event.type == MESSAGE:
                    self._seqs[user, event.about, event.a] = event.seq
        for device, places in book.events.items():
            for place in places:
                event = book.event(place)
                if event.type == MESSAGE:
                    self._heard[device, event.about, event.a] = place

    def in_time(self, user: str, device: int, key: Key, answer: int) -> Iterator[Violation]:
        book, seq = self._book, self._book.answer(answer).seq
        told = self._heard.get((device, key.chat, seq))
        if told is None and self._was_skipped(device, self._seqs.get((user, key.chat, seq), 0)):
            return
        end = len(book.entries) if told is None else told
        for span in _spans_between(book.spans[device], answer, end):
            waited = self._watch.seconds(span.node, max(answer, span.begin), min(end, span.end))
            if waited > WITHIN + MARGIN:
                says = f"device {device} was connected and did not hear of {key.client_id} for {waited:.1f} s"
                yield Violation("late", says, (answer, span.begin, *([told] if told else [])))
                return

    def _was_skipped(self, device: int, seq: int) -> bool:
        """Return whether a device need not hear of an event: it has gone on behind it, and reads the chat instead."""
        return any(
            isinstance(skipped := self._book.entries[place], SkippedEntry) and seq <= skipped.latest
            for place in self._book.skips[device]
        )


def _spans_between(spans: Sequence[Span], begin: int, end: int) -> Iterator[Span]:
    """The connections that stood at some time between two places."""
    for index in range(max(0, bisect_right(spans, (begin,)) - 1), len(spans)):
        if spans[index].begin >= end:
            return
        if spans[index].end > begin:
            yield spans[index]


RULES: Final = (acknowledged_is_heard_soon,)
