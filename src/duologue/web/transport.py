"""WebSocket (RFC 6455) on uvicorn's own port, with picows as the parser of frames.

    uvicorn.Config(app, http=HttpProtocol, ws=websocket_protocol(accept, max_message=65536))

uvicorn reads the upgrade request and hands the connection over to the class in `ws`. From there on picows
cuts what is read into frames and calls the connection's `Wire` directly: no task, no future, no queue.
picows' parser is the only part of it that is used. It comes in a class that isn't exported, so its version
is pinned and the conformance tests stand guard.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Final

from picows import WSAutoPingStrategy
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # not exported, but it is there
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from duologue.web.handshake import Handshake, Refusal, accepting, plain_refusal, read_handshake, refusing
from duologue.web.wire import HIGH_WATER, LOW_WATER, Handler, Wire

SUBPROTOCOLS: Final = ("duologue.v1", "duologue.v1.msgpack")
CLOSE_TIMEOUT: Final = 5.0  # seconds for the peer to answer our close frame
LARGE_BUFFER: Final = 8 * 1024  # bytes of read buffer that a quiet connection may keep
KERNEL_BUFFER: Final = (
    64 * 1024
)  # bytes that the kernel may hold in each direction before back-pressure is felt

# Only opens picows' parser: the client's own handshake is judged and answered elsewhere.
_FORMALITY: Final = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_CLOSE_FRAME: Final = 0x88

_logger = logging.getLogger(__name__)
# picows logs each connection at INFO and each fault of a peer as an error; on_close tells us what we need.
# It makes a child of a real logger for each connection, of an adapter it doesn't.
_parser_logger = logging.LoggerAdapter(logging.getLogger(f"{__name__}.parser"), {})
_parser_logger.setLevel(logging.CRITICAL)


Accept = Callable[[Handshake], Handler | Refusal]


@dataclass(frozen=True, slots=True)
class _Options:
    accept: Accept
    max_message: int
    subprotocols: Sequence[str]
    close_timeout: float


def websocket_protocol(
    accept: Accept,
    *,
    max_message: int,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
    close_timeout: float = CLOSE_TIMEOUT,
) -> type[asyncio.Protocol]:
    """A class for the `ws` argument of `uvicorn.Config`.

    `accept` makes the handler of a new connection or refuses it. `max_message` is in bytes and covers all
    fragments of a message; a longer one ends the connection with 1009. After our close frame the peer has
    `close_timeout` seconds to send its own.
    """

    class Bound(_SocketProtocol):
        __slots__ = ()
        options = _Options(accept, max_message, subprotocols, close_timeout)

    return Bound


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which hands over to a WebSocket without loss.

    On its own it drops what a client sends right behind its upgrade request (the request's own packet may
    hold the first frames), and upgrades while an earlier, pipelined request is still being answered, so
    that the answer would end up among the frames.
    """

    _chunk = b""

    def data_received(self, data: bytes) -> None:
        self._chunk = data
        super().data_received(data)
        self._chunk = b""

    def handle_websocket_upgrade(self) -> None:
        upgrade = sys.exception()
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.scope["http_version"] != "1.1":
            self.send_400_response("A WebSocket needs a connection of its own, and HTTP/1.1.")
            return
        super().handle_websocket_upgrade()
        if upgrade is not None:
            _hand_over(self.transport, self._chunk[upgrade.args[0] :])
        self.parser = None  # type: ignore[assignment]  # it refers back: that much less for the collector


