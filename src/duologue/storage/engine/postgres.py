"""The scale-out engine: PostgreSQL. The message path is batched into one call; the rest goes over a small pool."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import psycopg
from psycopg import errors as pg

from duologue.clock import Clock
from duologue.errors import ApiError, overloaded
from duologue.model import Event, Message, Presets
from duologue.storage.append.batch import AppendResult, Batch, Stored, as_stored
from duologue.storage.append.batch_loader import BatchedRead, answer
from duologue.storage.append.group import Group, StoreUnavailable
from duologue.storage.append.joined import JoinedWrite, write_joined
from duologue.storage.append.strangers import check_path
from duologue.storage.database import (
    AlarmRule,
    CommitListener,
    Done,
    OneShard,
    Operation,
    Post,
    Probe,
    StoreHealth,
    Tx,
    UniqueViolation,
    Unit,
)
from duologue.storage.engine.durability import check_postgres
from duologue.storage.engine.migrate import Migration, SchemaTooOld, pending
from duologue.storage.engine.pool import Pool
from duologue.storage.engine.postgres_append import Appender
from duologue.storage.engine.postgres_session import (
    CircuitBreaker,
    PostgresSession,
    Watchdog,
    connect,
    connect_limited,
    retry_on_disconnect,
)
from duologue.storage.engine.postgres_tx import PostgresTx, StatementRunner
from duologue.storage.engine.writer import Writer
from duologue.storage.tables.messages import find_post, last_seqs

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")

_log = logging.getLogger(__name__)

_READERS: Final = 3  # connections
_READS_AT_ONCE: Final = 12
"""In one transaction: beginning and ending it takes longer than many a read."""
_FOUND_AT_ONCE: Final = 100  # look-ups
_GATHER: Final = 0.003
"""Seconds in which look-ups gather while they come in crowds: a statement costs little more for many than for one."""
_WRITERS: Final = 3
"""Beside the message path."""
_JOINED_AT_ONCE: Final = 128
"""Items of one transaction. Messages wait for it."""
_CAPACITY: Final = 20_000  # operations that wait
_BATCH_LIMIT: Final = 1_000  # operations
_BY_KEY: Final = (
    b"; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
)
"""Every row is found by its key. A plan made while the tables are still empty must not read them through later."""
_BEGIN_READ: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" + _BY_KEY
"""One moment for all that a function reads."""
_BEGIN_WRITE: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED" + _BY_KEY
_MIGRATION_LOCK: Final = 7237960  # any number; the key of an advisory lock
_WARY_FOR: Final = 5.0
"""Seconds in which messages may still come that the node let pass before it forgot what the store has lost."""
_DAMAGE: Final = (pg.DataCorrupted, pg.IndexCorrupted)
_RERUN: Final = (pg.SerializationFailure, pg.DeadlockDetected, UniqueViolation)
_RERUNS: Final = 5  # tries
_NO_PRESETS: Final = Presets()


@contextmanager
def _transaction(line: StatementRunner, begin: bytes) -> Iterator[None]:
    """One transaction. By libpq: psycopg's own would take longer to begin and end than most take to do their work."""
    line.command(begin)
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):
            line.command(b"ROLLBACK")
        raise
    # A transaction in which a statement failed answers COMMIT with ROLLBACK.
    if line.command(b"COMMIT").command_status != b"COMMIT":
        raise psycopg.InternalError("the transaction had failed before its end")


def _look(line: StatementRunner, units: Sequence[Unit], presets: Presets) -> None:
    with _transaction(line, _BEGIN_READ):
        answer(PostgresTx(line, presets=presets), units, (psycopg.Error,))


def _time(tx: Tx) -> int | None:
    row = tx.one("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")
    return row[0] if row else None


