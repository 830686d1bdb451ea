"""HTTP/1.1 by uvicorn, within bounds: the size of a head, how long a request takes, what waits for a slow client.

uvicorn's class has none of these, gives up on every `Upgrade` that isn't a WebSocket, and asks for no `Host`. Its
version is pinned, because what is overridden here are its internals.
"""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from duologue.core.limits import MAX_BODY, MAX_HEAD, MAX_PIPELINED
from duologue.edge.connection_caps import FOR_GUESTS, GUEST_WITHIN, ConnectionSlot
from duologue.edge.edge import Edge
from duologue.edge.handshake import Refusal, refusing
from duologue.edge.http_cycle import Answering, Cycle, head_as_get
from duologue.edge.http_head import (
    describe,
    fault_of_host,
    fault_of_size,
    is_over,
    too_large,
    wants_websocket,
    without_upgrade,
)
from duologue.edge.kernel import bound_buffers
from duologue.edge.problems import refusal
from duologue.errors import ApiError, overloaded

_MAX_THROWN_AWAY: Final = 1024 * 1024
"""Bytes that a refused client may still send while it reads why."""
_NEVER: Final = math.inf


class _NoMoreRequests(Exception):
    """Further requests on this connection are not answered: it was to end here, or too many requests wait."""


_EXPECTED: Final = (ApiError, _NoMoreRequests, httptools.HttpParserError, UnicodeDecodeError)
"""What the callbacks raise for a request that is refused."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    `_in_head` holds before a request and while its head is read, and not while its body is. `_ended` holds once no
    further request is taken. `_active` is what is being answered, or was last; `cycle` is the latest request.
    """

    edge: ClassVar[Edge]

    cycle: Cycle
    deadline = _NEVER
    block = ""
    _active: Cycle | None = None
    _ended = False
    _in_head = True
    _head_began = False  # the parser has seen the first byte
    _head_bytes = 0
    _head_is_exact = True  # its first byte began a piece, so that all its bytes are counted
    _request_ended = False  # within the present piece
    _upgrading = False
    _framing_bytes = 0  # of a body in chunks, besides what is in the chunks
    _body_bytes = 0
    _body_until = 0.0
    _thrown_away = 0
    _fault: ApiError | None = None

    # From the event loop.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if not self.edge.rate.take(transport):
            self.parser = None  # type: ignore[assignment]  # refers back: that much less for the collector
            return
        super().connection_made(transport)
        bound_buffers(transport)
        self.url, self.headers = b"", []
        self._answering = Answering(transport.write, transport.is_closing, self._end_after_answer)
        self._place: ConnectionSlot = self.edge.caps.enter(self, self.client[0] if self.client else "")
        self.block = self._place.block
        patience = self.edge.watch.patience
        self.deadline = self.loop.time() + (patience.head if self._place.admitted else GUEST_WITHIN)
        self.edge.watch.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._active is not None and not self._active.response_complete:
            self._active.give_up()
        self._place.leave()
        self._let_go()

    def data_received(self, data: bytes) -> None:
        """Parse in pieces of at most what a head may still take, so that its bound is exact."""
        at = 0
        while at < len(data) and not self._ended:
            room = MAX_HEAD - self._head_bytes if self._in_head else MAX_HEAD
            piece = data if not at and len(data) <= room else data[at : at + room]
            at += self._parse(piece, data, at)
        if not self._ended:
            self._set_deadline()
        elif self.parser is not None:
            self._throw_away(len(data) - at)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.edge.watch.stalled(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.edge.watch.flows(self)
        self._advance()

    # From the watch and the caps.

    def unread(self) -> int:
        return self.transport.get_write_buffer_size()

    def expire(self) -> None:
        """Close in good order, then at the next time for good. A client that still reads has more time."""
        if self.flow.write_paused:
            self.deadline = self.loop.time() + self.edge.watch.patience.idle
        elif self._ended:
            self.abort()
        else:
            self._close()

    def abort(self) -> None:
        self.transport.abort()

    def turn_away(self) -> None:
        """Close at once, so that the descriptor is free for others."""
        self._refuse(overloaded("There are too many connections."))
        self.transport.close()

    # From the parser.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_began = True

    def on_headers_complete(self) -> None:
        """Judge the head and start to answer; a request that offers an upgrade is decided upon at its end."""
        self._judge_head()
        self._in_head = self._head_began = False
        self._framing_bytes = self._body_bytes = 0
        self._upgrading = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._upgrading:
            self._body_until = self.loop.time() + self.edge.watch.patience.body_in_all
            self._begin(self._make_cycle())

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._in_head = self._request_ended = True
        self._head_bytes = 0
        if not self._upgrading and not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    # Reading.

    def _parse(self, piece: bytes, data: bytes, at: int) -> int:
        """Feed the parser a piece of what was read; how many bytes of it were used."""
        was_in_head, body_bytes = self._in_head, self._body_bytes
        self._request_ended = False
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as signal:
            used = int(signal.args[0])
            self._upgrade(data, at + used)
            return used
        except httptools.HttpParserError as failure:
            self._on_failure(failure)
            return len(piece)
        if self._in_head:
            self._check_head(len(piece))
        elif not was_in_head:
            self._framing_bytes += len(piece) - (self._body_bytes - body_bytes)
            self._check_body()
        return len(piece)

    def _on_failure(self, failure: httptools.HttpParserError) -> None:
        """The parser met something that is no HTTP, or one of our callbacks raised."""
        cause = failure.__context__
        if cause is not None and not isinstance(cause, _EXPECTED):
            self.logger.error("A request could not be begun", exc_info=cause)
        self._refuse(self._fault or ApiError("bad_request"))

    def _check_head(self, size: int) -> None:
        """Bound a head that isn't complete."""
        if self._request_ended:
            self._head_is_exact = not self._head_began
        else:
            self._head_bytes += size
        if self._head_bytes >= MAX_HEAD:
            self._refuse(too_large("The head", MAX_HEAD))
        elif self._head_began and (fault := fault_of_size(self.url, self.headers)):
            self._refuse(fault)

    def _check_body(self) -> None:
        """Bound a body that isn't complete. The application refuses one that is too large, if it looks at it."""
        if self._framing_bytes > MAX_HEAD:
            self._refuse(too_large("What frames the body", MAX_HEAD))
        elif self._body_bytes > 2 * MAX_BODY or (
            self.cycle.response_complete and self._body_bytes > MAX_BODY
        ):
            self._refuse(ApiError("too_large"))

    def _judge_head(self) -> None:
        """Raises `ApiError` for a head that is refused, `_NoMoreRequests` for one that comes too late."""
        if len(self.pipeline) >= MAX_PIPELINED or (self.cycle is not None and not self.cycle.keep_alive):
            raise _NoMoreRequests
        fault = fault_of_size(self.url, self.headers)
        if fault is None and not self._head_is_exact and is_over(self.url, self.headers):
            fault = too_large("The head", MAX_HEAD)
        if fault is None:
            version = self.parser.get_http_version()
            fault = fault_of_host(self.edge.hosts, self.url, self.headers, version)
        if fault is None and not self._place.admitted and self.url not in FOR_GUESTS:
            fault = overloaded("There are too many connections.")
        if fault is not None:
            self._fault = fault
            raise fault

    def _upgrade(self, data: bytes, end: int) -> None:
        """The parser has stopped, since it can't know what follows the head that ends at `end` of what was read."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._ended = True
        elif wants_websocket(self.headers):
            self.open_socket(data[end:])
        else:
            # RFC 9110 section 7.8: ignored. A parser that never saw it goes on with the body, if there is one.
            version = self.parser.get_http_version()
            head = without_upgrade(method, self.url, version, self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._parse(head, head, 0)

    @abstractmethod
    def open_socket(self, rest: bytes) -> None:
        """Answer a request for a WebSocket. `rest` has been read behind its head."""

    def hand_over(self) -> ConnectionSlot:
        """This connection is no HTTP any more: its place, for the protocol that goes on with it."""
        self._let_go()
        return self._place

    def _let_go(self) -> None:
        """Take no further request, and forget what refers back: that much less for the collector."""
        self._ended = True
        self.edge.watch.discard(self)
        self.pipeline.clear()
        self._active = self.cycle = self.parser = self._answering = None  # type: ignore[assignment]

    def _set_deadline(self) -> None:
        """After a read: until when the client must go on."""
        patience = self.edge.watch.patience
        now = self.loop.time()
        if not self._in_head:
            self.deadline = _NEVER if self.flow.read_paused else min(now + patience.body, self._body_until)
        elif self.is_busy():
            self.deadline = _NEVER
        elif self._head_began:
            self.deadline = min(self.deadline, now + patience.head)

    def _throw_away(self, size: int) -> None:
        """Read on for a while after the last answer: closing with something unread could destroy it."""
        self._thrown_away += size
        if self._thrown_away > _MAX_THROWN_AWAY:
            self.abort()

    # Answering.

    def is_busy(self) -> bool:
        """True while a request is not fully answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _make_cycle(self) -> Cycle:
        version = self.parser.get_http_version()
        method = self.parser.get_method()
        describe(self.scope, method, self.url, version)
        may_go_on = version != "1.0" and self._place.admitted and method != b"CONNECT"
        return Cycle(
            scope=self.scope,
            transport=self._answering,  # type: ignore[arg-type]  # as much of one as it uses
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and version != "1.0",
            keep_alive=may_go_on and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def _begin(self, cycle: Cycle) -> None:
        """Answer a request now, or once those before it are answered and read."""
        waits = self.is_busy() or self.flow.write_paused
        self.cycle = cycle
        app: Any = self.app if self.scope["method"] != "HEAD" else head_as_get(self.app)
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))
        else:
            self._answer(cycle, app)

    def _answer(self, cycle: Cycle, app: Any) -> None:
        self._active = cycle
        self._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Called by a cycle whose answer has been handed over."""
        self.server_state.total_requests += 1
        self._advance()

    def _advance(self) -> None:
        """Go on with the next request, once an answer has been handed over and most of it was read."""
        if self.transport.is_closing() or self.flow.write_paused:
            return
        if self._active is not None and not self._active.response_complete:
            return
        if self.pipeline:
            self._answer(*self.pipeline.pop())  # type: ignore[arg-type]  # we put it there
        if not self.pipeline and not self._ended:
            self.flow.resume_reading()
            patience = self.edge.watch.patience
            self.deadline = self.loop.time() + (patience.head if self._head_began else patience.idle)
            self._set_deadline()

    # Ending.

    def answer_refusal(self, answer: Refusal) -> None:
        """Refuse the latest request, and take no other. What was asked before is answered, and then that is all."""
        self._ended = True
        if self.is_busy():
            self.cycle.keep_alive = False
            self.deadline = _NEVER
        elif not self.transport.is_closing():
            self.transport.write(refusing(answer, self.server_state.default_headers))
            self._say_farewell()

    def _refuse(self, error: ApiError) -> None:
        if self._ended:
            return
        if not self._in_head and self.cycle.response_complete:
            self._say_farewell()
            return
        if not self._in_head:
            self._drop_latest()
        self.answer_refusal(refusal(error))

    def _drop_latest(self) -> None:
        """The body of the latest request is at fault, so that it isn't answered as it was meant to be."""
        dropped = self.cycle
        if self._active is not dropped:
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self._active  # type: ignore[assignment]
            return
        dropped.give_up()
        dropped.response_complete = True
        if dropped.response_started:
            self.abort()

    def _end_after_answer(self) -> None:
        """Called by a cycle in place of `close`, when the last answer of this connection has been handed over."""
        if self._in_head and not self._ended:
            self._close()
        else:
            self._say_farewell()

    def _close(self) -> None:
        self._ended = True
        self.deadline = self.loop.time() + self.edge.watch.patience.unread
        self.transport.close()

    def _say_farewell(self) -> None:
        """Send no more, and give the client time to read what was sent."""
        self._ended = True
        self.deadline = self.loop.time() + self.edge.watch.patience.farewell
        self.flow.resume_reading()
        if not self.transport.is_closing():
            self.transport.write_eof()
