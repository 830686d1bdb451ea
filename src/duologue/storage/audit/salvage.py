"""Salvage: what a damaged SQLite file has lost, chat by chat, and a copy of everything else."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from duologue.model import Subject, kinds_about
from duologue.storage.audit.damage import Gap, Key, Salvage, Table, damaged_pages, tables
from duologue.storage.audit.snapshot import CannotRead, check_version
from duologue.storage.database import Row
from duologue.storage.engine import sqlite

_AT_ONCE: Final = 1_000
"""Rows that are written at once."""
_PAGES_TOLD: Final = 20
"""Damaged pages that are told of."""
_NAMED: Final = 1_000
"""Chats or users of one gap that are named."""

Copied = Callable[[Table, Sequence[Row]], None]


class CannotSalvage(Exception):
    """The new file can't be written; the message says why."""


class Salvaged(msgspec.Struct):
    """Number of rows read of each table, and a sentence for each thing that could not be read."""

    counts: Counter[str]
    losses: list[str]


def examine(path: Path) -> Salvaged:
    """Find out what can't be read any more. Raises `CannotRead` when that is everything."""
    with _opened(path) as connection:
        found = _read_all(connection, lambda _table, _rows: None)
        found.losses += [f"the file: {said}" for said in damaged_pages(connection, _PAGES_TOLD)]
        return found


def has_damaged_pages(path: Path) -> bool:
    """Return whether the structure of the file is broken somewhere.

    Raises `CannotRead`, `SchemaTooOld`, `SchemaTooNew`.
    """
    with _opened(path) as connection:
        return bool(damaged_pages(connection, 1))


def salvage(path: Path, target: Path) -> Salvaged:
    """Copy all that can be read to a new file.

    Raises `CannotRead`, `CannotSalvage`, `SchemaTooOld`, `SchemaTooNew`.
    """
    if target.exists():
        raise CannotSalvage(f"{target} exists already")
    with _opened(path) as connection, _new(target) as copy:
        found = _read_all(connection, lambda table, rows: _write(copy, table, rows))
        try:
            _mend(copy)
            copy.execute("COMMIT")
        except sqlite3.Error as fault:
            raise CannotSalvage(f"{target}: {fault}") from fault
    return found


@contextlib.contextmanager
def _new(target: Path) -> Iterator[sqlite3.Connection]:
    """A new file with the schema, in a transaction. Raises `CannotSalvage`."""
    try:
        sqlite.migrate(target)
        connection = sqlite.connect(target)
        connection.execute("BEGIN")
    except (OSError, sqlite3.Error) as fault:
        raise CannotSalvage(f"{target}: {fault}") from fault
    with contextlib.closing(connection):
        yield connection


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    address = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            check_version("sqlite", connection.execute("PRAGMA user_version").fetchone()[0])
            yield connection
    except sqlite3.DatabaseError as fault:
        raise CannotRead(f"{path}: {fault}") from fault


def _read_all(connection: sqlite3.Connection, copied: Copied) -> Salvaged:
    found = Salvaged(Counter(), [])
    known = _Known(connection)
    for table in tables(connection):
        reader = Salvage(connection)
        rows: list[Row] = []
        for _, row in reader.rows(table, lambda table=table: known.ids(table)):  # type: ignore[misc]
            rows.append(row)
            if len(rows) == _AT_ONCE:
                found.counts[table.name] += len(rows)
                copied(table, rows)
                rows = []
        found.counts[table.name] += len(rows)
        copied(table, rows)
        for gap in reader.gaps:
            found.losses += known.tell(gap)
    return found


def _write(copy: sqlite3.Connection, table: Table, rows: Sequence[Row]) -> None:
    marks = ", ".join("?" * len(table.columns))
    # A row that a damaged page shows twice can be kept once.
    statement = f"INSERT OR IGNORE INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"
    try:
        copy.executemany(statement, rows)
    except sqlite3.Error as fault:
        raise CannotSalvage(f"{table.name}: {fault}") from fault


