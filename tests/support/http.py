"""HTTP byte by byte: what a library would never send, and what came back, answer by answer."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

PATIENCE = 30.0
"""Seconds after which an answer is taken not to come."""


class Answer(NamedTuple):
    """An answer as it came; names of headers are in lower case, chunks are joined."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> Any:
        assert self.headers["content-type"] == "application/problem+json", self
        return json.loads(self.body)


class Raw:
    """One TCP connection to a server."""

    def __init__(self, tcp: socket.socket) -> None:
        self.tcp = tcp
        self._read = bytearray()

    def send(self, *parts: bytes) -> None:
        """Raises nothing when the server has closed already: what matters is what it said before."""
        with contextlib.suppress(ConnectionError):
            self.tcp.sendall(b"".join(parts))

    def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer. Raises `EOFError` when the connection ends first."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        fields = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        status = int(first.split(" ")[1])
        if not has_body or status in {100, 101, 204}:
            return Answer(status, headers, b"")
        return Answer(status, headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return self._take(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return self.rest()
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._take(size)
            self._take(2)
        self._take(2)
        return body

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                self._more()
        rest, self._read = bytes(self._read), bytearray()
        return rest

    def is_over(self) -> bool:
        """Return whether the server closes without another byte."""
        return self.rest() == b""

    def _until(self, end: bytes) -> bytes:
        while (found := self._read.find(end)) < 0:
            self._more()
        return self._take(found + len(end))

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        taken = bytes(self._read[:size])
        del self._read[:size]
        return taken

    def _more(self) -> None:
        data = self.tcp.recv(65_536)
        if not data:
            raise EOFError(bytes(self._read))
        self._read += data


@contextlib.contextmanager
def raw(port: int, *, source: str = "127.0.0.1", receive_buffer: int = 0) -> Iterator[Raw]:
    """A connection to a server on this machine, from the address `source`."""
    with socket.socket() as tcp:
        if receive_buffer:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        tcp.bind((source, 0))
        tcp.settimeout(PATIENCE)
        tcp.connect(("127.0.0.1", port))
        yield Raw(tcp)
