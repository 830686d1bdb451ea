"""Connections to PostgreSQL, and what is done while there are none to be had, or they don't answer."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict

from duologue.storage.append.group import StoreUnavailable
from duologue.storage.engine.postgres_tx import StatementRunner
from duologue.storage.engine.waiting import PATIENCE

T = TypeVar("T")

_log = logging.getLogger(__name__)

_TRY_EVERY: Final = 0.5
"""Seconds between tries in an outage that has outlasted patience; in between the answer is no, at once."""
_FIRST_PAUSE: Final = 0.05
"""Seconds between the first loss of a connection and the second try."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds between later tries, at most."""
_WATCH_EVERY: Final = 0.25
"""Seconds between looks at the statements under way."""
_CONNECTION: Final[dict[str, Any]] = {
    "connect_timeout": 3,
    # A server whose machine is gone says nothing: without these its silence would last for many minutes.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_LIMITS: Final = {
    "lock_timeout": 4_000,
    "statement_timeout": 4_500,
    "idle_in_transaction_session_timeout": 5_000,
}
"""Milliseconds, kept by the server for a node's own connections.

A statement ends there before the node hangs up: then it is known that nothing was stored. And a node that hangs in a
transaction doesn't keep the other nodes waiting for its locks.
"""
_REFUSES_OPTIONS: Final = "startup parameter"
"""Words with which PgBouncer refuses a connection that asks for `_LIMITS`."""
_NO_PREPARE: Final = "prepare=off"
_PREPARE_AFTER: Final = 5
"""Uses of a statement."""
_TOO_LATE: Final = (pg.LockNotAvailable, pg.QueryCanceled)
_LOST: Final = (psycopg.OperationalError, psycopg.InterfaceError, pg.ReadOnlySqlTransaction)


def connect(url: str, *, limited: bool = False) -> psycopg.Connection[Any]:
    """Make a connection in autocommit mode; a `limited` one is for statements that take no longer than seconds.

    With `prepare=off` in the URL's query it prepares no statement. That is for a pooler that gives each transaction
    another connection and doesn't follow prepared statements: PgBouncer before 1.21. Raises
    `psycopg.OperationalError`.
    """
    threshold = None if _NO_PREPARE in url.partition("?")[2].split("&") else _PREPARE_AFTER
    given = _CONNECTION | parse_url(url)
    if limited:
        # What the URL says comes last, and so is what holds.
        limits = " ".join(f"-c {name}={value}" for name, value in _LIMITS.items())
        given["options"] = f"{limits} {given.get('options', '')}".strip()
    return psycopg.connect(autocommit=True, prepare_threshold=threshold, **given)


def parse_url(url: str) -> dict[str, Any]:
    """The parameters of a URL as libpq knows them, without those that only we know."""
    address, _, query = url.partition("?")
    rest = "&".join(option for option in query.split("&") if option != _NO_PREPARE)
    return dict(conninfo_to_dict(f"{address}?{rest}" if rest else address))


def connect_limited(url: str) -> psycopg.Connection[Any]:
    """Make a limited connection; through a pooler that takes no limits, one without.

    Raises `psycopg.OperationalError`.
    """
    try:
        return connect(url, limited=True)
    except psycopg.OperationalError as fault:
        if _REFUSES_OPTIONS not in str(fault):
            raise
        return connect(url)