class PostgresDatabase(OneShard):
    """`Database` on PostgreSQL; any number of nodes share one."""

    def __init__(
        self, url: str, clock: Clock, alarms: AlarmRule | None = None, presets: Presets = _NO_PRESETS
    ) -> None:
        self._url = url
        self._clock = clock
        self._presets = presets
        self._appender = Appender(alarms, presets)
        self._closing = threading.Event()
        self._watchdog = Watchdog(url, self._closing)
        self._sends, self._reads, self._writes = CircuitBreaker(), CircuitBreaker(), CircuitBreaker()
        self._link = self._watchdog.link()
        self._order = threading.Lock()
        self._writer = Writer(
            "postgres-writer",
            self._commit,
            capacity=_CAPACITY,
            batch_limit=_BATCH_LIMIT,
            order=self._order,
        )
        self._readers = Pool(
            "postgres-reader",
            self._watchdog.link,
            self._look,
            size=_READERS,
            capacity=_CAPACITY,
            at_once=_READS_AT_ONCE,
        )
        self._finder = Pool(
            "postgres-finder",
            self._watchdog.link,
            self._look,
            size=1,
            capacity=_CAPACITY,
            at_once=_FOUND_AT_ONCE,
            linger=_GATHER,
        )
        self._writers = Pool("postgres", self._watchdog.link, self._change, size=_WRITERS, capacity=_CAPACITY)
        self._joiner = Pool(
            "postgres-joiner",
            self._watchdog.link,
            self._change_together,
            size=1,
            capacity=_CAPACITY,
            at_once=_JOINED_AT_ONCE,
            linger=_GATHER,
        )
        self._in_doubt = False
        self._wary = False
        self._wary_until = 0.0

    async def open(self, listener: CommitListener) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        try:
            await asyncio.to_thread(self._link.line)
        except psycopg.OperationalError as fault:
            # It answered a moment ago, when the schema was looked at. It will be connected to when it is back.
            _log.warning("the database can't be reached: %s", str(fault).strip())
        self._watchdog.start()
        self._readers.start()
        self._finder.start()
        self._writers.start()
        self._joiner.start()
        self._writer.start(self._loop, listener)

    async def close(self) -> None:
        self._closing.set()
        await self._writer.close()
        await self._readers.close()
        await self._finder.close()
        await self._writers.close()
        await self._joiner.close()
        await asyncio.to_thread(self._link.close)
        await asyncio.to_thread(self._watchdog.stop)

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._told(self._readers.run(lambda tx: fn(tx, *args, **kwargs)))

    async def find(self, fn: Callable[[Tx, Sequence[K]], Mapping[K, T]], key: K) -> T | None:
        return await self._told(self._finder.run(BatchedRead(fn, key)))

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._told(self._writers.run(lambda tx: fn(tx, *args, **kwargs)))

    async def join(self, fn: Callable[[Tx, Sequence[K]], Sequence[T | Exception]], item: K) -> T:
        return await self._told(self._joiner.run(JoinedWrite(fn, item)))

    async def _told(self, result: Awaitable[T]) -> T:
        try:
            return await result
        except StoreUnavailable as fault:
            raise overloaded("The store can't be reached") from fault
        except _DAMAGE as fault:
            raise self._damaged(fault) from fault

    def _damaged(self, fault: Exception) -> ApiError:
        _log.error("a page of the database is damaged: %s", fault)
        self.health.damaged = True
        return overloaded("This part of the store is damaged")

    def _look(self, link: PostgresSession, units: Sequence[Unit]) -> None:
        """Reads, all in one transaction; each in its own if the server refused one."""
        try:
            retry_on_disconnect(
                link, self._reads, partial(_look, units=units, presets=self._presets), lambda: None
            )
        except psycopg.Error as fault:
            if len(units) == 1:
                units[0].result = fault
                return
            for unit in units:
                self._look(link, [unit])

    def _change(self, link: PostgresSession, units: Sequence[Unit]) -> None:
        for unit in units:
            unit.result = self._change_durably(link, unit.work)

    def _change_together(self, link: PostgresSession, units: Sequence[Unit]) -> None:
        write_joined(units, partial(self._change_durably, link), (StoreUnavailable,))

    def _change_durably(self, link: PostgresSession, work: Callable[[Tx], T]) -> T:
        return retry_on_disconnect(link, self._writes, partial(self._transact, work=work), self._doubt)

    async def time(self) -> int | None:
        return await self.read(_time)

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

    def _transact(self, line: StatementRunner, work: Callable[[Tx], T]) -> T:
        """One transaction, run again when the server asks for it; its events are told once it has committed."""
        for rerun in range(_RERUNS):
            tx = PostgresTx(line, self._order, self._presets)
            try:
                with _transaction(line, _BEGIN_WRITE):
                    result = work(tx)
                self._tell(tx.emitted)
            except _RERUN:
                if rerun == _RERUNS - 1:
                    raise
            else:
                return result
            finally:
                tx.let_go()
        raise AssertionError("unreachable")

    def _tell(self, events: Sequence[Event]) -> None:
        if events:
            self._loop.call_soon_threadsafe(self._listener.committed, events)
        if self._in_doubt:
            self._in_doubt = False
            self._loop.call_soon_threadsafe(self._listener.in_doubt)

    def _doubt(self) -> None:
        self._in_doubt = True
        # Told at once, and again when the store has answered. It may come back older, and what other nodes tell of it
        # before this one has asked must not pass for what comes next.
        self._loop.call_soon_threadsafe(self._listener.in_doubt)

    def _commit(self, units: Sequence[Unit]) -> Sequence[Event]:
        group = Group(self._store, self._find, self._last_seqs, self._clock)
        operations = [unit for unit in units if type(unit.work) is not Probe]
        try:
            if len(operations) < len(units):
                self._run_probes(units)
            outcomes = group.commit([unit.work for unit in operations])
        except StoreUnavailable as fault:
            raise overloaded("The store can't be reached") from fault
        for unit, outcome in zip(operations, outcomes, strict=True):
            unit.result = self._damaged(outcome) if isinstance(outcome, _DAMAGE) else outcome
        self._tell(())
        if self._wary:
            self._wary, self._wary_until = False, monotonic() + _WARY_FOR
        return group.events

    def _run_probes(self, units: Sequence[Unit]) -> None:
        for unit in units:
            if isinstance(unit.work, Probe):
                try:
                    self._insist(partial(self._run_probe, probe=unit.work))
                except psycopg.Error as fault:
                    unit.result = fault

    def _run_probe(self, line: StatementRunner, probe: Probe) -> None:
        # The writer keeps the order of events already while it commits.
        with _transaction(line, _BEGIN_WRITE):
            probe(PostgresTx(line, None, self._presets))

    def _store(self, batch: Batch) -> Stored:
        """Store a batch. After a commit of unknown outcome it is run again: its messages answer by their keys."""
        return as_stored(batch, self._insist(partial(self._append, batch=batch)))

    def _append(self, line: StatementRunner, batch: Batch) -> AppendResult:
        """Store a batch; after the connection broke, look first: the store may have gone back to an older state."""
        if self._wary or monotonic() < self._wary_until:
            check_path(PostgresTx(line, presets=self._presets), batch.posts)
        return self._appender.append(line, batch)

    def _find(self, post: Post) -> Message | None:
        return self._insist(lambda line: find_post(PostgresTx(line), post))

    def _last_seqs(self, chat_ids: Sequence[int]) -> dict[int, int]:
        return self._insist(lambda line: last_seqs(PostgresTx(line), chat_ids))

    def _insist(self, work: Callable[[StatementRunner], T]) -> T:
        return retry_on_disconnect(self._link, self._sends, work, self._lose)

    def _lose(self) -> None:
        self._wary = True
        self._doubt()


