"""The bus between the workers of one host: each is connected to every other by a UNIX socket.

No broker to run, and nothing to configure. Like any bus it may lose what is under way when a worker dies or can't
keep up; the worker that comes back, or catches up, is told to look at the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from duologue.realtime.bus import Handler, Notice, Signal
from duologue.realtime.payloads import decode_notices, decode_signal, encode, payloads

_HEAD: Final = 5
"""The payload's length in four bytes, and its kind in one."""
_NOTICES, _SIGNAL, _RECHECK = b"n", b"s", b"r"
_PAYLOAD: Final = 256 * 1024
_WAITING: Final = 32 * 1024 * 1024
"""Bytes that may wait for a sibling; beyond that it misses what comes, and is told so."""
_RETRY: Final = 0.1


class SiblingBus:
    """`Bus` of worker `index` among `count`, whose sockets are in `folder`."""

    alone = False

    def __init__(self, folder: Path, index: int, count: int) -> None:
        self._folder = folder
        self._index = index
        self._links = [_Link(self._path(other)) for other in range(count) if other != index]
        self._ears: set[_Ear] = set()
        self._handler: Handler | None = None
        self._server: asyncio.Server | None = None

    def _path(self, index: int) -> Path:
        return self._folder / f"{index}.sock"

    async def start(self, handler: Handler) -> None:
        self._handler = handler
        path = self._path(self._index)
        path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Ear(handler, self._ears), str(path))
        for link in self._links:
            link.start()

    async def close(self) -> None:
        self._handler = None
        for link in self._links:
            await link.close()
        for ear in tuple(self._ears):
            ear.close()
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    def connected(self) -> bool:
        """Siblings come and go; this worker serves without them."""
        return True

    @property
    def linked(self) -> int:
        """To how many siblings the way is open."""
        return sum(link.is_open for link in self._links)

    def wants(self, user_id: int) -> bool:  # noqa: ARG002 - only the siblings know
        return True

    def publish(self, notices: Sequence[Notice]) -> None:
        if self._handler:
            self._handler.deliver(notices)
        for payload in payloads(notices, _PAYLOAD):
            self._tell(_NOTICES, payload)

    def publish_signal(self, signal: Signal) -> None:
        if self._handler:
            self._handler.signal(signal)
        self._tell(_SIGNAL, encode(signal))

    def _tell(self, kind: bytes, payload: bytes) -> None:
        frame = _frame(kind, payload)
        for link in self._links:
            link.send(frame)


def _frame(kind: bytes, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(4) + kind + payload


class _Link(asyncio.Protocol):
    """The way to one sibling, made again whenever it is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._transport: asyncio.Transport | None = None
        self._missed = False
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._lost.clear()
            try:
                await loop.create_unix_connection(lambda: self, str(self._path))
                await self._lost.wait()
            except OSError:
                await asyncio.sleep(_RETRY)

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_WAITING)
        self.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._transport = None
        self._missed = True
        self._lost.set()

    def pause_writing(self) -> None:
        self._missed = True

    def resume_writing(self) -> None:
        if self._missed and self._transport:
            self._missed = False
            self._transport.write(_frame(_RECHECK))

    def send(self, frame: bytes) -> None:
        if self._transport is None:
            self._missed = True
        elif not self._missed:
            self._transport.write(frame)


class _Ear(asyncio.Protocol):
    """What one sibling says."""

    def __init__(self, handler: Handler, ears: set[_Ear]) -> None:
        self._handler = handler
        self._ears = ears
        self._buffer = bytearray()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ears.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._ears.discard(self)

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            end = _HEAD + int.from_bytes(self._buffer[:4])
            if len(self._buffer) < end:
                return
            kind, payload = bytes(self._buffer[4:_HEAD]), bytes(self._buffer[_HEAD:end])
            del self._buffer[:end]
            self._hear(kind, payload)

    def _hear(self, kind: bytes, payload: bytes) -> None:
        if kind == _NOTICES:
            self._handler.deliver(decode_notices(payload))
        elif kind == _SIGNAL:
            self._handler.signal(decode_signal(payload))
        else:
            self._handler.recheck()
