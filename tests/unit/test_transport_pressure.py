"""Back-pressure both ways, coalesced writes, and memory that a peer can't make grow."""

from __future__ import annotations

import gc
import select
import socket
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from duologue.edge.kernel import HIGH_WATER, KERNEL_BUFFER
from duologue.socket.transport import LARGE_BUFFER
from duologue.socket.wire import Wire
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Echo,
    Frame,
    Peer,
    Running,
    frame,
    send,
    serving,
    upgrade_request,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


class WriteCounter:
    """Stands before a transport and counts what is written to it."""

    def __init__(self, wire: Wire) -> None:
        self.sizes: list[int] = []
        self._transport, wire._transport = wire._transport, self  # type: ignore[assignment]

    def write(self, data: bytes) -> None:
        self.sizes.append(len(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def fill(server: Running, handler: Echo, megabytes: int = 4) -> int:
    """Sends more than the kernel and a peer that doesn't read will take; how much waits in our memory."""
    server.run(lambda: send(handler.wire, b"x" * 50_000, times=megabytes * 20))
    return server.run(lambda: handler.wire.buffered_bytes)


def test_replies_of_one_read_leave_in_one_write(server: Running) -> None:
    with server.opened() as (peer, handler):
        writes = server.run(lambda: WriteCounter(handler.wire))
        peer.send(*(frame(TEXT, b"%d" % n) for n in range(50)), frame(PING, b"p"))
        assert [peer.frame().payload for _ in range(51)] == [b"%d" % n for n in range(50)] + [b"p"]
        reads = [event for event in handler.until("heartbeat") if event[0] == "message"]
        assert len(reads) == 50
        assert len(writes.sizes) == 1


def test_read_end_follows_the_last_message_of_a_read(server: Running) -> None:
    with server.opened() as (peer, handler):
        handler.echoes = False
        peer.send(frame(TEXT, b"one"), frame(TEXT, b"two"), frame(TEXT, b"three")[:4])
        assert [event[0] for event in handler.until("read_end")] == ["message", "message", "read_end"]


def test_messages_of_one_turn_of_the_loop_leave_in_one_write(server: Running) -> None:
    with server.opened() as (peer, handler):
        writes = server.run(lambda: WriteCounter(handler.wire))
        server.run(lambda: send(handler.wire, b"event", times=50))
        assert [peer.frame() for _ in range(50)] == [Frame(TEXT, b"event")] * 50
        assert len(writes.sizes) == 1


def test_message_sent_outside_of_a_read_needs_no_flush(server: Running) -> None:
    with server.opened() as (peer, handler):
        server.run(lambda: handler.wire.send(b"\x01", binary=True))
        assert peer.frame() == Frame(BINARY, b"\x01")


def test_message_that_is_not_urgent_leaves_with_the_next_that_is(server: Running) -> None:
    with server.opened() as (peer, handler):
        writes = server.run(lambda: WriteCounter(handler.wire))
        server.run(lambda: handler.wire.send(b"may wait", urgent=False))
        server.run(lambda: handler.wire.send(b"now"))
        assert [peer.frame(), peer.frame()] == [Frame(TEXT, b"may wait"), Frame(TEXT, b"now")]
        assert len(writes.sizes) == 1


def test_message_that_is_not_urgent_leaves_by_itself_too(server: Running) -> None:
    with server.opened() as (peer, handler):
        for text in (b"one", b"another"):
            server.run(partial(handler.wire.send, text, urgent=False))
            assert peer.frame() == Frame(TEXT, text)


def test_messages_that_are_not_urgent_do_not_pile_up(server: Running) -> None:
    with server.opened() as (peer, handler):

        def send_much() -> int:
            for _ in range(3):
                handler.wire.send(b"x" * HIGH_WATER, urgent=False)
            return handler.wire._queued

        assert server.run(send_much) <= HIGH_WATER
        assert [len(peer.frame().payload) for _ in range(3)] == [HIGH_WATER] * 3


def test_flush_writes_at_once(server: Running) -> None:
    with server.opened() as (peer, handler):

        def send_and_block() -> list[bool]:
            handler.wire.send(b"now")
            assert handler.wire.buffered_bytes >= 3
            before = bool(select.select([peer.sock], [], [], 0)[0])
            handler.wire.flush()
            return [before, bool(select.select([peer.sock], [], [], 5)[0])]

        assert server.run(send_and_block) == [False, True]


def test_slow_reader_pauses_the_handler_and_resumes_it_without_loss(server: Running) -> None:
    with server.opened(receive_buffer=4096) as (peer, handler):
        waiting = fill(server, handler)
        assert waiting > 3_000_000, "the kernel takes little, the rest is counted"
        assert handler.until("pause") == [("pause",)]
        for _ in range(80):
            assert peer.frame() == Frame(TEXT, b"x" * 50_000)
        assert handler.until("resume") == [("resume",)]
        assert server.run(lambda: handler.wire.buffered_bytes) == 0


def test_pause_comes_while_still_sending(server: Running) -> None:
    """A handler that replays a long log stops at the high-water mark, not after the whole log."""
    with server.opened(receive_buffer=4096) as (_, handler):

        def send_until_paused() -> int:
            while handler.events.empty():
                handler.wire.send(b"x" * 1_000)
            return handler.wire.buffered_bytes

        assert server.run(send_until_paused) < 3 * HIGH_WATER
        assert handler.until("pause") == [("pause",)]


def test_flood_of_pings_from_a_peer_that_reads_nothing_costs_no_memory(server: Running) -> None:
    with server.opened(receive_buffer=4096) as (peer, handler):
        waiting = fill(server, handler, megabytes=1)
        assert waiting > HIGH_WATER
        for n in range(10_000):
            peer.send(frame(PING, b"%0125d" % n))
        peer.send(frame(TEXT, b"end"))
        handler.until("message")
        assert server.run(lambda: handler.wire.buffered_bytes) < waiting + 1_000
        assert [peer.frame().payload for _ in range(20)] == [b"x" * 50_000] * 20
        rest = [peer.frame(), peer.frame()]
        assert Frame(TEXT, b"end") in rest
        assert Frame(PONG, b"%0125d" % 9_999) in rest, "the latest ping is answered"


def sent_until_blocked(peer: Peer, data: bytes, limit: int) -> int:
    """Return the bytes of endless `data` that go out before nothing has moved for a while, or `limit` is passed."""
    peer.sock.setblocking(False)
    sent = 0
    while sent < limit and select.select([], [peer.sock], [], 0.2)[1]:
        sent += peer.sock.send(data[sent % len(data) :])
    peer.sock.settimeout(10)
    return sent


def test_paused_reading_holds_the_sender_up_and_loses_nothing(server: Running) -> None:
    with server.opened() as (peer, handler):
        handler.echoes = False
        server.run(handler.wire.pause_reading)
        message = frame(BINARY, bytes(range(250)) * 4)
        sent = sent_until_blocked(peer, message, 64_000_000)
        assert sent < 64_000_000, "TCP itself stops the sender"
        assert handler.events.empty()
        server.run(handler.wire.resume_reading)
        peer.send(message[sent % len(message) :])
        whole = -(-sent // len(message))
        assert set(handler.messages(whole)) == {bytes(range(250)) * 4}


def test_paused_reading_does_not_keep_a_close_from_its_end() -> None:
    with serving(close_timeout=60) as server, server.opened() as (peer, handler):

        def pause_and_close() -> None:
            handler.wire.pause_reading()
            handler.wire.close(4008)

        server.run(pause_and_close)
        assert peer.closing()[0] == 4008
        peer.send(frame(CLOSE, (4008).to_bytes(2)))
        assert handler.until("close")[-1] == ("close", 4008)


def read_buffer(wire: Wire) -> int:
    protocol: Any = wire._transport.get_protocol()
    return len(protocol.get_buffer(0))


def test_one_read_brings_a_bounded_amount_however_long_the_loop_was_busy(server: Running) -> None:
    """The parser's buffer grows with the largest read and never shrinks."""
    message = frame(TEXT, b"x" * 10_000)
    with server.opened() as (peer, handler):
        handler.echoes = False
        for _ in range(3):
            go_on = threading.Event()
            server.loop.call_soon_threadsafe(go_on.wait, 10)
            sent = sent_until_blocked(peer, message, 8_000_000)
            go_on.set()
            peer.send(message[sent % len(message) :])
        peer.send(frame(PING))
        handler.until("heartbeat")
        assert server.run(lambda: read_buffer(handler.wire)) <= 8 * KERNEL_BUFFER


def test_what_follows_a_message_that_is_too_big_is_not_kept(server: Running) -> None:
    with server.opened() as (peer, handler):
        peer.send(frame(BINARY, claim=1 << 40), bytes(8_000_000))
        assert peer.closing()[0] == 1009
        assert server.run(lambda: read_buffer(handler.wire)) <= KERNEL_BUFFER


def test_large_buffer_is_given_back_at_the_next_pong(server: Running) -> None:
    large = frame(BINARY, bytes(60_000))
    with server.opened() as (peer, handler):
        for n in range(100):
            peer.send(large)
            peer.frame()
            assert server.run(lambda: read_buffer(handler.wire)) > 60_000
            peer.send(frame(PONG), frame(TEXT, b"%d" % n))
            peer.frame()
            assert server.run(lambda: read_buffer(handler.wire)) > 60_000, "there was more to parse"
            peer.send(frame(TEXT, b"fragment ", fin=False), frame(PONG))
            for _ in ("first pong", "fragment", "second pong"):
                handler.until("heartbeat")
            peer.send(frame(CONTINUATION, b"%d" % n))
            assert peer.frame() == Frame(TEXT, b"fragment %d" % n)
            assert server.run(lambda: read_buffer(handler.wire)) < LARGE_BUFFER
        assert len(server.server.server_state.connections) == 1
        peer.sock.close()
        assert handler.until("close")[-1] == ("close", 1006)
        assert handler.events.empty()


def test_websocket_does_not_keep_what_http_needed(server: Running) -> None:
    gc.disable()
    try:
        with server.peer() as peer:
            peer.send(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
            assert peer.answer()[0] == 200
            (http,) = server.run(lambda: [weakref.ref(one) for one in server.server.server_state.connections])
            assert http() is not None
            peer.send(upgrade_request())
            assert peer.answer()[0] == 101
            peer.send(frame(TEXT, b"x"))
            assert peer.frame() == Frame(TEXT, b"x")
            assert server.run(http) is None
    finally:
        gc.enable()


def test_handler_may_close_when_it_is_paused(server: Running) -> None:
    with server.opened("/strict", receive_buffer=4096) as (peer, handler):
        assert fill(server, handler) < 2 * HIGH_WATER
        while (got := peer.frame()).opcode != CLOSE:
            assert got == Frame(TEXT, b"x" * 50_000)
        assert got.payload == (4008).to_bytes(2)
        peer.send(frame(CLOSE, got.payload))
        assert peer.is_over()
        assert handler.until("close")[-1] == ("close", 4008)


def test_small_messages_are_not_held_back(server: Running) -> None:
    with server.opened() as (_, handler):
        sock = server.run(lambda: handler.wire._transport.get_extra_info("socket"))
        assert server.run(lambda: sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