class _SocketProtocol(WSProtocol):  # type: ignore[misc]  # untyped: see the import
    """Between uvicorn, picows and one `Wire`. picows' own set-up waits until the handshake is accepted."""

    __slots__ = ("_server", "_tcp", "_wire")
    options: ClassVar[_Options]

    def __init__(self, *, server_state: ServerState, **_uvicorn: object) -> None:
        self._server = server_state
        self._wire: Wire | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._tcp = transport

    def data_received(self, data: bytes) -> None:
        """The upgrade request, from uvicorn; what follows comes through `get_buffer`."""
        peer = self._tcp.get_extra_info("peername")
        asked = read_handshake(data, peer[0] if peer else "", self.options.subprotocols)
        if isinstance(asked, Refusal):
            self._refuse(asked)
            return
        verdict = self._judge(asked)
        if isinstance(verdict, Refusal):
            self._refuse(verdict)
        else:
            self._open(accepting(asked), verdict)

    def eof_received(self) -> bool:
        if self._wire is not None:
            self._wire.finish()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._wire is not None:
            self._server.connections.discard(self)
            super().connection_lost(exc)

    def shutdown(self) -> None:
        """Called by uvicorn, which then waits until this protocol has left `connections`."""
        if self._wire is not None:
            self._wire.shut_down()

    def give_back_buffer(self) -> None:
        """Makes room for other connections once a large read is long over. Nothing may be left to parse.

        The parser's buffer grows with the largest frame or burst and never shrinks, so it is replaced.
        """
        if self._wire is not None and len(self.get_buffer(0)) > LARGE_BUFFER:
            heir = type(self)(server_state=self._server)
            heir.connection_made(self._tcp)
            heir.serve(self._wire)
            self._server.connections.discard(self)
            self._tcp.set_protocol(heir)

    def _refuse(self, refusal: Refusal) -> None:
        self._tcp.write(refusing(refusal, self._server.default_headers))
        self._tcp.close()

    def _judge(self, handshake: Handshake) -> Handler | Refusal:
        try:
            return self.options.accept(handshake)
        except Exception:
            _logger.exception("A handshake could not be judged")
            return plain_refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Something failed on the server.")

    def _open(self, answer: bytes, handler: Handler) -> None:
        _bound_buffers(self._tcp)
        self._tcp.write(answer)
        options = self.options
        wire = Wire(self._tcp, handler, max_message=options.max_message, close_timeout=options.close_timeout)
        self.serve(wire)
        wire.open()

    def serve(self, wire: Wire) -> None:
        """From here on picows calls `wire`."""
        self._wire = wire
        self._server.connections.add(self)
        super().__init__(
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=lambda _request: wire,
            logger=_parser_logger,
            disconnect_on_exception=True,
            websocket_handshake_timeout=None,
            enable_auto_ping=False,
            auto_ping_idle_timeout=None,
            auto_ping_reply_timeout=None,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,
            max_frame_size=self.options.max_message,
            extra_headers=None,
            read_buffer_init_size=0,  # it takes its least, 2 KiB
        )
        super().connection_made(_ParserOutput(wire))
        self.get_buffer(0)[: len(_FORMALITY)] = _FORMALITY
        self.buffer_updated(len(_FORMALITY))
        del self.transport.request.headers, self.transport.response.headers  # 1 KiB that no one will read


class _ParserOutput:
    """What picows is given for a transport, so that it only parses.

    It would answer its handshake and send close frames of its own, past what `Wire` has queued, and reset
    the connection 10 ms later. Here the former is dropped and the latter becomes an orderly failure.
    """

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def get_extra_info(self, name: str, _default: object = None) -> _ParserOutput | None:
        return self if name == "socket" else None

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_option: int) -> None:
        pass

    def getsockopt(self, *_option: int) -> int:
        return 0

    def get_write_buffer_size(self) -> int:
        return 1  # picows writes past its transport while there is nothing in its buffer

    def write(self, data: bytes) -> None:
        if data[0] == _CLOSE_FRAME:
            self._wire.fail_later(int.from_bytes(data[2:4]), data[4:].decode())

    def close(self) -> None:
        pass


def _hand_over(transport: asyncio.Transport, data: bytes) -> None:
    """Gives `data` to the transport's buffered protocol as if it had just been read."""
    rest = memoryview(data)
    while rest and not transport.is_closing():
        protocol: Any = transport.get_protocol()  # asked for each time: it may have been replaced
        room = memoryview(protocol.get_buffer(len(rest)))
        size = min(len(room), len(rest))
        room[:size] = rest[:size]
        protocol.buffer_updated(size)
        rest = rest[size:]


def _bound_buffers(transport: asyncio.Transport) -> None:
    """Keeps what waits in the kernel small, and so memory and the time until a slow peer is noticed."""
    transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
    sock = transport.get_extra_info("socket")
    # picows' read buffer grows with the largest read and never shrinks.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
    if sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, KERNEL_BUFFER)
