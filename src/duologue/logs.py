"""The log: everything to stderr, and no kind of line so often that a stranger could fill the disk with it."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec
from prometheus_client import Counter
from pythonjsonlogger.json import JsonFormatter

_READABLE: Final = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"
_FIELDS: Final = ["levelname", "name", "message"]
_NAMES: Final = {"levelname": "level", "name": "logger", "message": "event", "exc_info": "exception"}
AT_ONCE: Final = 10.0
"""Lines of one kind that are written without a pause; then one a second."""
_TRACEBACK: Final = 5.0
"""Lines that one with a traceback counts for."""
MOST_KINDS: Final = 256
"""Kinds of lines that are counted; the one unused the longest is forgotten."""
_LEFT_OUT: Final = Counter("duologue_log_lines_left_out_total", "Log lines left out: too many of one kind.")


class _Kind(msgspec.Struct, gc=False):
    """Number of lines of a kind that may still be written, and of those left out since the last one."""

    allowance: float
    counted_at: float
    left_out: int = 0


class LogRateLimit(logging.Filter):
    """Lets a few lines of each kind through, and says how many like them were left out.

    A kind is a logger and the text of its call, before anything is put into it. What is less than a warning passes,
    since nobody who isn't signed in can cause it, and so does what is critical. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: OrderedDict[tuple[str, str], _Kind] = OrderedDict()

    @property
    def kinds(self) -> int:
        """Number of kinds of lines that are counted now."""
        return len(self._kinds)

    def filter(self, record: logging.LogRecord) -> bool:
        if not logging.WARNING <= record.levelno < logging.CRITICAL:
            return True
        with self._lock:
            kind = self._kind(record)
            if kind.allowance < 1:
                kind.left_out += 1
                _LEFT_OUT.inc()
                return False
            kind.allowance -= _TRACEBACK if record.exc_info else 1
            left_out, kind.left_out = kind.left_out, 0
        if left_out:
            record.msg = f"{record.msg} ({left_out} more like this were left out)"
        return True

    def _kind(self, record: logging.LogRecord) -> _Kind:
        now = self._clock()
        name = (record.name, str(record.msg)[:200])
        kind = self._kinds.setdefault(name, _Kind(AT_ONCE, now))
        self._kinds.move_to_end(name)
        if len(self._kinds) > MOST_KINDS:
            self._kinds.popitem(last=False)
        kind.allowance = min(AT_ONCE, kind.allowance + now - kind.counted_at)
        kind.counted_at = now
        return kind


def configure_logging(level: str) -> None:
    """Everything to stderr: readable on a terminal, one JSON object a line elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter(_READABLE, "%H:%M:%S"))
    else:
        handler.setFormatter(JsonFormatter(_FIELDS, timestamp="timestamp", rename_fields=_NAMES))
    handler.addFilter(LogRateLimit())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
