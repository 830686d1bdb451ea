"""Reading of a damaged SQLite file, and the keys that are lost with its unreadable pages.

Each table is a tree of pages in the order of its key. Reading breaks off at a page that is damaged, so a table is
read from both ends. In the gap between them are the rows of that page, and readable rows if there are several such
pages: those are looked for by ids that other tables name.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from duologue.storage.database import Row

_PROBES: Final = 200
"""Ids that are tried in one gap."""

Key = tuple[Any, ...]


class Table(NamedTuple):
    """A table, the columns of its key, and all its columns."""

    name: str
    key: Sequence[str]
    columns: Sequence[str]

    @property
    def width(self) -> int:
        """Number of columns of the key."""
        return len(self.key)


class Gap(NamedTuple):
    """Keys between which rows can't be read; None is an end of the table."""

    table: Table
    after: Key | None
    before: Key | None


def tables(connection: sqlite3.Connection) -> list[Table]:
    """Return all tables of a database. Raises `sqlite3.DatabaseError`."""
    names = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY rootpage")
    return [_table(connection, name, sql) for name, sql in names.fetchall() if not name.startswith("sqlite_")]


def _table(connection: sqlite3.Connection, name: str, sql: str) -> Table:
    described = connection.execute(f"PRAGMA table_info({name})").fetchall()
    columns = [row[1] for row in described]
    key = [row[1] for row in sorted(described, key=lambda row: row[5]) if row[5]]
    has_rowid = "WITHOUT ROWID" not in sql.upper()
    return Table(name, ["rowid"] if has_rowid else key, columns)


class Salvage:
    """Reads tables as far as that can be done; `gaps` are what could not be read so far.

    `ids` are those under which rows of a table may be found: values of the key's first column.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.gaps: list[Gap] = []

    def rows(self, table: Table, ids: Callable[[], Sequence[int]]) -> Iterator[tuple[Key, Row]]:
        """Yield the key and the columns of each readable row, in no particular order."""
        ranges: list[tuple[Key | None, Key | None]] = [(None, None)]
        while ranges:
            after, before = ranges.pop()
            for key, row in (scan := _Scan(self._connection, table, after, before, descending=False)):
                after = key
                yield key, row
            if not scan.broken:
                continue
            for key, row in _Scan(self._connection, table, after, before, descending=True):
                before = key
                yield key, row
            found = self._probe(table, after, before, ids())
            if found is None:
                self.gaps.append(Gap(table, after, before))
            else:
                yield found
                ranges += [(after, found[0]), (found[0], before)]

    def _probe(
        self, table: Table, after: Key | None, before: Key | None, ids: Sequence[int]
    ) -> tuple[Key, Row] | None:
        """Return a readable row between two keys, or None."""
        low = bisect_right(ids, after[0]) if after else 0
        high = bisect_left(ids, before[0]) if before else len(ids)
        step = max(1, (high - low) // _PROBES)
        for index in range(low, high, step):
            # Just below the first row that has this id.
            floor = (ids[index] - 1, *[_AFTER_ALL] * (table.width - 1))
            for found in _Scan(self._connection, table, floor, before, descending=False):
                return found
        return None


_AFTER_ALL: Final = b"\xff"
"""Greater than any number, in SQLite's order of types."""


class _Scan:
    """Rows between two keys in one direction, until the end or until a page can't be read (`broken`)."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        table: Table,
        after: Key | None,
        before: Key | None,
        *,
        descending: bool,
    ) -> None:
        self._connection = connection
        self._table = table
        self._bounds = (after, before)
        self._descending = descending
        self.broken = False

    def __iter__(self) -> Iterator[tuple[Key, Row]]:
        width = self._table.width
        try:
            for row in self._connection.execute(*self._statement()):
                self._pass(row[:width])
                yield row[:width], row[width:]
        except sqlite3.DatabaseError:
            self.broken = True
            # A cursor steps to the next row before it gives one (`pysqlite_cursor_iternext` of Python 3.11.7), so
            # with the error it lost the row before the damage.
            for row in self._last():
                yield row[:width], row[width:]

    def _pass(self, key: Key) -> None:
        after, before = self._bounds
        self._bounds = (after, key) if self._descending else (key, before)

    def _last(self) -> list[Row]:
        """Read the one row that follows, if it can be read."""
        sql, values = self._statement()
        try:
            return self._connection.execute(f"{sql} LIMIT 1", values).fetchall()
        except sqlite3.DatabaseError:
            return []

    def _statement(self) -> tuple[str, list[Any]]:
        key = ", ".join(self._table.key)
        marks = ", ".join("?" * self._table.width)
        after, before = self._bounds
        conditions: list[str] = ["1"]
        values: list[Any] = []
        for sign, bound in ((">", after), ("<", before)):
            if bound is not None:
                conditions.append(f"({key}) {sign} ({marks})")
                values += bound
        direction = "DESC" if self._descending else "ASC"
        order = ", ".join(f"{column} {direction}" for column in self._table.key)
        columns = ", ".join(self._table.columns)
        selected = f"SELECT {key}, {columns} FROM {self._table.name} NOT INDEXED"
        return f"{selected} WHERE {' AND '.join(conditions)} ORDER BY {order}", values


def damaged_pages(connection: sqlite3.Connection, most: int) -> list[str]:
    """Return what SQLite itself finds wrong with the file's structure, at most so many sentences."""
    try:
        found = connection.execute(f"PRAGMA quick_check({most})").fetchall()
    except sqlite3.DatabaseError as fault:
        return [str(fault)]
    return [row[0] for row in found if row[0] != "ok"]
