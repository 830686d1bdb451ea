"""Outlives a test run that was killed, and takes the servers that it left behind with it.

Run as a script by `process.py`. Each line on stdin is a verb and its object: `watch PID` and `forget PID`
for a process that leads a group of its own, `keep PATH` for a folder to be deleted at the end.
When stdin ends, however that came about, whatever is still watched is ended and the folders are deleted.
SIGQUIT comes first, for on that PostgreSQL gives back the shared memory that it holds, then SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys

PATIENCE = 5.0
"""Seconds."""


def main() -> None:
    """Note what stdin says until it ends, then clear up."""
    pids: set[int] = set()
    folders: list[str] = []
    for line in sys.stdin:
        verb, _, name = line.rstrip("\n").partition(" ")
        match verb:
            case "watch":
                pids.add(int(name))
            case "forget":
                pids.discard(int(name))
            case _:
                folders.append(name)
    for how in (signal.SIGQUIT, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, how)
        for pid in pids:
            wait(pid)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def wait(pid: int) -> None:
    """Give a process some seconds to end. Only Linux lets one wait for a process that isn't one's child."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        select.select([handle], [], [], PATIENCE)
        os.close(handle)


if __name__ == "__main__":
    main()
