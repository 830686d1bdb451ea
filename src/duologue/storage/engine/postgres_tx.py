"""Statements in a transaction on PostgreSQL, over libpq itself.

Of what a statement takes with psycopg's cursors most is making the cursor, and waiting in Python. What it is really
good at, turning values into PostgreSQL's and back, is used here too (https://www.psycopg.org/psycopg3/docs/advanced/
adapt.html).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import psycopg
from psycopg import errors as pg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.types.numeric import Int8Dumper

from duologue.errors import ApiError
from duologue.model import Event, Presets
from duologue.storage.database import Row, UniqueViolation
from duologue.storage.engine.waiting import PATIENCE

LOG_LOCK: Final = 7237961
"""The same number as in the migration that makes `duologue_append`."""
_MOST_PREPARED: Final = 300
"""Statements of one connection; what comes later is sent whole each time."""
_INSERTS_ROWS: Final = re.compile(r"INSERT INTO [^?]* VALUES \([^()]*\)$")
_ROWS_AT_ONCE: Final = 128
"""Rows of one statement."""
_NO_PRESETS: Final = Presets()
_DONE: Final = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class StatementRunner:
    """Runs statements over a connection without a cursor, and prepares those that come again."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        # Of one size: a statement would have to be prepared anew for each size that a number may have.
        connection.adapters.register_dumper(int, Int8Dumper)
        self._adapt = Transformer(connection)
        self._pgconn = connection.pgconn
        self._threshold = connection.prepare_threshold
        self._uses: dict[tuple[bytes, tuple[int, ...]], int] = {}
        self._names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}

    def query(self, sql: str, params: Mapping[str, Any]) -> PGresult:
        """Run a statement with `:name` for each parameter. Raises `psycopg.Error`."""
        command, names = _numbered(sql)
        adapt = self._adapt
        values = adapt.dump_sequence([params[name] for name in names], [PyFormat.AUTO] * len(names))
        return self.run(command, values, adapt.types or (), adapt.formats)

    def insert(self, sql: str, rows: Sequence[Row]) -> None:
        """Run an INSERT that ends with the places of one row, written as `?`, for many. Raises `psycopg.Error`."""
        values = list(chain.from_iterable(rows))
        adapt = self._adapt
        dumped = adapt.dump_sequence(values, [PyFormat.AUTO] * len(values))
        self.run(_of_rows(sql, len(rows)), dumped, adapt.types or (), adapt.formats)

    def run(
        self,
        command: bytes,
        values: Sequence[Any],
        types: Sequence[int] = (),
        formats: Sequence[Format] | None = None,
    ) -> PGresult:
        """Run a statement with values as PostgreSQL writes them for `$1` and so on. Raises `psycopg.Error`."""
        name = self._prepared(command, tuple(types))
        if name:
            return self.checked(self._pgconn.exec_prepared(name, values, formats))
        return self.checked(self._pgconn.exec_params(command, values, types or None, formats))

    def command(self, command: bytes) -> PGresult:
        """Run a statement without parameters. Raises `psycopg.Error`."""
        return self.checked(self._pgconn.exec_(command))

    def rows(self, result: PGresult) -> list[Row]:
        """Rows that a query has found."""
        self._adapt.set_pgresult(result)
        return self._adapt.load_rows(0, result.ntuples, tuple)

    def checked(self, result: PGresult) -> PGresult:
        """A result that is none of a failure. Raises `psycopg.Error`."""
        if result.status in _DONE:
            return result
        if self._pgconn.status != ConnStatus.OK:
            raise psycopg.OperationalError(result.get_error_message() or "the connection is lost")
        raise pg.error_from_result(result, encoding="utf-8")

    def _prepared(self, *statement: *tuple[bytes, tuple[int, ...]]) -> bytes | None:
        """The name of a statement that has come often enough."""
        name = self._names.get(statement)
        if name or self._threshold is None or len(self._names) >= _MOST_PREPARED:
            return name
        uses = self._uses[statement] = self._uses.get(statement, 0) + 1
        if uses <= self._threshold:
            return None
        command, types = statement
        name = b"duologue_%d" % len(self._names)
        self.checked(self._pgconn.prepare(name, command, types or None))
        self._names[statement] = name
        return name


@lru_cache(maxsize=512)
def _numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """`$1` and so on for each `:name`, and the names in that order."""
    names: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        return f"${names.setdefault(found[1], len(names) + 1)}"

    return re.sub(r":([a-z_]\w*)", place, sql).encode(), tuple(names)


@lru_cache(maxsize=512)
def _of_rows(sql: str, count: int) -> bytes:
    """An INSERT with the places of so many rows, numbered."""
    before, row = sql.split(" VALUES ")
    places = iter(range(1, 1 + count * row.count("?")))
    numbered = re.sub(r"\?", lambda _: f"${next(places)}", ", ".join([row] * count))
    return f"{before} VALUES {numbered}".encode()


class PostgresTx:
    """`Tx` over one connection that is in a transaction."""

    def __init__(
        self, line: StatementRunner, order: threading.Lock | None = None, presets: Presets = _NO_PRESETS
    ) -> None:
        self._line = line
        self.presets = presets
        self._order = order
        self._ordered = False
        self.emitted: list[Event] = []

    def _query(self, sql: str, params: dict[str, Any]) -> PGresult:
        try:
            return self._line.query(sql, params)
        except pg.UniqueViolation as fault:
            raise UniqueViolation from fault
        except pg.NumericValueOutOfRange as fault:
            raise ApiError("log_full") from fault

    def one(self, sql: str, **params: Any) -> Row | None:
        return next(iter(self._line.rows(self._query(sql, params))), None)

    def all(self, sql: str, **params: Any) -> list[Row]:
        return self._line.rows(self._query(sql, params))

    def run(self, sql: str, **params: Any) -> int:
        return self._query(sql, params).command_tuples or 0

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        """Rows that are inserted go many to a statement: each costs a small part of a statement of its own."""
        try:
            if _INSERTS_ROWS.match(sql):
                self._insert(sql, list(rows))
                return
            with self._line.connection.cursor() as cursor:
                cursor.executemany(sql.replace("?", "%s"), list(rows))
        except pg.UniqueViolation as fault:
            raise UniqueViolation from fault

    def _insert(self, sql: str, rows: Sequence[Row]) -> None:
        done = 0
        while done < len(rows):
            # In powers of two, so that there are few statements to prepare.
            count = min(_ROWS_AT_ONCE, 1 << (len(rows) - done).bit_length() - 1)
            self._line.insert(sql, rows[done : done + count])
            done += count

    def lock_logs(self) -> None:
        """Raises `LockNotAvailable` when that takes too long."""
        if self._order and not self._ordered:
            # Events of one node are told in the order of their commits: this one goes through first.
            if not self._order.acquire(timeout=PATIENCE):
                raise pg.LockNotAvailable("another thread of this node waits for the event logs")
            self._ordered = True
        self._line.command(b"SELECT pg_advisory_xact_lock(%d)" % LOG_LOCK)

    def emit(self, events: Iterable[Event]) -> None:
        self.emitted.extend(events)

    def let_go(self) -> None:
        """Its events are on their way: the next may go through."""
        if self._order and self._ordered:
            self._order.release()
            self._ordered = False
