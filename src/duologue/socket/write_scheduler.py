"""Scheduler of writes to open sockets: one callback for all of them, not one for each."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

LATE: Final = 0.05
"""Longest delay in seconds of a frame that is not urgent."""
_logger = logging.getLogger(__name__)


class Output(Protocol):
    """Something with a queue."""

    def flush(self) -> None:
        """Write what is queued, if anything is."""
        ...

    def abort(self) -> None:
        """Writing failed: give up."""
        ...


class WriteScheduler:
    """Flushes outputs at the end of a turn of the event loop, or a little later."""

    def __init__(self) -> None:
        self._due: list[Output] = []
        self._late: list[Output] = []

    def add(self, output: Output) -> None:
        """Flush it with the end of this turn."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush_due)
        self._due.append(output)

    def add_late(self, output: Output) -> None:
        """Flush it within `LATE` seconds."""
        if not self._late:
            asyncio.get_running_loop().call_later(LATE, self._flush_late)
        self._late.append(output)

    def _flush_due(self) -> None:
        due, self._due = self._due, []
        _flush(due)

    def _flush_late(self) -> None:
        late, self._late = self._late, []
        _flush(late)


def _flush(outputs: list[Output]) -> None:
    for output in outputs:
        try:
            output.flush()
        except Exception:
            _logger.exception("What was queued could not be written")
            output.abort()
