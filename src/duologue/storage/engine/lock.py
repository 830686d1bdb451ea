"""A lock that keeps a second server away from one SQLite database."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StoreInUse(Exception):
    """Another server serves this database; the message is a sentence that says what to do."""


@contextmanager
def exclusive(database: Path) -> Iterator[None]:
    """Hold the lock of an SQLite database for as long as the context lasts. Raises `StoreInUse`.

    The lock is `flock` on a file beside the database. The kernel releases it when the process ends, however it
    ends. It binds servers only: `duologue verify` and other commands may read a database that is being served.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    path = database.with_name(f"{database.name}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            raise StoreInUse(
                f"Another Duologue (process {holder}) serves {database} already. Two servers on one SQLite database"
                " don't hear each other's messages: stop that one, give this one another data_dir, or use PostgreSQL"
                " and NATS for several nodes."
            ) from fault
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
