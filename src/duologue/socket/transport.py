"""WebSocket (RFC 6455) on uvicorn's own port, with picows as the parser of frames.

    uvicorn.Config(app, http=http_with_websocket(accept, max_message=65536), ws="none")

uvicorn reads HTTP as ever. A request to upgrade is answered here, and from then on picows cuts what is read
into frames and calls the connection's `Wire` directly: no task, no future, no queue. picows' parser is the
only part of it that is used. It comes in a class that isn't exported, so its version is pinned and the
conformance tests stand guard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Final

from picows import WSAutoPingStrategy
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # not exported, but it is there

from duologue.edge.connection_caps import ConnectionSlot
from duologue.edge.edge import Edge
from duologue.edge.handshake import Handshake, Refusal, accepting, plain_refusal, read_handshake
from duologue.edge.http_protocol import BoundedHttpProtocol
from duologue.socket.wire import FrameHandler, Wire
from duologue.socket.write_scheduler import WriteScheduler

SUBPROTOCOLS: Final = ("duologue.v1", "duologue.v1.msgpack")
CLOSE_TIMEOUT: Final = 5.0  # seconds for the peer to answer our close frame
LARGE_BUFFER: Final = 8 * 1024  # bytes of read buffer that a quiet connection may keep

# Only opens picows' parser: the client's own handshake is judged and answered elsewhere.
_FORMALITY: Final = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_CLOSE_FRAME: Final = 0x88  # its first byte, RFC 6455 section 5.2

# picows logs each connection at INFO and each fault of a peer as an error; on_close tells us what we need.
# It makes a child of a real logger for each connection, of an adapter it doesn't.
_parser_logger = logging.LoggerAdapter(logging.getLogger(f"{__name__}.parser"), {})
_parser_logger.setLevel(logging.CRITICAL)

Accept = Callable[[Handshake], FrameHandler | Refusal]


@dataclass(frozen=True, slots=True)
class _Options:
    accept: Accept
    max_message: int
    subprotocols: Sequence[str]
    close_timeout: float
    scheduler: WriteScheduler


def http_with_websocket(
    accept: Accept,
    *,
    max_message: int,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
    close_timeout: float = CLOSE_TIMEOUT,
    edge: Edge | None = None,
) -> type[asyncio.Protocol]:
    """A class for the `http` argument of `uvicorn.Config`; `ws` is `"none"` then.

    `accept` makes the handler of a new connection or refuses it. `max_message` is in bytes and covers all
    fragments of a message; a longer one ends the connection with 1009. After our close frame the peer has
    `close_timeout` seconds to send its own. `edge` bounds all connections; by default they are timed, not counted.
    """

    class Bound(_HttpProtocol):
        options = _Options(accept, max_message, subprotocols, close_timeout, WriteScheduler())

    Bound.edge = edge or Edge()
    return Bound


class _HttpProtocol(BoundedHttpProtocol):
    """HTTP with its own way to upgrade.

    uvicorn's `ws` classes would not do: what a client sends right behind its upgrade request doesn't reach
    them, and they take over while an earlier, pipelined request is still being answered.
    """

    options: ClassVar[_Options]

    def open_socket(self, rest: bytes) -> None:
        verdict = self._judge_handshake()
        if isinstance(verdict, Refusal):
            self.answer_refusal(verdict)
            return
        protocol = self._open(*verdict)
        if rest:
            protocol.data_received(rest)

    def _read_handshake(self) -> Handshake | Refusal:
        if self.is_busy() or self.parser.get_http_version() != "1.1":
            detail = "A WebSocket needs HTTP/1.1, and a connection on which nothing else is going on."
            return plain_refusal(HTTPStatus.BAD_REQUEST, detail)
        peer = self.client[0] if self.client else ""
        method = self.parser.get_method().decode()
        return read_handshake(method, self.url, self.headers, peer, self.options.subprotocols)

    def _judge_handshake(self) -> tuple[Handshake, FrameHandler] | Refusal:
        asked = self._read_handshake()
        if isinstance(asked, Refusal):
            return asked
        try:
            verdict = self.options.accept(asked)
        except Exception:
            self.logger.exception("A handshake could not be judged")
            return plain_refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Something failed on the server.")
        return verdict if isinstance(verdict, Refusal) else (asked, verdict)

    def _open(self, handshake: Handshake, handler: FrameHandler) -> _FrameProtocol:
        self.transport.write(accepting(handshake))
        options = self.options
        wire = Wire(self.transport, handler, options.scheduler, options.max_message, options.close_timeout)
        self.connections.discard(self)
        protocol = _FrameProtocol(self.transport, wire, self.connections, self.hand_over())
        self.transport.set_protocol(protocol)
        wire.open()
        return protocol


class _FrameProtocol(WSProtocol):  # type: ignore[misc]  # untyped: see the import
    """Between uvicorn's server, picows and one `Wire`, which picows calls its listener."""

    __slots__ = ("_connections", "_place", "_tcp")

    def __init__(
        self, tcp: asyncio.Transport, wire: Wire, connections: set[Any], place: ConnectionSlot
    ) -> None:
        self._tcp = tcp
        self._place = place
        self._connections = connections  # those that uvicorn shuts down, and waits for
        connections.add(self)
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
            max_frame_size=wire.max_message,
            extra_headers=None,
            read_buffer_init_size=0,  # it takes its least, 2 KiB
        )
        self.connection_made(_ParserOutput(wire))
        self.get_buffer(0)[: len(_FORMALITY)] = _FORMALITY
        self.buffer_updated(len(_FORMALITY))
        del self.transport.request.headers, self.transport.response.headers  # 1 KiB that no one will read

    def data_received(self, data: bytes) -> None:
        """Takes what came in one packet with the upgrade request; all else is read into `get_buffer`.

        Besides, uvloop keeps hold of the HTTP protocol for as long as its successor has no such method.
        """
        rest = memoryview(data)
        while rest:
            protocol: Any = self._tcp.get_protocol()  # not always self: see give_back_buffer
            room = memoryview(protocol.get_buffer(len(rest)))
            size = min(len(room), len(rest))
            room[:size] = rest[:size]
            protocol.buffer_updated(size)
            rest = rest[size:]

    def eof_received(self) -> bool:
        self.listener.finish()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._place.leave()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Called by uvicorn, which then waits until this protocol has left its connections."""
        self.listener.shut_down()

    def give_back_buffer(self) -> None:
        """Makes room for other connections once a large read is over. Nothing may be left to parse.

        The parser's buffer grows with the largest frame or burst and never shrinks, so it is replaced.
        """
        if len(self.get_buffer(0)) > LARGE_BUFFER:
            self._tcp.set_protocol(_FrameProtocol(self._tcp, self.listener, self._connections, self._place))
            self._connections.discard(self)


class _ParserOutput:
    """Transport given to picows, so that it only parses.

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
