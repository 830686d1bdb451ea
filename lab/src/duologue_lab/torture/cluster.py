"""The PostgreSQL under torture: one server, and perhaps a standby that can take its place once."""

from __future__ import annotations

import contextlib
import time
from typing import Final

import psycopg

from duologue_lab.servers.postgres import PostgresServer, postgres_server, standby_of

_DATABASE: Final = "torture"
_WITHIN: Final = 30.0
"""Seconds for a standby to get what was committed, or to lose its primary."""
_PAUSE: Final = 0.02  # seconds


class Cluster:
    """One server, to whom all calls go; after `promote` it is the one that was the standby. The calls block."""

    def __init__(self, stack: contextlib.ExitStack, *, standby: bool) -> None:
        self._primary = stack.enter_context(postgres_server())
        self._primary.run(f"CREATE DATABASE {_DATABASE}")
        self._standby = stack.enter_context(standby_of(self._primary)) if standby else None
        self.url = self._primary.url(_DATABASE)
        if self._standby:
            folders = f"{self._primary.folder},{self._standby.folder}"
            hosts = f"host={folders}&port=5432,5432&target_session_attrs=read-write"
            self.url = f"postgresql://postgres@/{_DATABASE}?{hosts}"

    def start(self) -> None:
        """Start the server."""
        self._primary.start()

    def stop(self) -> None:
        """Stop it in good order."""
        self._primary.stop()

    def kill(self) -> None:
        """End it at once."""
        self._primary.stop(kill=True)

    def pids(self) -> list[int]:
        """Its processes."""
        return self._primary.pids()

    def copy(self) -> None:
        """Keep a copy of its data; it is stopped."""
        self._primary.copy()

    def restore(self) -> None:
        """Put the copy back; it is stopped."""
        self._primary.restore()

    def cut_off(self) -> None:
        """Have the standby get nothing more, once it has got everything up to now."""
        assert self._standby
        written = _asked(self._primary, "SELECT pg_current_wal_insert_lsn()")
        _until(self._standby, f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn")
        self._standby.lag_behind()
        _until(self._standby, "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")

    def promote(self) -> None:
        """Have the standby be the server from now on."""
        assert self._standby
        self._standby.promote()
        self._primary, self._standby = self._standby, None


def _asked(server: PostgresServer, question: str) -> str:
    with psycopg.connect(server.url(_DATABASE)) as connection:
        row = connection.execute(question.encode()).fetchone()
    return str(row[0]) if row else ""


def _until(server: PostgresServer, question: str) -> None:
    deadline = time.monotonic() + _WITHIN
    while _asked(server, question) != "True":
        if time.monotonic() > deadline:
            raise TimeoutError(question)
        time.sleep(_PAUSE)
