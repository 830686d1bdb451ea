"""The embedded engine: SQLite in WAL mode, fsync on every commit, one writer thread, a few readers."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from duologue.clock import Clock
from duologue.errors import overloaded
from duologue.model import Event, Presets
from duologue.storage.append.append import append
from duologue.storage.append.batch import Batch, Stored
from duologue.storage.append.batch_loader import BatchedRead, answer
from duologue.storage.append.group import Group, StoreUnavailable
from duologue.storage.append.joined import JoinedWrite, write_joined
from duologue.storage.database import (
    AlarmRule,
    CommitListener,
    Done,
    OneShard,
    Operation,
    Probe,
    Row,
    StoreHealth,
    Tx,
    UniqueViolation,
    Unit,
)
from duologue.storage.engine.checkpoint import Checkpointer
from duologue.storage.engine.durability import check_sqlite
from duologue.storage.engine.migrate import Migration, pending
from duologue.storage.engine.pool import Pool
from duologue.storage.engine.writer import Writer
from duologue.storage.tables.messages import find_post, last_seqs

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")

_log = logging.getLogger(__name__)

_READERS: Final = 4  # connections
_READS_AT_ONCE: Final = 8  # reads
_CAPACITY: Final = 20_000  # operations that wait
_BATCH_LIMIT: Final = 1_000  # operations
_UNIQUE: Final = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PATIENCE: Final = 10.0
"""Seconds that a command waits for another process's write."""
_SERVER_PATIENCE: Final = 4.0
"""Seconds that the server does: its callers wait for 5 at most."""
_PAUSE: Final = 0.01  # seconds
_READER_CACHE: Final = 8_192
"""KiB of the file that a connection keeps in memory. The kernel keeps the file, too."""
_WRITER_CACHE: Final = 32_768
"""KiB that the writer keeps: it changes pages of all who are active."""
_NO_PRESETS: Final = Presets()
_PARAMETER: Final = re.compile(r":([a-z_]\w*)")
_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",
    f"PRAGMA busy_timeout = {_PATIENCE * 1000:.0f}",
    f"PRAGMA cache_size = -{_READER_CACHE}",
    "PRAGMA temp_store = MEMORY",
    # 256 MB, in case that the checkpointer can't keep up.
    "PRAGMA wal_autocheckpoint = 64000",
)


def connect(path: Path) -> sqlite3.Connection:
    """A connection as this engine uses it: no implicit transactions, durable commits. Raises `NotDurable`."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    _enter_wal(connection)
    check_sqlite(connection)
    return connection


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Use the write-ahead log. Two that change a new file's mode at once aren't made to wait by `busy_timeout`."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


@lru_cache(maxsize=1024)
def _positional(sql: str) -> tuple[str, list[str]]:
    """Return `?` for each `:name`, and the names in that order.

    For each value that is bound by its name, SQLite goes through the names of all before it: a list of hundreds costs
    more than the rows that it finds.
    """
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        names.append(sys.intern(found[1]))
        return "?"

    return _PARAMETER.sub(place, sql), names


class SqliteTx:
    """`Tx` over one connection."""

    def __init__(self, connection: sqlite3.Connection, presets: Presets = _NO_PRESETS) -> None:
        self._connection = connection
        self.presets = presets
        self.emitted: list[Event] = []

    def _execute(self, sql: str, params: dict[str, Any]) -> sqlite3.Cursor:
        text, names = _positional(sql)
        return self._connection.execute(text, [params[name] for name in names])

    def one(self, sql: str, **params: Any) -> Row | None:
        row: Row | None = self._execute(sql, params).fetchone()
        return row

    def all(self, sql: str, **params: Any) -> list[Row]:
        return self._execute(sql, params).fetchall()

    def run(self, sql: str, **params: Any) -> int:
        try:
            return self._execute(sql, params).rowcount
        except sqlite3.IntegrityError as fault:
            raise _explained(fault) from fault

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.IntegrityError as fault:
            raise _explained(fault) from fault

    def lock_logs(self) -> None:
        """Nothing to do: a writing transaction is alone in the file."""

    def emit(self, events: Iterable[Event]) -> None:
        self.emitted.extend(events)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block wrote, and forget what it emitted, if it raises."""
        told = len(self.emitted)
        self._connection.execute("SAVEPOINT unit")
        try:
            yield
        except BaseException:
            del self.emitted[told:]
            self._connection.execute("ROLLBACK TO unit")
            self._connection.execute("RELEASE unit")
            raise
        self._connection.execute("RELEASE unit")


def _explained(fault: sqlite3.IntegrityError) -> Exception:
    return UniqueViolation() if fault.sqlite_errorcode in _UNIQUE else fault


