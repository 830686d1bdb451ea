"""A history in pieces: people have chats with those of their own village alone, so each can be judged by itself.

A long run has ten million entries and more. They are in a file, are sorted into one file for each village, and only
those of one village are in memory at a time.
"""

from __future__ import annotations

import contextlib
import tempfile
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from msgspec.structs import replace

from duologue_lab.torture.history import (
    AcceptedEntry,
    AnyEntry,
    ChatEntry,
    ConnectedEntry,
    DeviceEntry,
    HarmEntry,
    History,
    MarkEntry,
    OddEntry,
    OverEntry,
    PersonEntry,
    SendEntry,
    StoredEntry,
    TickEntry,
    TrimmedEntry,
    ViewEntry,
    decode,
    line,
    read,
)

_ALL = -1
"""In place of a village: an entry that concerns everybody."""


class VillageHistory(NamedTuple):
    """The part of a history that concerns one village, and which lines of the whole those were, counted from 0."""

    history: History
    places: array[int]


def village_histories(path: Path) -> Iterator[VillageHistory]:
    """A history from its file, village by village. Raises `OSError`, `BadHistory`."""
    with tempfile.TemporaryDirectory(prefix="duologue-history-") as folder:
        for part in _sorted(path, Path(folder)):
            yield _village_history(part)
            part.unlink()


def _sorted(path: Path, folder: Path) -> list[Path]:
    """One file for each village: the line's number in the whole, and the line."""
    sorter = _Sorter()
    with contextlib.ExitStack() as stack:
        files: dict[int, IO[bytes]] = {0: stack.enter_context((folder / "0").open("wb"))}
        for place, (at, entry) in enumerate(read(path)):
            village = sorter.village(entry)
            if village not in files and village != _ALL:
                files[village] = stack.enter_context((folder / str(village)).open("wb"))
            text = b"%d " % place + line(at, entry) + b"\n"
            if village == _ALL:
                sorter.concerning_all.append(text)
            else:
                files[village].write(text)
        # Something odd is told once.
        for number, file in enumerate(files.values()):
            for text in sorter.concerning_all:
                if number == 0 or b'"what":"odd"' not in text:
                    file.write(text)
    return [folder / str(village) for village in files]


class _Sorter:
    """Knows which village an entry concerns, from what it has seen before."""

    def __init__(self) -> None:
        # A history that was cut short may speak of somebody whom it doesn't introduce.
        self._users: dict[str, int] = defaultdict(int)
        self._devices: dict[int, int] = defaultdict(int)
        self._attempts: dict[int, int] = defaultdict(int)
        self.concerning_all: list[bytes] = []

    def village(self, entry: AnyEntry) -> int:
        if isinstance(entry, HarmEntry | TrimmedEntry | TickEntry | OddEntry | OverEntry):
            return _ALL
        if isinstance(entry, PersonEntry):
            self._users[entry.user] = entry.village
        if isinstance(entry, DeviceEntry):
            self._devices[entry.device] = self._users[entry.user]
        if isinstance(entry, SendEntry | MarkEntry):
            self._attempts[entry.n] = self._devices[entry.device]
        if isinstance(entry, ChatEntry):
            return self._users[entry.one]
        if isinstance(entry, StoredEntry):
            return self._users[entry.reader]
        if (user := getattr(entry, "user", None)) is not None:
            return self._users[user]
        if (device := getattr(entry, "device", None)) is not None:
            return self._devices[device]
        return self._attempts[getattr(entry, "n", 0)]


def _village_history(path: Path) -> VillageHistory:
    found = []
    with path.open("rb") as file:
        for text in file:
            place, _, rest = text.partition(b" ")
            found.append((int(place), *decode(rest)))
    found.sort(key=lambda each: each[0])
    places = array("q", [place for place, _, _ in found])
    ids = {entry.client_id for _, _, entry in found if isinstance(entry, SendEntry)}
    history = History()
    for _, at, entry in found:
        history.note(at, _in_its_village(entry, places, ids))
    return VillageHistory(history, places)


def _in_its_village(entry: AnyEntry, places: array[int], ids: set[str]) -> AnyEntry:
    """Count as the piece does what counts entries, and leave out what others have not had answered."""
    if isinstance(entry, ConnectedEntry | ViewEntry | AcceptedEntry):
        return replace(entry, since=bisect_left(places, entry.since))
    if isinstance(entry, OverEntry):
        return OverEntry(tuple(each for each in entry.unanswered if each in ids))
    return entry
