"""A database at one moment, read from beside the server: for what goes over all of it."""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from duologue.storage.database import Tx
from duologue.storage.engine import sqlite
from duologue.storage.engine.engines import sqlite_path
from duologue.storage.engine.migrate import SchemaTooOld, pending

_WALKS: Final = ("enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "enable_hashagg")
"""Ways that read a table through for each page, however sensible they look by a table's statistics."""


class CannotRead(Exception):
    """There is no database that could be read; the message says why."""


class Damaged(CannotRead):
    """A page of PostgreSQL's is damaged."""


@contextlib.contextmanager
def snapshot(url: str) -> Iterator[Tx]:
    """Everything as it was at one moment, however long one looks. Changes nothing and holds nobody up.

    Raises `CannotRead` (also from within, when the database breaks off), `Damaged`, `SchemaTooOld`, `SchemaTooNew`.
    """
    path = sqlite_path(url)
    with _of_file(path) if path else _of_server(url) as tx:
        yield tx


@contextlib.contextmanager
def _of_file(path: Path) -> Iterator[Tx]:
    # Opened for writing, because SQLite must put in order what a crash left in the write-ahead log; never made.
    address = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            for statement in ("PRAGMA query_only = ON", "PRAGMA cache_size = -65536", "BEGIN"):
                connection.execute(statement)
            check_version("sqlite", connection.execute("PRAGMA user_version").fetchone()[0])
            yield sqlite.SqliteTx(connection)
    except sqlite3.DatabaseError as fault:
        raise CannotRead(f"{path}: {fault}") from fault


@contextlib.contextmanager
def _of_server(url: str) -> Iterator[Tx]:
    # Loaded when they are asked for, as in `engines`.
    psycopg = importlib.import_module("psycopg")
    errors = psycopg.errors
    connect = importlib.import_module("duologue.storage.engine.postgres_session").connect
    transaction = importlib.import_module("duologue.storage.engine.postgres_tx")
    try:
        with connect(url) as connection:
            connection.autocommit = False
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            check_version("postgres", _version(connection))
            for way in _WALKS:
                connection.execute(f"SET LOCAL {way} = off")
            yield transaction.PostgresTx(transaction.StatementRunner(connection))
    except (errors.DataCorrupted, errors.IndexCorrupted, errors.InternalError_) as fault:
        raise Damaged(str(fault).strip()) from fault
    except psycopg.Error as fault:
        raise CannotRead(str(fault).strip()) from fault


def _version(connection: Any) -> int:
    row = connection.execute("SELECT to_regclass('schema_version') IS NOT NULL").fetchone()
    if not row[0]:
        return 0
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()[0])


def check_version(engine: str, version: int) -> None:
    """Compare a database's schema with this release's. Raises `SchemaTooOld`, `SchemaTooNew`."""
    if version == 0:
        raise SchemaTooOld("This is no database of Duologue's, or an empty one.")
    if pending(engine, version):
        raise SchemaTooOld(f"The database is at schema {version}: run `duologue migrate` first.")
