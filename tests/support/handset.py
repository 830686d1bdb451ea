"""`duologue phone` as a child process, with pipes or a terminal, and what one asks its server besides."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import ssl
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import IO, Any

import httpx

from duologue_lab.servers.process import environment
from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE

COMMAND = [sys.executable, "-m", "duologue.cli", "phone"]
SERVICE = "+12025550100"
"""Where the simulator's texts come from."""
USUAL = {"reachable": True, "delay_ms": 0, "loss": 0, "duplicate": 0, "reorder": 0, "multipart": True}
"""How a handset behaves that was told nothing."""


@cache
def _http() -> httpx.Client:
    """Made once, without the certificates of the world: that takes long."""
    return httpx.Client(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False, timeout=PATIENCE)


class Stream:
    """Output of a pipe or terminal, read all the time, and waited for."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._text = ""
        self._news = threading.Condition()
        self._ended = False
        threading.Thread(target=self._follow, args=(read,), daemon=True).start()

    def _follow(self, read: Callable[[], bytes]) -> None:
        data = b"-"
        while data:
            try:
                data = read()
            except OSError:  # a terminal whose other side is closed
                data = b""
            with self._news:
                self._text += data.decode()
                self._ended = not data
                self._news.notify_all()

    @property
    def text(self) -> str:
        with self._news:
            return self._text

    def wait(self, pattern: str, within: float = PATIENCE) -> re.Match[str]:
        """The first match of a pattern, once it is there."""
        with self._news:
            found = self._news.wait_for(lambda: re.search(pattern, self._text) or self._ended, within)
            match = re.search(pattern, self._text)
            assert match, f"{pattern!r} hasn't come ({found=}), but {self._text!r}"
            return match


class Phone:
    """A running handset with pipes for a keyboard and a screen."""

    def __init__(self, phone: str, url: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, phone, "--url", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment("DUOLOGUE_"),
        )
        self.out, self.err = (self._stream(pipe) for pipe in (self.process.stdout, self.process.stderr))

    @staticmethod
    def _stream(pipe: IO[bytes] | None) -> Stream:
        assert pipe
        number = pipe.fileno()
        return Stream(lambda: os.read(number, 65536))

    def type(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens, the process doesn't outlive this."""
    try:
        yield
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def switched_on(server: DuologueServer, phone: str) -> Iterator[Phone]:
    """A handset that is ready."""
    running = Phone(phone, server.url)
    with ended(running.process):
        running.err.wait(r"is reachable\.\n")
        yield running


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A handset that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment("DUOLOGUE_"),
        check=False,
    )


@contextlib.contextmanager
def on_terminal(server: DuologueServer, phone: str) -> Iterator[tuple[subprocess.Popen[bytes], int, Stream]]:
    """A handset on a terminal of 80 columns: its process, the terminal's other side, and what that shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [*COMMAND, phone, "--url", server.url],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment("DUOLOGUE_", {"TERM": "xterm-256color"}),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - so that Ctrl-C is a signal
    )
    with ended(process):
        shown = Stream(lambda: os.read(ours, 65536))
        shown.wait("/help says what else it can do")
        shown.wait("> ")
        yield process, ours, shown
        assert termios.tcgetattr(theirs) == before, "the terminal isn't as it was"
    os.close(theirs)
    os.close(ours)


def ask(server: DuologueServer, method: str, path: str, body: Any = None) -> Any:
    answer = _http().request(method, server.url + path, json=body)
    assert answer.is_success, answer.text
    return answer.json() if "json" in answer.headers["content-type"] else answer.text


def ask_for_code(server: DuologueServer, phone: str) -> str:
    """The id of a verification whose code is on its way."""
    return str(ask(server, "POST", "/v1/verifications", {"phone": phone})["id"])


def received_by_server(server: DuologueServer) -> int:
    """Return the number of texts from handsets that have come through the provider's callback."""
    found = re.search(
        r"^duologue_sms_inbound_total\{.*\} (\d+)", ask(server, "GET", "/metrics"), re.MULTILINE
    )
    return int(found[1]) if found else 0


def until(condition: Callable[[], bool]) -> None:
    """Wait for what only asking can tell."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it hasn't come true"
        time.sleep(0.05)
