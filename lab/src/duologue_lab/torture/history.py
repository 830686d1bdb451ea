"""The history of a run: everything that a client said or saw, in the order in which it did.

Only what a client can know stands here. An attempt is written down before it is made, an answer after it came;
so whatever stands before an attempt had happened when it was made.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec


def _tag(name: str) -> str:
    """Return the `what` of an entry's line, by its class's name: `sent` for `SentEntry`."""
    return name.removesuffix("Entry").lower()


class Entry(msgspec.Struct, frozen=True, gc=False, tag_field="what", tag=_tag, omit_defaults=True):
    """One thing that was said or seen."""


class PersonEntry(Entry, frozen=True):
    """A user of the run, new to the server; `shows_read`: whether peers may see what they have read.

    `village`: people have chats with those of their own alone.
    """

    user: str
    phone: str
    shows_read: bool = True
    village: int = 0


class DeviceEntry(Entry, frozen=True):
    """A signed-in device, and the way in which it follows its user's log."""

    device: int
    user: str
    session: str
    way: str


class ChatEntry(Entry, frozen=True):
    """Two users may see this chat, and nobody else.

    `closed`: `other` takes messages of nobody whom it hasn't accepted, and has not accepted `one`.
    """

    chat: str
    one: str
    other: str
    closed: bool = False


class AcceptedEntry(Entry, frozen=True):
    """A user has accepted a chat; it was asked for when the history had `since` entries."""

    user: str
    chat: str
    since: int


class ConnectedEntry(Entry, frozen=True):
    """A connection stands: it resumes after an event, and the server says which is the newest.

    Its `hello` was said when the history had `since` entries.
    """

    device: int
    connection: int
    node: int
    since: int
    after: int
    latest: int


class ListeningEntry(Entry, frozen=True):
    """A device waits for news over a long poll or an event stream, until its connection ends."""

    device: int
    connection: int
    node: int


class SkippedEntry(Entry, frozen=True):
    """A device was told (`code`) that its log can't be followed from `after`: it goes on after `latest`."""

    device: int
    code: str
    after: int
    latest: int


class EndedEntry(Entry, frozen=True):
    """A connection is over; the close code if there was one."""

    device: int
    connection: int
    code: int | None = None


class SendEntry(Entry, frozen=True):
    """Attempt number `n`: a message. `connection` is 0 for HTTP."""

    n: int
    device: int
    connection: int
    chat: str
    client_id: str
    text: str


class SentEntry(Entry, frozen=True):
    """Attempt `n` was acknowledged: the message as the server says it stands; `fresh`: not a repeat."""

    n: int
    seq: int
    text: str
    fresh: bool


class MarkEntry(Entry, frozen=True):
    """Attempt `n`: `kind` is `ack` (of the log up to `seq`), `delivered` or `read` (of the chat up to `seq`)."""

    n: int
    device: int
    kind: str
    chat: str
    seq: int


class MarkedEntry(Entry, frozen=True):
    """The mark of attempt `n` was acknowledged."""

    n: int


class RefusedEntry(Entry, frozen=True):
    """Attempt `n` was answered by an error."""

    n: int
    code: str


class EventEntry(Entry, frozen=True):
    """A device was given an event, which is `about` a chat, a user or a session.

    `who`: the sender, or whose marks these are. `a` and `b`: the message's seq, or delivered and read.
    """

    device: int
    seq: int
    type: str
    at: str
    about: str
    who: str = ""
    a: int = 0
    b: int = 0
    client_id: str = ""
    text: str = ""


class ViewEntry(Entry, frozen=True):
    """A chat as its user saw it; asked for when the history had `since` entries."""

    user: str
    chat: str
    since: int
    last_seq: int
    unread: int
    delivered: int
    read: int
    peer_delivered: int
    peer_read: int


class PeekEntry(Entry, frozen=True):
    """Somebody asked for a chat that isn't theirs, and got this status."""

    user: str
    chat: str
    status: int