class CircuitBreaker:
    """Breaker of calls to the server: while that is known to be away, callers fail at once.

    There is one for reads, one for messages and one for other writes: a server that takes no writes may answer reads.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._tried_at = 0.0
        self._answered_at = -math.inf

    def is_open(self) -> bool:
        """Return whether the server is known to be away; false for one caller every 0.5 s, who is to try."""
        now = time.monotonic()
        if self._since is None or now - self._since < PATIENCE:
            return False
        if now - self._tried_at < _TRY_EVERY:
            return True
        self._tried_at = now
        return False

    def failed(self, began: float) -> bool:
        """Note that what began then failed; return whether all has failed for longer than patience lasts."""
        now = self._tried_at = time.monotonic()
        if self._answered_at < began:
            self._since = min(self._since or began, began)
        # Otherwise others got answers meanwhile: it hangs, say, at a lock that only concerns some.
        return self._since is not None and now - self._since >= PATIENCE

    def reset(self) -> None:
        """The server has answered."""
        self._since = None
        self._answered_at = time.monotonic()


class PostgresSession:
    """One connection, made when it is needed and made again when it is lost.

    After `due` (of `time.monotonic`) the watchdog hangs up, and the thread that waits for an answer is free again.
    """

    def __init__(self, url: str, closing: threading.Event) -> None:
        self._url = url
        self.closing = closing
        self.due = math.inf
        self._line: StatementRunner | None = None
        self._socket: socket.socket | None = None
        self._guard = threading.Lock()
        """Held while the socket is closed: its number may be another connection's a moment later."""

    def line(self) -> StatementRunner:
        """Return the open connection. Raises `psycopg.OperationalError`."""
        if self._line is None or self._line.connection.closed:
            self.drop()
            connection = connect_limited(self._url)
            with self._guard:
                self._socket = socket.socket(fileno=os.dup(connection.fileno()))
            self._line = StatementRunner(connection)
        return self._line

    def hang_up_if_due(self, now: float) -> None:
        """Break the connection off if it was to have answered by now; on the watchdog's thread."""
        if now >= self.due:
            with self._guard, contextlib.suppress(OSError):
                if self._socket:
                    self._socket.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Forget the connection: the next use makes a new one, perhaps to another server."""
        with self._guard:
            if self._socket:
                self._socket.close()
                self._socket = None
        if self._line is not None:
            self._line.connection.close()

    close = drop


class Watchdog:
    """Makes links, and hangs up those whose server doesn't answer in time. `closing` ends their retries."""

    def __init__(self, url: str, closing: threading.Event) -> None:
        self._url = url
        self._closing = closing
        self._links: list[PostgresSession] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="postgres-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more: all links are closed."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def link(self) -> PostgresSession:
        """Make a link that is watched."""
        link = PostgresSession(self._url, self._closing)
        self._links.append(link)
        return link

    def _watch(self) -> None:
        while not self._stopped.wait(_WATCH_EVERY):
            now = time.monotonic()
            for link in self._links:
                link.hang_up_if_due(now)


def retry_on_disconnect(
    link: PostgresSession,
    breaker: CircuitBreaker,
    work: Callable[[StatementRunner], T],
    lost: Callable[[], None],
) -> T:
    """Run `work`, again on a new connection for as long as patience lasts when the old one breaks.

    `lost` is called for each break: `work` may or may not have been committed. Raises `StoreUnavailable`.
    """
    began = time.monotonic()
    deadline = began + PATIENCE
    pause = _FIRST_PAUSE
    while True:
        if breaker.is_open():
            raise StoreUnavailable
        try:
            line = link.line()
            link.due = deadline
            result = work(line)
        except _TOO_LATE as fault:
            # Nothing was stored, and the connection is well.
            breaker.failed(began)
            _log.warning("PostgreSQL took too long: %s", _first_line(fault))
            raise StoreUnavailable from fault
        except _LOST as fault:
            link.drop()
            lost()
            waited = breaker.failed(began) or time.monotonic() + pause > deadline
            if waited or link.closing.wait(pause):
                _log.warning("PostgreSQL can't be reached: %s", _first_line(fault))
                raise StoreUnavailable from fault
        except Exception:
            # The server has answered: that something is stored already, for instance.
            breaker.reset()
            raise
        else:
            breaker.reset()
            return result
        finally:
            link.due = math.inf
        pause = min(pause * 2, _LONGEST_PAUSE)


def _first_line(fault: Exception) -> str:
    return str(fault).partition("\n")[0]
