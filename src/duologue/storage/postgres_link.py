"""Connections to PostgreSQL, and what is done while there are none to be had."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict

from duologue.storage.group import Unavailable
from duologue.storage.postgres_tx import Line

T = TypeVar("T")

_log = logging.getLogger(__name__)

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
_NO_PREPARE: Final = "prepare=off"
_PREPARE_AFTER: Final = 5
_LOST: Final = (psycopg.OperationalError, psycopg.InterfaceError, pg.ReadOnlySqlTransaction)


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection in autocommit mode. With `prepare=off` in the URL's query it prepares no statement.

    That is for a pooler that gives each transaction another connection and doesn't follow prepared statements:
    PgBouncer before 1.21.
    """
    threshold = None if _NO_PREPARE in url.partition("?")[2].split("&") else _PREPARE_AFTER
    return psycopg.connect(autocommit=True, prepare_threshold=threshold, **(_CONNECTION | parse_url(url)))


def parse_url(url: str) -> dict[str, Any]:
    """The parameters of a URL as libpq knows them, without those that only we know."""
    address, _, query = url.partition("?")
    rest = "&".join(option for option in query.split("&") if option != _NO_PREPARE)
    return dict(conninfo_to_dict(f"{address}?{rest}" if rest else address))


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
        self._line: Line | None = None

    def line(self) -> Line:
        if self._line is None or self._line.connection.closed:
            self._line = Line(connect(self._url))
        return self._line

    def drop(self) -> None:
        """Forget the connection: the next use makes a new one, perhaps to another server."""
        if self._line is not None:
            self._line.connection.close()

    close = drop


def persist(link: Link, outage: Outage, work: Callable[[Line], T], lost: Callable[[], None]) -> T:
    """Run `work`, again on a new connection for as long as patience lasts when the old one breaks.

    `lost` is called for each break: `work` may or may not have been committed. Raises `Unavailable`.
    """
    deadline = time.monotonic() + _PATIENCE
    pause = _FIRST_PAUSE
    while True:
        if outage.lasts():
            raise Unavailable
        try:
            result = work(link.line())
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