class LoggedEntry(Entry, frozen=True):
    """Read back at the end: an event of a user's log. The fields are those of `EventEntry`."""

    user: str
    seq: int
    type: str
    at: str
    about: str
    who: str = ""
    a: int = 0
    b: int = 0
    client_id: str = ""
    text: str = ""


class StoredEntry(Entry, frozen=True):
    """Read back at the end by one of its two: a message of a chat."""

    reader: str
    chat: str
    seq: int
    sender: str
    client_id: str
    text: str


class WholeEntry(Entry, frozen=True):
    """All of a chat, as this user sees it, has been read back; without a chat: all of the user's log."""

    user: str
    chat: str = ""


class HarmEntry(Entry, frozen=True):
    """Something was done to the system, and to what.

    `kill`, `stop`, `freeze` and `lock` last until `start`, `thaw` or `unlock` of the same thing. `copy`: from now on
    a copy of the store is made. `restore`: the newest copy stands in the store's place. `cut` is of a connection.
    """

    deed: str
    to: str


class TrimmedEntry(Entry, frozen=True):
    """From now on, events older than this time may be dropped from the logs."""

    before: str


class TickEntry(Entry, frozen=True):
    """The run's own clock, in seconds: ten times a second, unless the run itself is held up."""

    at: float


class UndoneEntry(Entry, frozen=True):
    """In place of an entry that says nothing any more, since the store was restored. Never written down."""


class OddEntry(Entry, frozen=True):
    """Something that should never happen, whatever is done to the system."""

    where: str
    says: str


class OverEntry(Entry, frozen=True):
    """The end; `unanswered`: messages that nobody could get acknowledged in time."""

    unanswered: tuple[str, ...] = ()


AnyEntry = (
    PersonEntry
    | DeviceEntry
    | ChatEntry
    | AcceptedEntry
    | ConnectedEntry
    | ListeningEntry
    | SkippedEntry
    | EndedEntry
    | SendEntry
    | SentEntry
    | MarkEntry
    | MarkedEntry
    | RefusedEntry
    | EventEntry
    | ViewEntry
    | PeekEntry
    | LoggedEntry
    | StoredEntry
    | WholeEntry
    | HarmEntry
    | TrimmedEntry
    | TickEntry
    | UndoneEntry
    | OddEntry
    | OverEntry
)

_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(tuple[float, AnyEntry]).decode


class History:
    """Append-only. With a file, each entry is also written there at once, as a line of JSON: its second, and it.

    If it does not `keep` its entries, they are in the file alone: a long run has more of them than fit into memory.
    """

    def __init__(self, file: IO[bytes] | None = None, *, keep: bool = True) -> None:
        self.entries: list[AnyEntry] = []
        self.times = array("d")
        self.keeps = keep
        self._count = 0
        self._file = file
        self._began = time.monotonic()

    def __len__(self) -> int:
        return self._count

    def add(self, entry: AnyEntry) -> None:
        """Note what happens now."""
        self.note(time.monotonic() - self._began, entry)

    def tick(self) -> None:
        """Note the time."""
        now = time.monotonic() - self._began
        self.note(now, TickEntry(round(now, 3)))

    def note(self, at: float, entry: AnyEntry) -> None:
        """Note what happened at a second of the run."""
        self._count += 1
        if self.keeps:
            self.entries.append(entry)
            self.times.append(at)
        if self._file:
            self._file.write(line(at, entry) + b"\n")


def line(at: float, entry: AnyEntry) -> bytes:
    """An entry as it stands in a file and in a verdict."""
    return _encode((round(at, 4), entry))


class BadHistory(Exception):
    """The file isn't a history; the message tells the line."""


def load(path: Path) -> History:
    """A history from its file. Raises `OSError`, `BadHistory`."""
    history = History()
    for at, entry in read(path):
        history.note(at, entry)
    return history


def read(path: Path) -> Iterator[tuple[float, AnyEntry]]:
    """Go through a history's file: the second and the entry of each line. Raises `OSError`, `BadHistory`."""
    for number, text in enumerate(_lines(path), 1):
        try:
            yield decode(text)
        except msgspec.MsgspecError as fault:
            raise BadHistory(f"line {number} of {path}: {fault}") from fault


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file
