"""The real `duologue serve`, as a child process."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from duologue_lab.servers.process import Command, Process, environment, hold_port
from duologue_lab.servers.wrong_clock import WrongClock

ADDRESS = re.compile(r"https?://[^\s/]+:(\d+)")


class DuologueServer:
    """One node on 127.0.0.1 that can be stopped, killed and started again on the same port.

    `data_dir` is its data directory and its working directory. `args` go to `duologue serve`, `env` is added
    to our environment, from which every `DUOLOGUE_*` is taken out first. `program` runs `duologue`: a Python module
    that does something before. With a `clock` it runs by that wall clock. As a context manager it starts on
    entry, and on exit it is killed and what it logged is printed, which pytest shows if the test failed.
    """

    def __init__(
        self,
        data_dir: Path,
        *args: str,
        env: Mapping[str, str] | None = None,
        program: str = "duologue.cli",
        clock: WrongClock | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._args = args
        self._env = environment("DUOLOGUE_", env)
        self._program = clock.command(program) if clock else ("-m", program)
        self._process: Process | None = None
        self._held: socket.socket | None = None
        self._logs: list[str] = []
        self.port = 0
        self.url = ""

    def start(self) -> Self:
        """Start it and wait for the line with its address. Raises `ServerError` with its log if it fails."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        command = (sys.executable, *self._program, "serve")
        options = ("--port", str(self.port), "--data-dir", str(self._data_dir), *self._args)
        self._process = Process(Command(command + options, ADDRESS, "stdout", self._env, self._data_dir))
        self.url = self._process.ready[0]
        self.port = int(self._process.ready[1])
        return self

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def log(self) -> str:
        """The lines that it has printed, over all restarts: at most 500 of each life."""
        now = self._process.log if self._process else ""
        return "".join((*self._logs, now))

    def kill(self) -> None:
        """End it and its workers at once (SIGKILL). Harmless if it isn't running."""
        if self._process:
            self._process.kill()
            self._ended()

    def stop(self) -> int:
        """Send SIGTERM, wait, and give the exit code. Raises `ServerError` if it takes more than 30 s."""
        code = self._running().stop(signal.SIGTERM)
        self._ended()
        return code

    def restart(self, *, kill: bool = False) -> None:
        """Stop or kill it, then start it again on the same port, with the same data and arguments."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def close(self) -> None:
        """Kill it, print its log, and give its port back."""
        self.kill()
        if self._held:
            self._held.close()
        sys.stderr.write(self.log)

    def _running(self) -> Process:
        assert self._process, "the server isn't running"
        return self._process

    def _ended(self) -> None:
        self._logs.append(self._running().log)
        self._process = None
        self._held = self._held or hold_port(self.port)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
