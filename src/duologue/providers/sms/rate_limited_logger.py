"""Log lines about what strangers send: they must not be able to fill the log."""

from __future__ import annotations

import logging
import time
from typing import Final

_BETWEEN: Final = 60.0
"""Seconds between two lines."""


class RateLimitedLogger:
    """A logger that writes one warning a minute, and says how many it left out in between."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._next = 0.0
        self._left_out = 0

    def warning(self, message: str, *values: object) -> None:
        """Write a line, or count it. `values` must hold neither text nor a whole number."""
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return
        more = f" (and {self._left_out} more such since the last line)" if self._left_out else ""
        self._log.warning(message + "%s", *values, more)
        self._next, self._left_out = now + _BETWEEN, 0
