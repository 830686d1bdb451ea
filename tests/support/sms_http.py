"""A stand-in for a provider's HTTP interface: a real server that records what it hears and answers as told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qsl

Mood = Literal["willing", "busy", "silent", "broken"]


@dataclass(frozen=True)
class Heard:
    """A request, as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64


class HttpProvider:
    """Serves on a free port until closed. `answer` is asked unless the mood says otherwise.

    busy: 429 · broken: 502 · silent: takes the request and never answers.
    """

    def __init__(self, answer: Callable[[Heard], Answer], busy: Answer | None = None) -> None:
        self.heard: list[Heard] = []
        self.mood: Mood = "willing"
        self._answer = answer
        self._busy = busy or Answer(429, "slow down", {"Retry-After": "7"})
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving: from now on connections are refused."""
        if not self._over.is_set():
            self._over.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def respond(self, heard: Heard) -> Answer | None:
        self.heard.append(heard)
        if self.mood == "silent":
            self._over.wait()
            return None
        if self.mood == "willing":
            return self._answer(heard)
        return self._busy if self.mood == "busy" else Answer(502, "<html>Bad gateway</html>")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            # One request a connection, so that closing the server ends every thread.
            protocol_version = "HTTP/1.0"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if len(body) < length:
                    # Whoever asked died in the middle of it.
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = outer.respond(Heard(self.command, self.path, headers, body))
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body.encode())

            do_GET = do_PUT = do_POST  # noqa: N815 - as the base class spells them

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