class SqliteDatabase(OneShard):
    """`Database` in one file. Several processes may open it; SQLite's lock orders their writers."""

    def __init__(
        self, path: Path, clock: Clock, alarms: AlarmRule | None = None, presets: Presets = _NO_PRESETS
    ) -> None:
        self._path = path
        self._clock = clock
        self._alarms = alarms
        self._presets = presets
        self._writer = Writer(
            "sqlite-writer",
            self._commit,
            capacity=_CAPACITY,
            batch_limit=_BATCH_LIMIT,
            order=nullcontext(),
        )
        self._checkpointer = Checkpointer(partial(connect, path))
        self._readers = Pool(
            "sqlite-reader",
            partial(connect, path),
            self._look,
            size=_READERS,
            capacity=_CAPACITY,
            at_once=_READS_AT_ONCE,
        )

    async def open(self, listener: CommitListener) -> None:
        self._connection = await asyncio.to_thread(connect, self._path)
        self._connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE}")
        self._connection.execute(f"PRAGMA busy_timeout = {_SERVER_PATIENCE * 1000:.0f}")
        self._readers.start()
        self._checkpointer.start()
        self._writer.start(asyncio.get_running_loop(), listener)

    async def close(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._checkpointer.close)
        await self._readers.close()
        await asyncio.to_thread(self._connection.close)

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._readers.run(lambda tx: fn(tx, *args, **kwargs))
        return result

    async def find(self, fn: Callable[[Tx, Sequence[K]], Mapping[K, T]], key: K) -> T | None:
        found: T | None = await self._readers.run(BatchedRead(fn, key))
        return found

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._writer.run(lambda tx: fn(tx, *args, **kwargs))
        return result

    async def join(self, fn: Callable[[Tx, Sequence[K]], Sequence[T | Exception]], item: K) -> T:
        outcome: T = await self._writer.run(JoinedWrite(fn, item))
        return outcome

    async def time(self) -> int | None:
        return None

    def append(self, operation: Operation, done: Done) -> None:
        self._writer.submit(Unit(operation, done))

    @property
    def health(self) -> StoreHealth:
        return self._writer.health

    @property
    def is_crowded(self) -> bool:
        return self._writer.is_crowded

    async def probe(self, work: Callable[[Tx], None]) -> None:
        await self._writer.run(Probe(work))

    def _commit(self, units: Sequence[Unit]) -> Sequence[Event]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            events = self._apply(SqliteTx(connection, self._presets), units)
            connection.execute("COMMIT")
            self._checkpointer.wrote(connection, len(units))
        except (sqlite3.Error, StoreUnavailable) as fault:
            # A full disk ends the transaction by itself; a busy one leaves it open.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            _log.error("a batch of %d was not committed: %s", len(units), fault)
            self.health.damaged |= _is_damage(fault)
            raise overloaded("The store refused the write") from fault
        self._explain_damage(units)
        return events

    def _look(self, connection: sqlite3.Connection, units: Sequence[Unit]) -> None:
        """Reads of one moment."""
        connection.execute("BEGIN")
        try:
            answer(SqliteTx(connection, self._presets), units)
        finally:
            connection.execute("ROLLBACK")
        self._explain_damage(units)

    def _explain_damage(self, units: Sequence[Unit]) -> None:
        """Say `overloaded` to those who came upon a damaged page; the others have what they asked for."""
        for unit in units:
            if isinstance(unit.result, sqlite3.DatabaseError) and _is_damage(unit.result):
                _log.error("a page of %s is damaged: %s", self._path.name, unit.result)
                self.health.damaged = True
                unit.result = overloaded("This part of the store is damaged")

    def _apply(self, tx: SqliteTx, units: Sequence[Unit]) -> list[Event]:
        store = partial(_store, tx, self._alarms)
        group = Group(store, partial(find_post, tx), partial(last_seqs, tx), self._clock)
        posted = [unit for unit in units if isinstance(unit.work, Operation)]
        for unit, outcome in zip(posted, group.commit([unit.work for unit in posted]), strict=True):
            unit.result = outcome
        joined = [unit for unit in units if isinstance(unit.work, JoinedWrite)]
        write_joined(joined, partial(_undoable, tx), (sqlite3.OperationalError,))
        for unit in units:
            if not isinstance(unit.work, Operation | JoinedWrite):
                _call(tx, unit)
        return group.events + tx.emitted


def _store(tx: SqliteTx, alarms: AlarmRule | None, batch: Batch) -> Stored:
    try:
        with tx.savepoint():
            return append(tx, batch, alarms)
    except sqlite3.OperationalError as fault:
        raise StoreUnavailable from fault


def _is_damage(fault: Exception) -> bool:
    return getattr(fault, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def _undoable(tx: SqliteTx, work: Callable[[Tx], T]) -> T:
    """Run a storage function in a savepoint: what it wrote before it failed is undone."""
    with tx.savepoint():
        return work(tx)


def _call(tx: SqliteTx, unit: Unit) -> None:
    """Run one caller's storage function, so that its failure is its own."""
    try:
        unit.result = _undoable(tx, unit.work)
    except sqlite3.OperationalError:
        raise
    except Exception as fault:  # noqa: BLE001 - it belongs to the caller
        unit.result = fault


def migrate(path: Path) -> list[Migration]:
    """Bring the schema up to date, making the file if need be; the steps that were taken."""
    # Made by us, so that nobody else on this machine can read what people write.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    connection = connect(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        steps = pending("sqlite", connection.execute("PRAGMA user_version").fetchone()[0])
        for step in steps:
            for statement in _statements(step.sql):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {step.number}")
        connection.execute("COMMIT")
    finally:
        connection.close()
    return steps


def _statements(script: str) -> Iterator[str]:
    """The single statements of a script: `executescript` would commit our transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
