"""Restores: a history without what the store forgot when an older copy of it was put back.

From the moment at which a copy was begun to the moment at which it stood in the store's place, nothing that was
acknowledged or shown is certain to be in the copy. What was acknowledged before that must be there.
"""

from __future__ import annotations

from collections.abc import Sequence

from duologue_lab.torture.history import (
    AnyEntry,
    ConnectedEntry,
    EventEntry,
    HarmEntry,
    ListeningEntry,
    MarkedEntry,
    SentEntry,
    SkippedEntry,
    UndoneEntry,
    ViewEntry,
)

Window = tuple[int, int]
"""The places at which a copy was begun, and at which it was put back."""


def windows(entries: Sequence[AnyEntry]) -> list[Window]:
    """Return the windows that restores have undone: each restore puts the newest copy back."""
    found: list[Window] = []
    copied = 0
    for place, entry in enumerate(entries):
        if isinstance(entry, HarmEntry) and entry.deed == "copy":
            copied = place
        elif isinstance(entry, HarmEntry) and entry.deed == "restore":
            found.append((copied, place))
    return found


def without_undone(entries: Sequence[AnyEntry]) -> Sequence[AnyEntry]:
    """The same entries at the same places; in place of those that a restore has undone stands `UndoneEntry`.

    Answers and views are undone. Events are undone for the devices that were told so, up to the moment at which they
    were: any other device goes on from where it was, so what it was given must be in the log for good.
    """
    undone = windows(entries)
    if not undone:
        return entries
    kept = list(entries)
    ends = [last for _, last in undone[1:]] + [len(entries)]
    for (first, last), end in zip(undone, ends, strict=True):
        told = _told(entries, last)
        for place in range(first, min(end, max(told.values(), default=last))):
            entry = entries[place]
            if (isinstance(entry, SentEntry | MarkedEntry | ViewEntry) and place < last) or (
                isinstance(entry, EventEntry) and place < told.get(entry.device, 0)
            ):
                kept[place] = UndoneEntry()
    return kept


def _told(entries: Sequence[AnyEntry], restored: int) -> dict[int, int]:
    """The devices that were told after a restore that they can't go on from where they were, and the places of that.

    Until then a connection that has outlived the restore may still give what had been on its way to it.
    """
    told: dict[int, int] = {}
    others: set[int] = set()
    polling: set[int] = set()
    for place in range(restored, len(entries)):
        entry = entries[place]
        if isinstance(entry, ListeningEntry):
            polling.add(entry.device)
        elif isinstance(entry, ConnectedEntry) or (isinstance(entry, EventEntry) and entry.device in polling):
            # It goes on from where it was, and what it hears later is about a later restore.
            others.add(entry.device)
        elif isinstance(entry, SkippedEntry) and entry.device not in others:
            told.setdefault(entry.device, place)
    return told
