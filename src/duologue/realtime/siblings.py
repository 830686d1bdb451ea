"""The bus between the workers of one host: each is connected to every other by a UNIX socket.

No broker to run, and nothing to configure. Like any bus it may lose what is under way when a worker dies or can't
keep up: payloads are numbered, so the others see that some are missing, and ask the store. The sockets are in a
folder that is closed to other users, and all that passes is sealed: who gets at a socket all the same can do nothing
with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from duologue.clock import Clock
from duologue.realtime.bus import BEAT_EVERY, BusHandler, Notice, Signal
from duologue.realtime.envelope import BEAT, LEAVE, NOTICES, SIGNAL, Sealer
from duologue.realtime.payloads import encode, payloads
from duologue.realtime.sealed_inbox import SealedInbox

_HEAD: Final = 4
"""Bytes of a payload's length, which stand before it."""
_PAYLOAD: Final = 256 * 1024
"""Bytes that one payload may have, unless a single notice has more."""
_LONGEST: Final = 16 * _PAYLOAD
"""Bytes of a payload that no worker sends: whoever announces more is none."""
_WAITING: Final = 32 * 1024 * 1024
"""Bytes that may wait for a sibling; beyond that it misses what comes, and sees so by the numbers."""
_RETRY: Final = 0.1
"""Seconds until a sibling is tried again."""


class SiblingBus:
    """`Bus` of worker `index` among `count`, whose sockets are in `folder`; `key` is known to these workers alone."""

    alone = False

    def __init__(self, folder: Path, index: int, count: int, key: bytes, clock: Clock) -> None:
        self._folder = folder
        self._index = index
        self._links = [_Link(self._path(other)) for other in range(count) if other != index]
        self._sealer = Sealer(key, clock)
        self._inbox = SealedInbox([key], clock, expected=count - 1)
        self._ears: set[_Ear] = set()
        self._beats: asyncio.Task[None] | None = None
        self._handler: BusHandler | None = None
        self._server: asyncio.Server | None = None

    def _path(self, index: int) -> Path:
        return self._folder / f"{index}.sock"

    async def start(self, handler: BusHandler) -> None:
        self._handler = handler
        path = self._path(self._index)
        path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: _Ear(self._inbox, handler, self._ears), str(path)
        )
        for link in self._links:
            link.start()
        self._beats = asyncio.create_task(self._beat_forever())

    async def close(self) -> None:
        self._handler = None
        if self._beats:
            self._beats.cancel()
            await asyncio.gather(self._beats, return_exceptions=True)
        self._tell(LEAVE)
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

    def as_of(self) -> float:
        return self._inbox.as_of()

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
            self._tell(NOTICES, payload)

    def publish_signal(self, signal: Signal) -> None:
        if self._handler:
            self._handler.signal(signal)
        self._tell(SIGNAL, encode(signal))

    def _tell(self, kind: bytes, body: bytes = b"") -> None:
        payload = self._sealer.seal(kind, body)
        frame = len(payload).to_bytes(_HEAD) + payload
        for link in self._links:
            link.send(frame)

    async def _beat_forever(self) -> None:
        while True:
            self._tell(BEAT)
            await asyncio.sleep(BEAT_EVERY)


class _Link(asyncio.Protocol):
    """The way to one sibling, made again whenever it is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._transport: asyncio.Transport | None = None
        self._full = False
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
        self._full = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._transport = None
        self._lost.set()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False

    def send(self, frame: bytes) -> None:
        """Pass it on if the way is free; the sibling sees by the numbers of the next ones that it missed some."""
        if self._transport and not self._full:
            self._transport.write(frame)


class _Ear(asyncio.Protocol):
    """Connection on which one sibling's messages arrive."""

    def __init__(self, inbox: SealedInbox, handler: BusHandler, ears: set[_Ear]) -> None:
        self._inbox = inbox
        self._handler = handler
        self._ears = ears
        self._buffer = bytearray()
        self._sender: bytes | None = None
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ears.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's signature
        self._ears.discard(self)
        if self._sender:
            self._inbox.lost(self._sender)

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            end = _HEAD + int.from_bytes(self._buffer[:_HEAD])
            if end > _LONGEST:
                self.close()
                return
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEAD:end])
            del self._buffer[:end]
            self._sender = self._inbox.receive(payload, self._handler) or self._sender
