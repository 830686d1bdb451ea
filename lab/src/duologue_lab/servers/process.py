"""Real servers as child processes: ready when they say so, gone when the tests are, whatever happens."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import psutil

READY_TIMEOUT = 60.0
"""Seconds a server may take to get ready: generous, for a busy machine."""
STOP_TIMEOUT = 30.0
"""Seconds a server may take to stop when told to, before it is killed."""


class ServerError(Exception):
    """A server didn't start or didn't stop; the message holds the end of its log."""


@dataclass(frozen=True)
class Command:
    """Command that starts a server, and the line that it prints when it is ready.

    `ready` is searched for in each line of the stream named by `says`; what it matches is `Process.ready`.
    `user` and `group` are the ids to run as, if they aren't ours.
    """

    argv: Sequence[str]
    ready: re.Pattern[str]
    says: Literal["stdout", "stderr"]
    env: Mapping[str, str]
    cwd: Path
    user: int | None = None
    group: int | None = None


class Process:
    """A running server, in a process group of its own. Raises `ServerError` if it doesn't get ready.

    Its output is read all the time, so that it never blocks on a full pipe; `log` is the end of it.
    """

    def __init__(self, command: Command) -> None:
        self._lines: deque[str] = deque(maxlen=500)
        self._match: re.Match[str] | None = None
        self._decided = threading.Event()
        self._child = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=command.env,
            cwd=command.cwd,
            user=command.user,
            group=command.group,
            extra_groups=None if command.user is None else [],
            start_new_session=True,
            text=True,
            errors="replace",
        )
        _tell_reaper("watch", self._child.pid)
        self._readers = [
            threading.Thread(
                target=self._read,
                args=(stream, command.ready),
                kwargs={"decides": name == command.says},
                daemon=True,
            )
            for name, stream in (("stdout", self._child.stdout), ("stderr", self._child.stderr))
        ]
        for reader in self._readers:
            reader.start()
        self.ready = self._wait_until_ready(command)

    def _read(self, stream: IO[str], ready: re.Pattern[str], *, decides: bool) -> None:
        with stream:
            for line in stream:
                self._lines.append(line)
                if decides and not self._match and (match := ready.search(line)):
                    self._match = match
                    self._decided.set()
        if decides:
            self._decided.set()

    def _wait_until_ready(self, command: Command) -> re.Match[str]:
        self._decided.wait(READY_TIMEOUT)
        if self._match is None:
            self.kill()
            message = f"{command.argv[0]} didn't get ready (exit code {self._child.returncode})"
            raise ServerError(f"{message}. Its log:\n{self.log}")
        return self._match

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    @property
    def log(self) -> str:
        """The last 500 lines of stdout and stderr."""
        return "".join(self._lines)

    def kill(self) -> None:
        """End it and its descendants at once (SIGKILL), as a crash would. Harmless if it is gone."""
        if self.running:
            family = _descendants(self._child.pid)
            self._child.kill()
            _kill_all(family)
        self._settle()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, wait, and give its exit code. Raises `ServerError` if it had to be killed."""
        self._child.send_signal(how)
        try:
            self._child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"it didn't stop on {how.name}. Its log:\n{self.log}") from None
        self._settle()
        return self._child.returncode

    def _settle(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        _tell_reaper("forget", self._child.pid)
        for reader in self._readers:
            reader.join()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_all(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for process in processes:
        wait_until_dead(process.pid)


def wait_until_dead(pid: int) -> None:
    """Wait for the end of any process, child of ours or not. Raises `TimeoutError`.

    A zombie is dead: it holds nothing any more, and in a container nobody may ever come to collect it.
    """
    if sys.platform != "linux":
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=STOP_TIMEOUT)
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(STOP_TIMEOUT * 1000):
            raise TimeoutError(f"process {pid} still runs")
    finally:
        os.close(handle)


def halt(pid: int) -> None:
    """Have a process do nothing (SIGSTOP) until a SIGCONT; none of its threads runs any more when this returns.

    The signal alone doesn't do that: a thread on another core runs on for a moment. Nothing but proc(5) tells when
    that is over; where there is none, only the signal is sent. Raises `ProcessLookupError`, `TimeoutError`.
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + STOP_TIMEOUT
    for status in Path(f"/proc/{pid}/task").glob("*/stat"):
        while not _is_halted(status):
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {pid} still runs")
            time.sleep(0.001)


def _is_halted(status: Path) -> bool:
    """Tell whether a thread of proc(5) is stopped, or has ended."""
    try:
        return status.read_text().rpartition(") ")[2][:1] in "TtZX"
    except OSError:
        return True


_reaper_lock = threading.Lock()


@functools.cache
def reaper() -> subprocess.Popen[str]:
    """The one that clears up if we don't come to it: see `reaper.py`."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    atexit.register(process.communicate)
    return process


def _tell_reaper(verb: str, name: object) -> None:
    with _reaper_lock:
        stdin = reaper().stdin
        assert stdin is not None
        stdin.write(f"{verb} {name}\n")
        stdin.flush()


def temporary_folder(parent: Path | None = None) -> Path:
    """A new folder with a short path (a socket's may have 100 bytes), deleted with the run at the latest."""
    folder = Path(tempfile.mkdtemp(prefix="duologue-", dir=parent))
    _tell_reaper("keep", folder)
    return folder


def delete_folder(folder: Path) -> None:
    """Delete a folder and all that is in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def environment(without: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment, less the variables that start with `without`, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    return {**kept, **(extra or {})}


def hold_port(port: int) -> socket.socket | None:
    """Keep a free port for a server that is to come back to it; close the result to give it up.

    A socket that is bound but doesn't listen keeps the port out of the system's hands, while a server that
    sets SO_REUSEADDR may still listen on it. Only Linux has it so; elsewhere the port is left to luck.
    """
    if sys.platform != "linux":
        return None
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    return held
