"""A newer release beside the one under test: it writes events of kinds that nobody here knows."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from typing import Any

import psycopg

from duologue.storage.engine.engines import sqlite_path

_kinds = itertools.count(200)
_EVENT = (
    "INSERT INTO events (user_id, seq, kind, ref, a, b, at)"
    " SELECT user_id, last_seq + 1, {kind}, 4711, 1, 2, {at} FROM logs WHERE user_id = {user_id}"
)
_HEAD = "UPDATE logs SET last_seq = last_seq + 1 WHERE user_id = {user_id}"


def write_newer(url: str, user_id: int, at: int) -> int:
    """Append an event to a user's log, past the code under test; return its kind, which no test has used before."""
    kind = next(_kinds)
    path = sqlite_path(url)
    opened: Any = contextlib.closing(sqlite3.connect(path, timeout=30)) if path else psycopg.connect(url)
    with opened as connection:
        for statement in (_EVENT, _HEAD):
            connection.execute(statement.format(kind=kind, user_id=user_id, at=at))
        connection.commit()
    return kind
