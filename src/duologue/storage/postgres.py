"""The scale-out engine: PostgreSQL. The message path is batched into one call; the rest goes over a small pool."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConnStatus, ExecStatus

from duologue.clock import Clock
from duologue.errors import overloaded
from duologue.model import Event, Message
from duologue.storage.batch import Batch, Numbers
from duologue.storage.database import Done, Listener, Operation, Post, RelayRule, Row, Tx, UniqueViolation
from duologue.storage.group import Group, Unavailable
from duologue.storage.messages import find_post
from duologue.storage.migrate import Migration, SchemaTooOld, pending
from duologue.storage.pool import Pool
from duologue.storage.postgres_append import Appender
from duologue.storage.writer import Unit, Writer

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

_POOL_SIZE: Final = 4
_CAPACITY: Final = 20_000
_BATCH_LIMIT: Final = 1_000
_PATIENCE: Final = 5.0
"""Seconds for which work is retried on a lost connection before its caller is told `overloaded`."""
_TRY_EVERY: Final = 0.5
"""Seconds between tries in an outage that has outlasted patience; in between the answer is no, at once."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_CONNECTION: Final[dict[str, Any]] = {
    "connect_timeout": 3,
    # A server whose machine is gone says nothing: without these its silence would last for many minutes.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_BEGIN_READ: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
"""One moment for all that a function reads."""
_BEGIN_WRITE: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED"
_NO_PREPARE: Final = "prepare=off"
_PREPARE_AFTER: Final = 5
_LOG_LOCK: Final = 7237961
"""The same number as in the migration that makes `duologue_append`."""
_MIGRATION_LOCK: Final = 7237960
_RERUN: Final = (pg.SerializationFailure, pg.DeadlockDetected, UniqueViolation)
_LOST: Final = (psycopg.OperationalError, psycopg.InterfaceError, pg.ReadOnlySqlTransaction)
_RERUNS: Final = 5


@lru_cache(maxsize=512)
def _translated(sql: str) -> str:
    """`:name` as psycopg writes it."""
    return re.sub(r":([a-z_]\w*)", r"%(\1)s", sql)


class PostgresTx:
    """`Tx` over one connection that is in a transaction."""

    def __init__(self, connection: psycopg.Connection[Any], order: threading.Lock | None = None) -> None:
        self._connection = connection
        self._order = order
        self._ordered = False
        self.emitted: list[Event] = []

    def _execute(self, sql: str, params: dict[str, Any]) -> psycopg.Cursor[Any]:
        try:
            return self._connection.execute(_translated(sql), params)
        except pg.UniqueViolation as fault:
            raise UniqueViolation from fault

    def one(self, sql: str, **params: Any) -> Row | None:
        row: Row | None = self._execute(sql, params).fetchone()
        return row

    def all(self, sql: str, **params: Any) -> list[Row]:
        return self._execute(sql, params).fetchall()

    def run(self, sql: str, **params: Any) -> int:
        return self._execute(sql, params).rowcount

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.executemany(sql.replace("?", "%s"), list(rows))
        except pg.UniqueViolation as fault:
            raise UniqueViolation from fault

    def lock_logs(self) -> None:
        if self._order and not self._ordered:
            # Events of one node are told in the order of their commits: this one goes through first.
            self._order.acquire()
            self._ordered = True
        self._connection.execute("SELECT pg_advisory_xact_lock(%s::bigint)", [_LOG_LOCK])

    def emit(self, events: Iterable[Event]) -> None:
        self.emitted.extend(events)

    def let_go(self) -> None:
        """Its events are on their way: the next may go through."""
        if self._order and self._ordered:
            self._order.release()
            self._ordered = False


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection in autocommit mode. With `prepare=off` in the URL's query it prepares no statement.

    That is for a pooler that gives each transaction another connection and doesn't follow prepared statements:
    PgBouncer before 1.21.
    """
    address, _, query = url.partition("?")
    options = query.split("&")
    threshold = None if _NO_PREPARE in options else _PREPARE_AFTER
    rest = "&".join(option for option in options if option != _NO_PREPARE)
    given = conninfo_to_dict(f"{address}?{rest}" if rest else address)
    return psycopg.connect(autocommit=True, prepare_threshold=threshold, **(_CONNECTION | given))


@contextmanager
def _transaction(connection: psycopg.Connection[Any], begin: bytes) -> Iterator[None]:
    """One transaction. By libpq: psycopg's own would take longer to begin and end than most take to do their work."""
    _command(connection, begin)
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):
            _command(connection, b"ROLLBACK")
        raise
    _command(connection, b"COMMIT")


def _command(connection: psycopg.Connection[Any], command: bytes) -> None:
    result = connection.pgconn.exec_(command)
    if connection.pgconn.status != ConnStatus.OK:
        raise psycopg.OperationalError(result.get_error_message() or "the connection is lost")
    if result.status != ExecStatus.COMMAND_OK:
        raise pg.error_from_result(result, encoding="utf-8")
    # A transaction in which a statement failed answers COMMIT with ROLLBACK.
    if command == b"COMMIT" and result.command_status != command:
        raise psycopg.InternalError("the transaction had failed before its end")


