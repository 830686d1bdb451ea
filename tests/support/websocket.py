"""A uvicorn server with our WebSocket transport in a thread, and a client made of a bare TCP socket."""

from __future__ import annotations

import asyncio
import itertools
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs

import uvicorn

from duologue.edge.edge import Edge
from duologue.edge.handshake import Handshake, Refusal, origin_allowed, plain_refusal
from duologue.socket.transport import Accept, http_with_websocket
from duologue.socket.wire import FrameHandler, Wire

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MAX_MESSAGE = 70_000
TIMEOUT = 10.0
MASK = bytes((0x5A, 0x01, 0xF0, 0x33))
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the one of RFC 6455

T = TypeVar("T")

_names = map(str, itertools.count())


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    claim: int | None = None,
    long_form: int = 0,
) -> bytes:
    """A client's frame. `claim` lies about the size; `long_form` (16, 64) chooses how it is written."""
    size = len(payload) if claim is None else claim
    first, mask_bit = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if masked else 0
    if size < 126 and not long_form:
        head = struct.pack("!BB", first, mask_bit | size)
    elif size < 65536 and long_form != 64:
        head = struct.pack("!BBH", first, mask_bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, size)
    if not masked:
        return head + payload
    stretched = MASK * (len(payload) // 4 + 1)
    return head + MASK + bytes(a ^ b for a, b in zip(payload, stretched, strict=False))


def upgrade_request(path: str = "/echo", **changes: str | None) -> bytes:
    """An upgrade request. `changes` set, or with None leave out, a header (`_` stands for `-`)."""
    headers: dict[str, str | None] = {
        "Host": "example.org",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


def send(wire: Wire, payload: bytes, *, times: int) -> None:
    """Sends the same message again and again, whatever the back-pressure."""
    for _ in range(times):
        wire.send(payload)


@dataclass
class Echo:
    """Sends back every message, and notes all that happens to its connection."""

    handshake: Handshake
    events: queue.SimpleQueue[tuple[Any, ...]] = field(default_factory=queue.SimpleQueue)
    echoes: bool = True
    fails_in: str = ""

    def _note(self, *event: Any) -> None:
        self.events.put(event)
        if self.fails_in == event[0]:
            raise RuntimeError("a handler's own bug")

    def on_open(self, wire: Wire) -> None:
        self.wire = wire
        if self.handshake.path == "/unwelcome":
            wire.close(4009, "too many connections")
        self._note("open")

    def on_message(self, payload: bytes, binary: bool) -> None:
        self._note("message", payload, binary)
        if self.echoes:
            self.wire.send(payload, binary=binary)

    def on_heartbeat(self) -> bool:
        self._note("heartbeat")
        return not self.handshake.path.startswith("/over-limit")

    def on_read_end(self) -> None:
        self._note("read_end")

    def on_pause(self) -> None:
        self._note("pause")
        if self.handshake.path == "/strict":
            self.wire.close(4008)

    def on_resume(self) -> None:
        self._note("resume")

    def on_shutdown(self) -> None:
        self._note("shutdown")
        if self.handshake.path != "/stubborn":
            self.wire.close(1001, "going away")

    def on_close(self, code: int) -> None:
        self._note("close", code)

    def until(self, kind: str) -> list[tuple[Any, ...]]:
        """Waits for an event of that kind; everything that happened up to it, `read_end` apart."""
        seen = [self.events.get(timeout=TIMEOUT)]
        while seen[-1][0] != kind:
            seen.append(self.events.get(timeout=TIMEOUT))
        return [event for event in seen if event[0] != "read_end" or kind == "read_end"]

    def messages(self, count: int) -> list[bytes]:
        """Waits for the payloads of the next messages."""
        return [self.until("message")[-1][1] for _ in range(count)]


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True


class Peer:
    """The other end: says exactly what it is told to."""

    def __init__(self, address: tuple[str, int], *, receive_buffer: int = 0) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(TIMEOUT)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *frames: bytes) -> None:
        self.sock.sendall(b"".join(frames))

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """An HTTP answer: status, headers with lower-case names, body."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, rest = bytes(self._read).partition(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
        self._read = bytearray(rest)
        body = self._take(int(headers.get("content-length", "0")))
        return int(first.split()[1]), headers, body

    def frame(self) -> Frame:
        first, second = self._take(2)
        assert second < 0x80, "a server's frame is never masked"
        size = second
        if second == 126:
            (size,) = struct.unpack("!H", self._take(2))
        elif second == 127:
            (size,) = struct.unpack("!Q", self._take(8))
        assert not first & 0x70
        return Frame(first & 0x0F, self._take(size), bool(first & 0x80))

    def closing(self) -> tuple[int | None, str]:
        """The next frame, which must be a close frame: its code and reason."""
        got = self.frame()
        assert got.opcode == CLOSE, got
        return (int.from_bytes(got.payload[:2]) if got.payload else None), got.payload[2:].decode()

    def is_over(self) -> bool:
        """Return whether the server ends the TCP connection without another byte."""
        try:
            return not self._read and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        taken = bytes(self._read[:size])
        del self._read[:size]
        return taken

    def _more(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError("the server ended the connection")
        self._read += data


@dataclass
class Running:
    """A server that is up."""

    server: uvicorn.Server
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    handlers: dict[str, Echo]

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.server.servers[0].sockets[0].getsockname()
        return host, port

    @property
    def url(self) -> str:
        return "{}:{}".format(*self.address)

    def peer(self, **options: int) -> Peer:
        return Peer(self.address, **options)

    @contextmanager
    def opened(
        self, path: str = "/echo", *, behind: bytes = b"", fails_in: str = "", **options: int
    ) -> Iterator[tuple[Peer, Echo]]:
        """An open WebSocket, both ends of it. `behind` is sent in one packet with the upgrade request."""
        name = next(_names)
        with self.peer(**options) as peer:
            peer.send(upgrade_request(f"{path}?name={name}&fails_in={fails_in}"), behind)
            assert peer.answer()[0] == HTTPStatus.SWITCHING_PROTOCOLS
            handler = self.handlers.pop(name)
            handler.until("open")
            yield peer, handler

    def run(self, call: Callable[[], T]) -> T:
        """Calls on the server's loop."""

        async def _called() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(_called(), self.loop).result(TIMEOUT)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()


@contextmanager
def serving(
    *, max_message: int = MAX_MESSAGE, close_timeout: float = 5.0, edge: Edge | None = None
) -> Iterator[Running]:
    """A server for as long as the context lasts."""
    handlers: dict[str, Echo] = {}
    up: queue.SimpleQueue[asyncio.AbstractEventLoop] = queue.SimpleQueue()
    protocol = http_with_websocket(
        _accept(handlers), max_message=max_message, close_timeout=close_timeout, edge=edge
    )
    config = uvicorn.Config(
        _app, port=0, http=protocol, ws="none", loop="uvloop", lifespan="off", log_level="error"
    )
    server = _Server(config, up)
    thread = threading.Thread(target=server.run)
    thread.start()
    running = Running(server, up.get(timeout=TIMEOUT), thread, handlers)
    try:
        yield running
    finally:
        running.stop()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, up: queue.SimpleQueue[asyncio.AbstractEventLoop]) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up.put(asyncio.get_running_loop())


def _accept(handlers: dict[str, Echo]) -> Accept:
    def accept(handshake: Handshake) -> FrameHandler | Refusal:
        match handshake.path:
            case "/broken":
                raise RuntimeError("a secret of the server")
            case "/closed":
                return Refusal(403, b'{"code":"closed"}', (("Retry-After", "7"),))
        if not origin_allowed(handshake, ["https://friend.example"]):
            return plain_refusal(HTTPStatus.FORBIDDEN, "Not from that page.")
        handler = Echo(handshake)
        query = parse_qs(handshake.query)
        handler.fails_in = query.get("fails_in", [""])[0]
        handlers[query.get("name", [""])[0]] = handler
        return handler

    return accept


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with its path, or: `/slow` after a while, `/body` the body, `/large` 1 MiB, `/pieces` chunks."""
    path = scope["path"]
    if path == "/slow":
        await asyncio.sleep(0.2)
    body = path.encode()
    if path == "/body":
        body = await _body(receive)
    if path == "/large":
        body = bytes(1 << 20)
    headers = [] if path == "/pieces" else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "/pieces":
        for piece in (b"one ", b"two "):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        body = b"three"
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
