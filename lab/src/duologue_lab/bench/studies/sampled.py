"""`duologue serve` that writes down where its CPU time goes while it works.

    python -m duologue_lab.bench.studies.sampled FILE serve …

A timer of the process's own CPU time interrupts it every few milliseconds of work. What each thread has used since
the last time goes into FILE with the stack in which it is found: nanoseconds, then the calls from the innermost
outwards. So all CPU time of all threads is accounted for, and time spent waiting for a core isn't counted.

Python handles a signal where it calls, is called and loops. Whoever has just been called has used nothing yet: what
was used is its caller's, or the event loop's, which is compiled and leaves no frame of its own.
"""

from __future__ import annotations

import contextlib
import dis
import gc
import io
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from duologue.cli import main
from duologue_lab.bench.studies.stages import COLLECTING, SAMPLING

INTERVAL: Final = 0.002
"""Seconds of CPU. The kernel rounds it up to its own tick, usually 4 ms."""
SWITCH: Final = 0.0005
"""Seconds after which a thread at work in Python lets the one that takes the samples do so."""
_ENTERED: Final = dis.opmap["RESUME"]
_NAMES: Final[dict[CodeType, str]] = {}


class Sampler:
    """Notes what each thread has used. `take` is a signal handler, so it runs on the main thread."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self._main = threading.main_thread().ident
        self._used: dict[int, int] = {}
        self._busy = False
        self._collected: defaultdict[int, int] = defaultdict(int)
        self._began = 0

    def collect(self, phase: str, _: dict[str, int]) -> None:
        """Called by the garbage collector, which works for whichever thread happens to fill its measure."""
        if phase == "start":
            self._began = time.thread_time_ns()
        else:
            self._collected[threading.get_ident()] += time.thread_time_ns() - self._began

    def take(self, _: int, frame: FrameType | None) -> None:
        if self._busy:
            return
        self._busy = True
        started = time.thread_time_ns()
        lines = []
        frames = sys._current_frames()  # noqa: SLF001 - for debuggers
        while frames:
            thread, top = frames.popitem()
            with contextlib.suppress(OSError):  # it has just ended
                now = time.clock_gettime_ns(time.pthread_getcpuclockid(thread))
                collected = self._collected.pop(thread, 0)
                used = now - self._used.get(thread, 0) - collected
                self._used[thread] = now
                if collected:
                    lines.append(f"{collected} {COLLECTING}\n")
                if used > 0:
                    lines.append(line(used, _worker(frame) if thread == self._main else top))
        # It is among the frames itself: a cycle, which would keep all that they hold until it is collected.
        del top
        own = time.thread_time_ns() - started
        if self._main:
            self._used[self._main] = self._used.get(self._main, 0) + own
        self._file.write("".join([*lines, f"{own} {SAMPLING}\n"]).encode())
        self._busy = False


def line(used: int, frame: FrameType | None) -> str:
    """So many nanoseconds, and the calls of a stack."""
    calls = []
    while frame:
        code = frame.f_code
        calls.append(_NAMES.get(code) or _NAMES.setdefault(code, f"{code.co_filename}:{code.co_name}"))
        frame = frame.f_back
    return f"{used} {';'.join(calls)}\n"


def _worker(frame: FrameType | None) -> FrameType | None:
    """Return the frame at work when the signal came, not a function that was only just entered."""
    if frame and frame.f_code.co_code[frame.f_lasti] == _ENTERED:
        return frame.f_back
    return frame


def start(path: Path) -> None:
    """Sample from now on, until the process ends."""
    sys.setswitchinterval(SWITCH)
    sampler = Sampler(path.open("wb", buffering=0))
    gc.callbacks.append(sampler.collect)
    signal.signal(signal.SIGPROF, sampler.take)
    signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 - the library's signature
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)


if __name__ == "__main__":
    start(Path(sys.argv.pop(1)))
    main()
