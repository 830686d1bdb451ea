"""Attacks on what comes before any rule: connections, the heads of requests, answers that nobody reads."""

from __future__ import annotations

import contextlib
import time

from tests.hostile.target import Target


def come_and_go(target: Target, _until: float) -> None:
    """Connections that ask for nothing and end at once, some hundred a second."""
    with contextlib.suppress(OSError):
        target.connect().close()
    time.sleep(0.002)
