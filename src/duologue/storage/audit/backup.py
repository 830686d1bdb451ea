"""A copy of the embedded database, made by another process while the server writes.

One statement copies all (`VACUUM INTO`): it reads one moment, and never begins anew, however much is written.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_OPERATIONS: Final = 1_000
"""Steps of SQLite's machine from one look at the copy to the next: some hundred rows."""
_FLUSH_EVERY: Final = 2 * 2**20
"""Bytes of the copy that are written to the disk together: with more, the server's own writes would wait for them."""
_PATIENCE: Final = 5.0
"""Seconds that the copy waits for the lock of a server that is just starting."""
_LIVE: Final = ("", "-wal", "-shm", "-journal", ".lock")
"""What is added to a database's name for the files that belong to it."""

Watch = Callable[[int], bool]
"""Called with the bytes copied so far, many times a second; True ends the copying."""


class CannotBackUp(Exception):
    """There is no copy; the message is a sentence that says why."""


def files_of(database: Path) -> set[Path]:
    """The names that belong to a database while it is served."""
    return {database.with_name(f"{database.name}{suffix}").resolve() for suffix in _LIVE}


def size_of(database: Path) -> int:
    """The bytes that a copy will have at most. Raises `CannotBackUp`."""
    with _source(database) as connection:
        pages, page = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
    return int(pages) * int(page)


def copy(database: Path, draft: Path, watch: Watch) -> None:
    """Copy a database into an empty file, on the disk when this returns. Raises `CannotBackUp`."""
    descriptor = os.open(draft, os.O_RDWR)
    try:
        with _source(database) as connection:
            flushed = 0

            def step() -> int:
                nonlocal flushed
                size = os.fstat(descriptor).st_size
                if size - flushed >= _FLUSH_EVERY:
                    os.fdatasync(descriptor)
                    flushed = size
                return int(watch(size))

            connection.set_progress_handler(step, _OPERATIONS)
            connection.execute("VACUUM INTO ?", (str(draft),))
        os.fsync(descriptor)
    except OSError as fault:
        raise CannotBackUp(f"{draft.parent}: {fault.strerror}") from fault
    finally:
        os.close(descriptor)


def check(draft: Path, watch: Watch) -> None:
    """Read a copy through. Raises `CannotBackUp` if it is not sound."""
    size = draft.stat().st_size
    try:
        with contextlib.closing(sqlite3.connect(draft)) as connection:
            connection.set_progress_handler(lambda: int(watch(size)), _OPERATIONS)
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as fault:
        raise CannotBackUp(f"The copy is not sound: {fault}.") from fault
    if found != "ok":
        raise CannotBackUp(f"The copy is not sound: {found}.")


def dump_command(program: str, url: str) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment with which `pg_dump` writes a database to stdout.

    Arguments can be seen by every user of the machine, so a password is none of them.
    """
    options = dict(importlib.import_module("duologue.storage.engine.postgres_session").parse_url(url))
    password = options.pop("password", None)
    address = importlib.import_module("psycopg.conninfo").make_conninfo(**options)
    arguments = [program, "--format=custom", "--no-password", f"--dbname={address}"]
    return arguments, {"PGPASSWORD": password} if password else {}


@contextlib.contextmanager
def _source(database: Path) -> Iterator[sqlite3.Connection]:
    # Opened for writing, because SQLite must put in order what a crash left in the write-ahead log; never made.
    address = f"{database.absolute().as_uri()}?mode=rw"
    try:
        with contextlib.closing(
            sqlite3.connect(address, uri=True, isolation_level=None, timeout=_PATIENCE)
        ) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                raise CannotBackUp(f"{database} is no database of Duologue's.")
            yield connection
    except sqlite3.Error as fault:
        if fault.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise CannotBackUp("The disk for the copy is full.") from fault
        raise CannotBackUp(f"{database}: {fault}.") from fault
