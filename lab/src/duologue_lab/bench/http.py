"""HTTP requests by the thousand: a few kept connections, and next to no work for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import httptools
import msgspec

T = TypeVar("T")
R = TypeVar("R")

WIDTH: Final = 64
"""Requests, and therefore connections, at once."""
_PATIENCE: Final = 60.0  # seconds


class RequestFailed(Exception):
    """The server refused a request; the message holds its answer."""


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._answer = asyncio.get_running_loop().create_future()
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(
                ConnectionResetError(f"the server hung up: {exc or 'no reason given'}")
            )

    def on_body(self, data: bytes) -> None:
        """Called by httptools."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Called by httptools."""
        if self._answer and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), b"".join(self._body)))


class Http:
    """Requests to one server. Raises `RequestFailed` for any answer but a 2xx, `OSError` where there is none."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = parts.scheme == "https"
        self._head = f"Host: {parts.netloc}\r\n".encode()
        self._idle: list[_Connection] = []

    async def ask(self, method: str, path: str, token: str = "", body: Any = None) -> Any:
        """The decoded answer, None if it has no body. Raises `RequestFailed`."""
        request = self._request(method, path, token, body)
        try:
            status, answer = await self._exchange(request)
        except ConnectionResetError:  # a kept connection was at the end of its time
            status, answer = await self._exchange(request, fresh=True)
        if not 200 <= status < 300:
            raise RequestFailed(f"{method} {path}: {status} {answer.decode(errors='replace')}")
        return msgspec.json.decode(answer) if answer else None

    async def _exchange(self, request: bytes, *, fresh: bool = False) -> tuple[int, bytes]:
        connection = None if fresh else self._kept()
        if connection is None:
            connection = await self._connect()
        async with asyncio.timeout(_PATIENCE):
            answer = await connection.ask(request)
        self._idle.append(connection)
        return answer

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def _request(self, method: str, path: str, token: str, body: Any) -> bytes:
        bearer = f"Authorization: Bearer {token}\r\n".encode() if token else b""
        content = b"" if body is None else msgspec.json.encode(body)
        kind = b"Content-Type: application/json\r\n" if content else b""
        length = b"Content-Length: %d\r\n" % len(content) if content or method != "GET" else b""
        return b"".join(
            (f"{method} {path} HTTP/1.1\r\n".encode(), self._head, bearer, kind, length, b"\r\n", content)
        )

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            _Connection, self._host, self._port, ssl=self._tls or None
        )
        return connection

    def close(self) -> None:
        """End the connections."""
        for connection in self._idle:
            connection.transport.close()


async def each(
    work: Callable[[T], Awaitable[R]], items: Sequence[T], width: int, advance: Callable[[], object]
) -> list[R]:
    """`work` done for each item, `width` of them at once; `advance` is called after each. In the items' order."""
    results: list[Any] = [None] * len(items)
    waiting = iter(enumerate(items))

    async def run() -> None:
        for index, item in waiting:
            results[index] = await work(item)
            advance()

    await asyncio.gather(*(run() for _ in range(min(width, len(items)))))
    return results