class Outage:
    """What is known of the server: in a long outage those who need it must not each wait for it in turn.

    There is one for reads and one for writes: a server that takes no writes may answer reads.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._tried_at = 0.0

    def lasts(self) -> bool:
        """Whether it is known to be away: every so often somebody is told no, and finds out anew."""
        now = time.monotonic()
        if self._since is None or now - self._since < _PATIENCE:
            return False
        if now - self._tried_at < _TRY_EVERY:
            return True
        self._tried_at = now
        return False

    def failed(self) -> bool:
        """A connection was lost, or could not be made; whether that has been so for longer than patience lasts."""
        now = time.monotonic()
        self._since = self._since or now
        return now - self._since >= _PATIENCE

    def over(self) -> None:
        """The server has answered."""
        self._since = None


class Link:
    """One connection, made when it is needed and made again when it is lost."""

    def __init__(self, url: str, closing: threading.Event) -> None:
        self._url = url
        self.closing = closing
        self._connection: psycopg.Connection[Any] | None = None

    def connection(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url)
        return self._connection

    def drop(self) -> None:
        """Forget the connection: the next use makes a new one, perhaps to another server."""
        if self._connection is not None:
            self._connection.close()

    close = drop


def _persist(
    link: Link, outage: Outage, work: Callable[[psycopg.Connection[Any]], T], lost: Callable[[], None]
) -> T:
    """Run `work`, again on a new connection for as long as patience lasts when the old one breaks.

    `lost` is called for each break: `work` may or may not have been committed. Raises `Unavailable`.
    """
    deadline = time.monotonic() + _PATIENCE
    pause = _FIRST_PAUSE
    while True:
        if outage.lasts():
            raise Unavailable
        try:
            result = work(link.connection())
        except _LOST as fault:
            link.drop()
            lost()
            waited = outage.failed() or time.monotonic() + pause > deadline
            if waited or link.closing.wait(pause):
                _log.warning("PostgreSQL can't be reached: %s", str(fault).partition("\n")[0])
                raise Unavailable from fault
        else:
            outage.over()
            return result
        pause = min(pause * 2, _LONGEST_PAUSE)


class PostgresDatabase:
    """`Database` on PostgreSQL; any number of nodes share one."""

    def __init__(self, url: str, clock: Clock, relay: RelayRule | None = None) -> None:
        self._url = url
        self._clock = clock
        self._appender = Appender(relay)
        self._closing = threading.Event()
        self._reads, self._writes = Outage(), Outage()
        self._link = Link(url, self._closing)
        self._order = threading.Lock()
        self._writer = Writer(
            "postgres-writer",
            self._commit,
            capacity=_CAPACITY,
            batch_limit=_BATCH_LIMIT,
            order=self._order,
        )
        self._pool = Pool("postgres", partial(Link, url, self._closing), size=_POOL_SIZE, capacity=_CAPACITY)
        self._in_doubt = False

    async def open(self, listener: Listener) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        await asyncio.to_thread(self._link.connection)
        self._pool.start()
        self._writer.start(self._loop, listener)

    async def close(self) -> None:
        self._closing.set()
        await self._writer.close()
        await self._pool.close()
        await asyncio.to_thread(self._link.close)

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def work(connection: psycopg.Connection[Any]) -> T:
            with _transaction(connection, _BEGIN_READ):
                return fn(PostgresTx(connection), *args, **kwargs)

        return await self._run(self._reads, work, lambda: None)

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def work(connection: psycopg.Connection[Any]) -> T:
            return self._transact(connection, lambda tx: fn(tx, *args, **kwargs))

        return await self._run(self._writes, work, self._doubt)

    async def _run(
        self, outage: Outage, work: Callable[[psycopg.Connection[Any]], T], lost: Callable[[], None]
    ) -> T:
        try:
            return await self._pool.run(lambda link: _persist(link, outage, work, lost))
        except Unavailable as fault:
            raise overloaded("The store can't be reached") from fault

    def append(self, operation: Operation, done: Done) -> None:
        self._writer.submit(Unit(operation, done))

    def _transact(self, connection: psycopg.Connection[Any], work: Callable[[Tx], T]) -> T:
        """One transaction, run again when the server asks for it; its events are told once it has committed."""
        for rerun in range(_RERUNS):
            tx = PostgresTx(connection, self._order)
            try:
                with _transaction(connection, _BEGIN_WRITE):
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

    def _commit(self, units: Sequence[Unit]) -> Sequence[Event]:
        group = Group(self._store, self._find, self._clock)
        try:
            outcomes = group.commit([unit.work for unit in units])
        except Unavailable as fault:
            raise overloaded("The store can't be reached") from fault
        for unit, outcome in zip(units, outcomes, strict=True):
            unit.result = outcome
        self._tell(())
        return group.events

    def _store(self, batch: Batch) -> Numbers:
        """Store a batch. After a commit of unknown outcome it is run again: its messages answer by their keys."""
        return self._insist(partial(self._appender.append, batch=batch))

    def _find(self, post: Post) -> Message | None:
        return self._insist(lambda connection: find_post(PostgresTx(connection), post))

    def _insist(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        return _persist(self._link, self._writes, work, self._doubt)


def prepare(url: str) -> None:
    """Make the schema in an empty database; in any other it must be up to date.

    Changing a schema in use is left to `migrate`, when the operator says so: other nodes may still run the release
    before. Raises `SchemaTooOld`, `SchemaTooNew`, `ConnectionError`.
    """
    try:
        with connect(url) as connection:
            version = _version(connection)
    except psycopg.OperationalError as fault:
        raise ConnectionError(f"The database can't be reached: {str(fault).strip()}") from fault
    if version == 0:
        migrate(url)
    elif pending("postgres", version):
        raise SchemaTooOld(f"The database is at schema {version}: run `duologue migrate` first.")


def _version(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT to_regclass('schema_version') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
    return int(row[0]) if row else 0


def migrate(url: str) -> list[Migration]:
    """Bring the schema up to date; the steps that were taken. Several nodes may call it at once."""
    with connect(url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s::bigint)", [_MIGRATION_LOCK])
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        steps = pending("postgres", _version(connection))
        for step in steps:
            with connection.transaction():
                connection.execute(step.sql.encode())
                connection.execute("INSERT INTO schema_version VALUES (%s)", [step.number])
        return steps
