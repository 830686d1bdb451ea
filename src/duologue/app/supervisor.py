"""Processes of one kind: started together, replaced when they die or hang, stopped together."""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Final, NoReturn

_log = logging.getLogger(__name__)

_STOP_WITHIN: Final = 12.0
"""Seconds from the signal to SIGKILL, besides what the workers take to drain: see `Supervisor`'s `patience`."""
_YOUNG: Final = 5.0  # seconds
_MOST_DEATHS: Final = 5
"""As many workers that die young in a row are a fault that another try won't mend."""
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_BEAT_EVERY: Final = 0.5
"""Seconds between two beats of a worker's event loop, and between two looks at them."""
_HUNG_AFTER: Final = 4.0
"""Seconds without a beat until a worker is killed: connections that the kernel gave it get no answer."""

Work = Callable[[int, Callable[[socket.socket], None]], bool]
"""Runs worker number `index` until a signal ends it, calls what it is given once it is ready; whether it started."""


class Supervisor:
    """So many workers, forked: what was imported before is shared memory.

    Nothing may run in this process that a fork would tear apart: no thread, no event loop. Workers don't outlive it,
    even if it is killed: each holds the reading end of a pipe of which only this process has the other.
    """

    def __init__(self, count: int, work: Work, patience: float = 0) -> None:
        self._count = count
        self._work = work
        self._patience = patience + _STOP_WITHIN
        self._workers: dict[int, tuple[int, float]] = {}
        self._beats = Beats(count)
        self._ready = 0
        self._deaths = 0
        self._stopping = False
        self._kill_at: float | None = None
        self._ready_pipe = os.pipe()
        self._wake_pipe = os.pipe()
        self._leash_pipe = os.pipe()

    def run(self, ready: Callable[[], None]) -> bool:
        """Until a signal ends it; `ready` is called once every worker is. Whether it got so far."""
        self._hear_signals()
        for index in range(self._count):
            self._start(index)
        started = False
        while self._workers:
            self._wait()
            if not (started or self._stopping) and self._ready >= self._count:
                started = True
                ready()
            self._reap(started=started)
            self._end_hung()
        return started and self._deaths < _MOST_DEATHS

    def _hear_signals(self) -> None:
        for end in (*self._wake_pipe, self._ready_pipe[0]):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake_pipe[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _STOPS:
            signal.signal(number, self._stop)

    def _start(self, index: int) -> None:
        # A signal meanwhile would be lost on a worker that isn't known yet, or that still has its parent's handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        if not self._stopping:
            self._beats.forget(index)
            pid = os.fork()
            if not pid:
                self._be_worker(index)
            self._workers[pid] = (index, time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)

    def _be_worker(self, index: int) -> NoReturn:
        """Run a worker in the forked process."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, *_STOPS):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
            for end in (self._ready_pipe[0], *self._wake_pipe, self._leash_pipe[1]):
                os.close(end)
            threading.Thread(target=_end_with_parent, args=(self._leash_pipe[0],), daemon=True).start()
            status = 0 if self._work(index, partial(self._tell_ready, index)) else 1
        except BaseException:  # noqa: BLE001 - nothing may get past: this is a copy of its parent
            _log.exception("worker %d failed", index)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _tell_ready(self, index: int, _: socket.socket) -> None:
        os.write(self._ready_pipe[1], b".")
        self._beats.begin(index)

    def _wait(self) -> None:
        """Until a signal comes, a worker is ready, or it has been patient for long enough."""
        patience = _BEAT_EVERY if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
        readable, _, _ = select.select((self._wake_pipe[0], self._ready_pipe[0]), (), (), patience)
        if self._wake_pipe[0] in readable:
            os.read(self._wake_pipe[0], 4096)
        if self._ready_pipe[0] in readable:
            self._ready += len(os.read(self._ready_pipe[0], 4096))
        if not readable and self._kill_at is not None:
            self._kill_at = None
            self._signal(signal.SIGKILL)

    def _reap(self, *, started: bool) -> None:
        """See to all the workers that have ended."""
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._replace(*self._workers.pop(pid), os.waitstatus_to_exitcode(status), started=started)

    def _end_hung(self) -> None:
        """Kill workers whose event loop stands still: they are replaced like those that die."""
        if self._stopping:
            return
        hung = self._beats.hung()
        for pid, (index, _) in tuple(self._workers.items()):
            if index in hung:
                _log.error("worker %d hangs", index)
                self._beats.forget(index)
                os.kill(pid, signal.SIGKILL)

    def _replace(self, index: int, started_at: float, code: int, *, started: bool) -> None:
        if self._stopping:
            return
        young = time.monotonic() - started_at < _YOUNG
        self._deaths = self._deaths + 1 if young else 0
        _log.error("worker %d ended with %d", index, code)
        if started and self._deaths < _MOST_DEATHS:
            self._start(index)
        else:
            self._stop(signal.SIGTERM, None)

    def _stop(self, number: int, _: FrameType | None) -> None:
        """Pass the signal on; a second one too, which ends workers at once."""
        if not self._stopping:
            self._stopping = True
            self._kill_at = time.monotonic() + self._patience
        self._signal(signal.Signals(number))

    def _signal(self, number: signal.Signals) -> None:
        for pid in tuple(self._workers):
            os.kill(pid, number)


class Beats:
    """Time of each worker's last turn of its event loop, in memory shared with the workers."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._shared = memoryview(mmap.mmap(-1, count * 8)).cast("d")
        self._looked_at = time.monotonic()

    def begin(self, index: int) -> None:
        """Beat from now on; on the worker's event loop."""
        self._shared[index] = time.monotonic()
        asyncio.get_running_loop().call_later(_BEAT_EVERY, self.begin, index)

    def forget(self, index: int) -> None:
        """Expect no beat of this worker until it begins."""
        self._shared[index] = 0.0

    def hung(self) -> set[int]:
        """The workers that have begun and don't beat any more."""
        now = time.monotonic()
        was_away = now - self._looked_at > _HUNG_AFTER / 2
        self._looked_at = now
        if was_away:
            # This process was stopped, too, or the machine slept: give each a new start.
            for index in range(self._count):
                self._shared[index] = self._shared[index] and now
        return {index for index, beat in enumerate(self._shared) if beat and now - beat > _HUNG_AFTER}


def _end_with_parent(leash: int) -> None:
    os.read(leash, 1)
    os.kill(os.getpid(), signal.SIGTERM)
