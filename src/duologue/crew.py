"""Processes of one kind: started together, replaced when they die, stopped together."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

_log = logging.getLogger(__name__)

_STOP_WITHIN: Final = 12.0
"""Seconds from the signal to SIGKILL, besides what the workers take to drain: see `Crew.patience`."""
_YOUNG: Final = 5.0
_MOST_DEATHS: Final = 5
"""As many workers that die young in a row are a fault that another try won't mend."""

Work = Callable[[int, Callable[[socket.socket], None]], bool]
"""Runs worker number `index` until a signal ends it, calls what it is given once it is ready; whether it started."""


class Crew:
    """So many workers, forked: what was imported before is shared memory.

    Nothing may run in this process that a fork would tear apart: no thread, no event loop.
    """

    def __init__(self, count: int, work: Work, patience: float = 0) -> None:
        self._count = count
        self._work = work
        self._patience = patience + _STOP_WITHIN
        self._workers: dict[int, tuple[int, float]] = {}
        self._stopping_at: float | None = None
        self._deaths = 0

    def run(self, ready: Callable[[], None]) -> bool:
        """Until a signal ends it; `ready` is called once every worker is. Whether it got so far."""
        reader, writer = os.pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for index in range(self._count):
            self._start(index, reader, writer)
        if self._all_ready(reader):
            ready()
            started = True
        else:
            started = False
            self._stop(signal.SIGTERM, None)
        while self._workers:
            self._wait(reader, writer)
        return started and self._deaths < _MOST_DEATHS

    def _start(self, index: int, reader: int, writer: int) -> None:
        pid = os.fork()
        if pid:
            self._workers[pid] = (index, time.monotonic())
            return
        os.close(reader)
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            status = 0 if self._work(index, lambda _: _tell(writer)) else 1
        except BaseException:  # noqa: BLE001 - nothing may get past: this is a copy of its parent
            _log.exception("worker %d failed", index)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _all_ready(self, reader: int) -> bool:
        """Wait for a byte from each; False if one dies first, or a signal comes."""
        count = 0
        os.set_blocking(reader, False)
        while count < self._count and self._stopping_at is None:
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return False
            try:
                count += len(os.read(reader, self._count))
            except BlockingIOError:
                time.sleep(0.02)
        return count == self._count

    def _wait(self, reader: int, writer: int) -> None:
        """See to the next worker that ends."""
        try:
            pid, status = os.waitpid(-1, 0 if self._stopping_at is None else os.WNOHANG)
        except InterruptedError:
            return
        if pid == 0:
            if self._stopping_at is not None and time.monotonic() > self._stopping_at:
                self._signal(signal.SIGKILL)
            time.sleep(0.02)
            return
        index, started_at = self._workers.pop(pid)
        if self._stopping_at is not None:
            return
        young = time.monotonic() - started_at < _YOUNG
        self._deaths = self._deaths + 1 if young else 0
        _log.error("worker %d ended with %d", index, os.waitstatus_to_exitcode(status))
        if self._deaths < _MOST_DEATHS:
            self._start(index, reader, writer)
        else:
            self._stop(signal.SIGTERM, None)

    def _stop(self, number: int, _: FrameType | None) -> None:
        """Pass the signal on; a second one too, which ends workers at once."""
        self._stopping_at = self._stopping_at or time.monotonic() + self._patience
        self._signal(signal.Signals(number))

    def _signal(self, number: signal.Signals) -> None:
        for pid in tuple(self._workers):
            os.kill(pid, number)


def _tell(writer: int) -> None:
    os.write(writer, b".")