def _mend(copy: sqlite3.Connection) -> None:
    """Have each user's log begin after the last hole in it: clients fetch anew what is before, and can go on."""
    copy.execute(
        "INSERT OR IGNORE INTO logs (user_id, last_seq, floor)"
        " SELECT id, coalesce((SELECT max(seq) FROM events WHERE user_id = users.id), 0), 0 FROM users"
        " WHERE deleted_at IS NULL"
    )
    copy.execute(
        f"DELETE FROM events WHERE kind IN {kinds_about(Subject.MESSAGE)}"
        " AND NOT EXISTS (SELECT 1 FROM messages x WHERE x.chat_id = events.ref AND x.seq = events.a)"
    )
    copy.execute(
        f"DELETE FROM events WHERE kind IN {kinds_about(Subject.MESSAGE, Subject.RECEIPT)}"
        " AND NOT EXISTS (SELECT 1 FROM chats c WHERE c.id = events.ref)"
    )
    copy.execute(
        "UPDATE logs SET floor_at = NULL, floor = max(floor, coalesce("
        "(SELECT max(e.seq) FROM events e WHERE e.user_id = logs.user_id"
        " AND NOT EXISTS (SELECT 1 FROM events f WHERE f.user_id = e.user_id AND f.seq = e.seq - 1)),"
        " last_seq + 1) - 1)"
    )
    copy.execute(
        "UPDATE logs SET floor_at = NULL, floor = last_seq WHERE last_seq <> coalesce((SELECT max(seq) FROM events e"
        " WHERE e.user_id = logs.user_id), floor)"
    )
    copy.execute(
        "DELETE FROM events WHERE seq <= (SELECT floor FROM logs WHERE logs.user_id = events.user_id)"
    )


class _Known:
    """Chats and users as far as any table names them: to find rows by, and to tell what is lost."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._by_name = {table.name: table for table in tables(connection)}
        reader = Salvage(connection)
        self._last_seqs: dict[int, int] = {}
        users: set[int] = set()
        chats: set[int] = set()
        for _, row in reader.rows(self._by_name["chats"], lambda: ()):
            chat = dict(zip(self._by_name["chats"].columns, row, strict=True))
            self._last_seqs[chat["id"]] = chat["last_seq"]
            users |= {chat["low_user"], chat["high_user"]}
        for _, row in reader.rows(self._by_name["users"], lambda: ()):
            users.add(row[0])
        for (user, chat_id), _ in reader.rows(self._by_name["members"], lambda: sorted(users)):
            users.add(user)
            chats.add(chat_id)
        self._chats = sorted(chats | set(self._last_seqs))
        self._users = sorted(users)

    def ids(self, table: Table) -> Sequence[int]:
        """Values that the first column of a table's key may have."""
        if table.name == "chats" or table.key[0] == "chat_id":
            return self._chats
        return self._users if table.name in {"users", "logs"} or table.key[0] == "user_id" else ()

    def tell(self, gap: Gap) -> Iterator[str]:
        """Yield a sentence for each chat or user of which something is lost."""
        table, after, before = gap
        ids = self.ids(table)
        kind = "chat" if ids is self._chats else "user"
        if not ids:
            yield f"{table.name}: rows can't be read{_between(after, before)}"
            return
        # With a key of several columns the edges of the gap are in the midst of what belongs to an id.
        edges = table.width > 1
        concerned = [each for each in ids if _is_within(each, after, before, edges=edges)]
        for each in concerned[:_NAMED]:
            lost = self._lost_messages(each, after, before) if table.name == "messages" else table.name
            if lost:
                yield f"{kind} {each}: {lost} can't be read"
        if not concerned or len(concerned) > _NAMED:
            yield f"{table.name}: rows can't be read{_between(after, before)}"

    def _lost_messages(self, chat: int, after: Key | None, before: Key | None) -> str:
        first = after[1] + 1 if after and after[0] == chat else 1
        last = before[1] - 1 if before and before[0] == chat else self._last_seqs.get(chat)
        if last is None:
            return f"messages from {first} on"
        return f"messages {first} to {last}" if first <= last else ""


def _is_within(each: int, after: Key | None, before: Key | None, *, edges: bool) -> bool:
    low, high = after[0] if after else None, before[0] if before else None
    if edges and each in (low, high):
        return True
    return (low is None or each > low) and (high is None or each < high)


def _between(after: Key | None, before: Key | None) -> str:
    return (f" after {after[0]}" if after else "") + (f" before {before[0]}" if before else "")
