"""Checkpoints of SQLite's log beside the writer, instead of in its way (https://sqlite.org/wal.html#ckpt).

What is committed stands in the log, and must be copied into the file before the log can begin anew. Left to itself
SQLite has the writer do that, and everybody waits meanwhile. Here a thread does nearly all of it while the writer
goes on, and leaves to the writer what was committed since: a few pages.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

_log = logging.getLogger(__name__)

EVERY: Final = 5_000
"""Writes."""
_CHECKPOINT: Final = "PRAGMA wal_checkpoint(PASSIVE)"
"""The kind that waits for nobody: what can't be copied now will be the next time."""


class Checkpointer:
    """One for a writer. `connect` makes a connection to its file."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._written = 0
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._busy = False
        self._nearly_done = False
        self._thread = threading.Thread(target=self._work, name="sqlite-checkpoint", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._orders.put(False)  # noqa: FBT003 - it takes no order any more
        if self._thread.is_alive():
            self._thread.join()

    def wrote(self, connection: sqlite3.Connection, count: int) -> None:
        """The writer has committed so many writes."""
        self._written += count
        if self._nearly_done:
            self._nearly_done = False
            _copy(connection)
        elif self._written >= EVERY and not self._busy:
            self._written = 0
            self._busy = True
            self._orders.put(True)  # noqa: FBT003 - an order

    def _work(self) -> None:
        connection = self._connect()
        while self._orders.get():
            self._nearly_done = _copy(connection)
            self._busy = False
        connection.close()


def _copy(connection: sqlite3.Connection) -> bool:
    """Return whether the copy succeeded. If not, the writer hasn't failed: what it wrote is committed."""
    try:
        connection.execute(_CHECKPOINT)
    except sqlite3.Error as fault:
        _log.warning("the log could not be copied into the file: %s", fault)
        return False
    return True
