"""One open WebSocket: frames in, messages out, and the other way round (RFC 6455 sections 5 to 8)."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from duologue.edge.kernel import HIGH_WATER
from duologue.socket.write_scheduler import WriteScheduler

SHUTDOWN_TIMEOUT: Final = 1.0  # seconds for the peer to answer our close frame while the server goes down

_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_PING, _PONG, _CLOSE = WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE
_SEND_TEXT, _SEND_BINARY, _SEND_CLOSE, _SEND_PING, _SEND_PONG = 0x81, 0x82, 0x88, 0x89, 0x8A  # FIN and opcode
_OPEN, _CLOSING, _CLOSED = range(3)  # closing: our close frame is sent, the peer's is awaited

_SINK = bytearray(64 * 1024)
_HEAD_7, _HEAD_16, _HEAD_64 = (struct.Struct(form).pack for form in ("!BB", "!BBH", "!BBQ"))
_logger = logging.getLogger(__name__)
_HANDLER_FAILED: Final = "A connection's handler failed"


class FrameHandler(Protocol):
    """Receiver of one connection's frames. Every call is made on the event loop and must not block.

    An exception is logged and ends the connection with 1011.
    """

    def on_open(self, wire: Wire) -> None:
        """The handshake is done: `wire` can be used from now until `on_close`."""

    def on_message(self, payload: bytes, binary: bool) -> None:  # noqa: FBT001 (called for every frame)
        """One whole message. A text one (`binary` false) is valid UTF-8."""

    def on_heartbeat(self) -> bool:
        """A sign of life that is no message: a ping, a pong, or a fragment; returns whether it is within the limit.

        Of pings over the limit only the last is answered, when reading goes on.
        """

    def on_read_end(self) -> None:
        """All messages of one socket read have been handed over; what is sent now still leaves with them."""

    def on_pause(self) -> None:
        """The peer reads more slowly than is sent to it. May be called from within `Wire.send`."""

    def on_resume(self) -> None:
        """Most of what was held up has been taken by the kernel."""

    def on_shutdown(self) -> None:
        """The server is going down, and waits until this connection is closed: close it with 1001."""

    def on_close(self, code: int) -> None:
        """The connection is over. Called exactly once, whatever happened.

        `code` is that of the first close frame, sent or received; 1005 if that one had none, 1006 if
        there was none.
        """


class Wire(WSListener):
    """One open WebSocket, seen from the handler. To be used on the event loop only."""

    __slots__ = (
        "_close_timeout",
        "_code",
        "_flush_due",
        "_handler",
        "_late_pong",
        "_loop",
        "_out",
        "_partial",
        "_partial_is_binary",
        "_paused",
        "_queued",
        "_scheduler",
        "_state",
        "_timer",
        "_transport",
        "max_message",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        handler: FrameHandler,
        scheduler: WriteScheduler,
        max_message: int,
        close_timeout: float,
    ) -> None:
        self._transport = transport
        self._scheduler = scheduler
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self.max_message = max_message
        self._close_timeout = close_timeout
        self._state = _OPEN
        self._code = 1006
        self._timer: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []
        self._queued = 0
        self._flush_due = False
        self._paused = False
        self._late_pong: bytes | None = None
        self._partial: bytearray | None = None
        self._partial_is_binary = False

    @property
    def buffered_bytes(self) -> int:
        """Bytes sent but not yet taken by the kernel."""
        return self._queued + self._transport.get_write_buffer_size()

    def send(self, payload: bytes, *, binary: bool = False, urgent: bool = True) -> None:
        """Queues a message. All that is queued during one read, or one turn of the loop, leaves in one write.

        What isn't urgent leaves with the next that is, or some `write_scheduler.LATE` seconds later. Text must be
        UTF-8. Once the connection is closing this does nothing.
        """
        if self._state != _OPEN:
            return
        size = len(payload)
        first_byte = _SEND_BINARY if binary else _SEND_TEXT
        head = _HEAD_16(first_byte, 126, size) if 125 < size < 65536 else _frame_head(first_byte, size)
        is_first = not self._out
        self._out += (head, payload)
        self._queued += size
        if self._flush_due:
            if self._queued > HIGH_WATER:  # or on_pause would come too late to stop whoever is sending
                self.flush()
        elif urgent or self._queued > HIGH_WATER:
            self._flush_due = True
            self._scheduler.add(self)
        elif is_first:
            self._scheduler.add_late(self)

    def ping(self, payload: bytes = b"") -> None:
        """Queues a ping of at most 125 bytes; the answer comes as `FrameHandler.on_heartbeat`."""
        if self._state == _OPEN:
            self._control(_SEND_PING, payload)

    def flush(self) -> None:
        """Writes what is queued now, instead of at the end of this read or turn of the loop."""
        self._flush_due = False
        out = self._out
        if out:
            data = b"".join(out)
            out.clear()
            self._queued = 0
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Sends what is queued and a close frame, then waits a bounded time for the peer's.

        `reason` is cut to the 123 bytes that fit. Nothing more is handed over but `on_close`.

        Raises:
            ValueError: `code` may not be sent (RFC 6455 section 7.4).
        """
        if not _is_close_code(code):
            raise ValueError(f"{code} is not a close code that may be sent")
        if self._state == _OPEN:
            self._state = _CLOSING
            self._send_close(code, reason)
            self._transport.resume_reading()
            self._abort_later()

    def abort(self) -> None:
        """Ends the TCP connection at once; what is queued is lost."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Leaves what the peer sends in the kernel; messages of the present read are still handed over."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Undoes `pause_reading`."""
        self._transport.resume_reading()
        self._answer_late()

    # From the protocol below.

    def shut_down(self) -> None:
        self._close_timeout = min(self._close_timeout, SHUTDOWN_TIMEOUT)
        if self._state == _OPEN:
            self._guard(self._handler.on_shutdown)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._abort_later()

    def open(self) -> None:
        self._guard(self._handler.on_open, self)

    def finish(self) -> None:
        """Ends the TCP connection once what is queued has been sent."""
        self.flush()
        self._state = _CLOSED
        self._transport.close()
        self._abort_later()

    def fail_later(self, code: int, reason: str) -> None:
        """Fails the connection as soon as the frames before the bad one have been handed over."""
        self._transport.pause_reading()
        self._loop.call_soon(self._fail, code, reason)

    # From picows.

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        self._flush_due = True  # what is sent from here on leaves with the end of this read
        try:
            kind = frame.msg_type
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                self._fail(1002, "reserved bit set")
            elif (
                (kind is _TEXT or kind is _BINARY)
                and frame.fin
                and self._partial is None
                and self._state == _OPEN
            ):
                payload = frame.get_payload_as_bytes()
                if kind is _BINARY or payload.isascii():
                    self._handler.on_message(payload, kind is _BINARY)
                else:
                    self._deliver_text(payload)
            elif kind is _CLOSE:
                self._on_close_frame(frame)
            elif self._state == _OPEN:
                self._on_rare_frame(kind, frame)
            if frame.last_in_buffer:
                if self._state == _OPEN:
                    self._handler.on_read_end()
                if self._out:
                    self.flush()
                self._flush_due = False
        except Exception:
            _logger.exception(_HANDLER_FAILED)
            self.close(1011)

    def pause_writing(self) -> None:
        self._paused = True
        if self._state == _OPEN:
            self._guard(self._handler.on_pause)

    def resume_writing(self) -> None:
        self._paused = False
        if self._state == _OPEN:
            self._answer_late()
            self._guard(self._handler.on_resume)

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        self._state = _CLOSED
        if self._timer is not None:
            self._timer.cancel()
        self._guard(self._handler.on_close, self._code)
        del self._handler  # it refers back: that much less for the collector

    # Inside.

    def _control(self, first_byte: int, payload: bytes) -> None:
        self._out += (_HEAD_7(first_byte, len(payload)), payload)
        if not self._flush_due:
            self._flush_due = True
            self._scheduler.add(self)

    def _deliver_text(self, payload: bytes) -> None:
        try:
            payload.decode()
        except UnicodeDecodeError:
            self._fail(1007, "text is not UTF-8")
        else:
            self._handler.on_message(payload, False)  # noqa: FBT003

    def _on_rare_frame(self, kind: WSMsgType, frame: WSFrame) -> None:
        if kind is _PING:
            within_limit = self._handler.on_heartbeat()
            self._answer_ping(frame.get_payload_as_bytes(), at_once=within_limit)
        elif kind is _PONG:
            self._handler.on_heartbeat()
            if not frame.tail_size:  # nothing is left to parse: as good a moment as any
                self._give_back_buffer()
        elif (kind is _CONTINUATION) == (self._partial is None):
            self._fail(1002, "fragments out of order")
        else:
            self._on_fragment(kind, frame)

    def _on_fragment(self, kind: WSMsgType, frame: WSFrame) -> None:
        if self._partial is None:
            self._partial = bytearray()
            self._partial_is_binary = kind is _BINARY
        self._partial += frame.get_payload_as_memoryview()
        if len(self._partial) > self.max_message:
            self._fail(1009, f"message over {self.max_message} bytes")
        elif frame.fin:
            message, self._partial = bytes(self._partial), None
            if self._partial_is_binary:
                self._handler.on_message(message, True)  # noqa: FBT003
            else:
                self._deliver_text(message)
        else:
            self._handler.on_heartbeat()

    def _give_back_buffer(self) -> None:
        protocol: Any = self._transport.get_protocol()
        protocol.give_back_buffer()

    def _answer_ping(self, payload: bytes, *, at_once: bool) -> None:
        if at_once and not self._paused:
            self._late_pong = None
            self._control(_SEND_PONG, payload)
        else:
            # The latest one will do (RFC 6455 section 5.5.3), so that a flood of pings costs no memory.
            self._late_pong = payload

    def _answer_late(self) -> None:
        if self._late_pong is not None and not self._paused and self._state == _OPEN:
            self._control(_SEND_PONG, self._late_pong)
            self._late_pong = None

    def _on_close_frame(self, frame: WSFrame) -> None:
        code = frame.get_close_code().value if frame.payload_size else 1005
        if frame.payload_size and not _is_close_code(code):
            self._fail(1002, "bad close code")
        elif self._state == _OPEN:
            self._send_close(code, "")
            self.finish()
        elif self._state == _CLOSING:
            self.finish()

    def _guard(self, call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
        except Exception:
            _logger.exception(_HANDLER_FAILED)
            self.close(1011)

    def _send_close(self, code: int, reason: str) -> None:
        self._code = code
        text = reason.encode()[:123].decode(errors="ignore").encode()
        payload = b"" if code == 1005 else code.to_bytes(2) + text
        self._control(_SEND_CLOSE, payload)
        self.flush()

    def _fail(self, code: int, reason: str) -> None:
        """RFC 6455 section 7.1.7: says why, reads no more frames, and ends the TCP connection.

        What the peer still sends is thrown away for a bounded time: closing with unread data would reset
        the connection and could take the close frame with it.
        """
        if self._state == _CLOSED:
            return
        if self._state == _OPEN:
            self._send_close(code, reason)
        self._state = _CLOSED
        self._partial = None
        self._transport.set_protocol(_Drain(self._transport.get_protocol()))
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._abort_later()

    def _abort_later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._close_timeout, self._transport.abort)


class _Drain(asyncio.BufferedProtocol):
    """Takes the place of a failed connection's protocol: throws away what is read, passes on the end."""

    __slots__ = ("_failed",)

    def __init__(self, failed: asyncio.BaseProtocol) -> None:
        self._failed = failed

    def get_buffer(self, _sizehint: int) -> bytearray:
        return _SINK

    def buffer_updated(self, nbytes: int) -> None:
        pass

    def connection_lost(self, exc: Exception | None) -> None:
        self._failed.connection_lost(exc)


def _frame_head(first_byte: int, size: int) -> bytes:
    """Of a size for which the usual one won't do."""
    if size < 126:
        return _HEAD_7(first_byte, size)
    return _HEAD_64(first_byte, 127, size)


def _is_close_code(code: int) -> bool:
    """Return whether a close frame may hold `code` (RFC 6455 section 7.4, and IANA's registry)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in {1004, 1005, 1006})
