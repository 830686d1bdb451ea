"""Durability: whether a store's connections wait for the disk, as they are and not as they were meant to be."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

_FULL: Final = 2
"""SQLite's number for `synchronous = FULL`."""


class NotDurable(ValueError):
    """The store could lose acknowledged messages with the power; the message says why."""


def check_sqlite(connection: sqlite3.Connection) -> None:
    """Make sure that what this connection commits is on the disk before its caller goes on. Raises `NotDurable`."""
    [synchronous] = connection.execute("PRAGMA synchronous").fetchone()
    [mode] = connection.execute("PRAGMA journal_mode").fetchone()
    if synchronous < _FULL or mode != "wal":
        raise NotDurable(
            f"SQLite would not keep what is acknowledged: synchronous {synchronous}, journal {mode}."
        )


def check_postgres(setting: Callable[[str], str]) -> None:
    """Make sure that a server waits for its disk, and warn if it trusts that too much. Raises `NotDurable`.

    `setting` tells the server's settings by their names, as a connection sees them.
    """
    if setting("synchronous_commit") == "off":
        raise NotDurable("PostgreSQL would lose what is acknowledged: set synchronous_commit to on.")
    for name in ("fsync", "full_page_writes"):
        if setting(name) == "off":
            _log.warning("PostgreSQL runs with %s = off: a power cut may destroy the database", name)
