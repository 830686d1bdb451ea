"""A wall clock that is wrong, and that can be set while a server runs: for tests and for `torture`.

Make one, start a server with it, and set it whenever you like:

    clock = WrongClock(folder / "clock")
    with DuologueServer(folder, clock=clock) as server:
        clock.set(40 * DAY)  # the server's wall clock is 40 days ahead, within the next read of it
        clock.set(0)  # and right again

The server reads its offset from a file each time that it asks for the time of day, and its workers do so too. Only
the wall clock is wrong: the clock since the machine started, which no operator can set, runs on. Nothing of it is
part of the server itself: the lab starts the same command in a process where `time.time` and `time.time_ns` add the
offset. So it works without libfaketime and without any right of the system. A clock may be set before the server
starts, kept over restarts, and shared by several servers (one machine) or not (several).

A node doesn't follow a jump of its clock for some minutes (`duologue.clock.SteadyClock`); `/readyz` tells of it
within two seconds. To see what a wrong clock does to stored times, set it before the start.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PER_MS: Final = 1_000_000
"""Nanoseconds."""


class WrongClock:
    """The offset (ms) of a wall clock, in a file that servers read. A new one is right."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def command(self, program: str) -> tuple[str, ...]:
        """The arguments to Python that run a module with this clock: the module's own arguments come behind."""
        return ("-m", __name__, str(self._path), program)

    def set(self, ahead: int) -> None:
        """Put the clock so many ms ahead of the true time, or behind if negative. It holds for the next reading."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place: no reading may ever see half of a number.
        draft = self._path.with_name(f"{self._path.name}.new")
        draft.write_text(str(ahead))
        draft.replace(self._path)


def read_offset(path: Path) -> int:
    """Read an offset (ms) that a `WrongClock` has written; 0 where there is none."""
    try:
        return int(path.read_bytes())
    except FileNotFoundError:
        return 0


def _install(offset: Callable[[], int]) -> None:
    """Let everything in this process that asks for the time of day get a wrong one."""
    right = time.time_ns

    def wrong_ns() -> int:
        return right() + offset() * _PER_MS

    time.time_ns = wrong_ns
    time.time = lambda: wrong_ns() / 1e9


def main() -> None:
    """Run a module: behind the name of the clock's file come its name and its arguments."""
    path, program = Path(sys.argv[1]).resolve(), sys.argv[2]
    _install(lambda: read_offset(path))
    sys.argv[1:3] = []
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