def prepare(url: str) -> None:
    """Make the schema in an empty database; in any other it must be up to date.

    Changing a schema in use is left to `migrate`, when the operator says so: other nodes may still run the release
    before. Raises `SchemaTooOld`, `SchemaTooNew`, `NotDurable`, `ConnectionError`.
    """
    try:
        with connect_limited(url) as connection:
            check_postgres(partial(_setting, connection))
            version = _version(connection)
    except psycopg.OperationalError as fault:
        raise ConnectionError(f"The database can't be reached: {str(fault).strip()}") from fault
    if version == 0:
        migrate(url)
    elif pending("postgres", version):
        raise SchemaTooOld(f"The database is at schema {version}: run `duologue migrate` first.")


def _setting(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    return str(row[0]) if row else ""


def _version(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT to_regclass('schema_version') IS NOT NULL", prepare=False).fetchone()
    if row is None or not row[0]:
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version", prepare=False).fetchone()
    return int(row[0]) if row else 0


def migrate(url: str) -> list[Migration]:
    """Bring the schema up to date; the steps that were taken. Several nodes may call it at once.

    The lock ends with the transaction of each step. A lock of the session would stay with the connection that a
    pooler had chosen, where nothing releases it.
    """
    taken: list[Migration] = []
    with connect(url) as connection:
        while step := _migrate_once(connection):
            taken.append(step)
    return taken


def _migrate_once(connection: psycopg.Connection[Any]) -> Migration | None:
    """Take the next step; None if there is none."""
    with connection.transaction():
        # Never prepared: the next transaction may be another connection's.
        connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})".encode(), prepare=False)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)", prepare=False
        )
        steps = pending("postgres", _version(connection))
        if not steps:
            return None
        connection.execute(steps[0].sql.encode(), prepare=False)
        connection.execute(f"INSERT INTO schema_version VALUES ({steps[0].number})".encode(), prepare=False)
        return steps[0]
