"""RFC 6455 section 7: connections end with a reason, in bounded time, and exactly once."""

from __future__ import annotations

import gc
import socket
import struct
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from duologue.edge.kernel import HIGH_WATER
from tests.support.websocket import CLOSE, PING, TEXT, Frame, Running, frame, send, serving

VALID = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
INVALID = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def hasty() -> Iterator[Running]:
    """A server that waits only briefly for the peer's close frame."""
    with serving(close_timeout=0.2) as running:
        yield running


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


@pytest.mark.parametrize("code", VALID)
def test_close_of_the_client_is_answered_with_its_code(server: Running, code: int) -> None:
    with server.opened() as (peer, handler):
        peer.send(close_frame(code, b"bye"))
        assert peer.closing() == (code, "")
        assert peer.is_over()
        assert handler.until("close") == [("close", code)]


def test_close_without_a_code_is_answered_without_one(server: Running) -> None:
    with server.opened() as (peer, handler):
        peer.send(frame(CLOSE))
        assert peer.closing() == (None, "")
        assert peer.is_over()
        assert handler.until("close") == [("close", 1005)]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        *((close_frame(code), 1002) for code in INVALID),
        (frame(CLOSE, b"\x03"), 1002),
        (close_frame(1000, b"\xff"), 1007),
    ],
)
def test_malformed_close_is_an_error_of_its_own(server: Running, bad: bytes, code: int) -> None:
    with server.opened() as (peer, handler):
        peer.send(bad)
        assert peer.closing()[0] == code
        assert peer.is_over()
        peer.sock.close()
        assert handler.until("close") == [("close", code)]


def test_nothing_after_the_close_of_the_client_counts(server: Running) -> None:
    with server.opened() as (peer, handler):
        peer.send(frame(TEXT, b"one"), close_frame(1000), frame(TEXT, b"two"), close_frame(1001), frame(3))
        assert peer.frame() == Frame(TEXT, b"one")
        assert peer.closing() == (1000, "")
        assert handler.until("close")[1:] == [("close", 1000)]
        assert handler.events.empty()


@pytest.mark.parametrize("code", VALID)
def test_we_close_with_any_valid_code_and_a_reason(server: Running, code: int) -> None:
    with server.opened() as (peer, handler):
        server.run(lambda: handler.wire.close(code, "tschüs"))
        assert peer.closing() == (code, "tschüs")
        peer.send(close_frame(code))
        assert peer.is_over()
        assert handler.until("close") == [("close", code)]


@pytest.mark.parametrize("code", INVALID)
def test_we_never_close_with_an_invalid_code(server: Running, code: int) -> None:
    with server.opened() as (peer, handler):
        with pytest.raises(ValueError, match=f"{code} is not"):
            server.run(lambda: handler.wire.close(code))
        peer.send(frame(TEXT, b"still open"))
        assert peer.frame() == Frame(TEXT, b"still open")


def test_reason_is_cut_between_characters(server: Running) -> None:
    with server.opened() as (peer, handler):
        server.run(lambda: handler.wire.close(4000, "x" + "€" * 60))
        assert peer.closing() == (4000, "x" + "€" * 40)


def test_what_was_sent_before_a_close_arrives_before_it_and_nothing_after(server: Running) -> None:
    with server.opened() as (peer, handler):

        def say_goodbye() -> None:
            handler.wire.send(b"last words")
            handler.wire.close(4003, "session ended")
            handler.wire.send(b"too late")
            handler.wire.ping()
            handler.wire.close(1000)

        server.run(say_goodbye)
        assert peer.frame() == Frame(TEXT, b"last words")
        assert peer.closing() == (4003, "session ended")
        peer.send(close_frame(4003))
        assert peer.is_over()


def test_messages_that_cross_our_close_are_not_handed_over(server: Running) -> None:
    with server.opened() as (peer, handler):
        server.run(lambda: handler.wire.close(4008))
        peer.send(frame(TEXT, b"crossing"), frame(PING), frame(TEXT, b"\xff"), close_frame(1000))
        assert peer.closing()[0] == 4008
        assert peer.is_over()
        assert handler.events.get(timeout=10) == ("close", 4008), "not even the end of a read"
        assert handler.wire._timer is not None
        assert handler.wire._timer.cancelled()


def test_closing_handler_is_not_told_to_pause(hasty: Running) -> None:
    with hasty.opened(receive_buffer=4096) as (_, handler):

        def send_much_and_close() -> int:
            handler.wire.send(bytes(5_000_000), binary=True)
            handler.wire.close(4008)
            return handler.wire.buffered_bytes

        assert hasty.run(send_much_and_close) > HIGH_WATER
        assert handler.events.get(timeout=10) == ("close", 4008)


@pytest.mark.parametrize("bad", [frame(3), frame(TEXT, b"x", rsv=1), close_frame(999)])
def test_bad_frame_instead_of_the_answer_to_our_close_ends_the_wait(server: Running, bad: bytes) -> None:
    with server.opened() as (peer, handler):
        server.run(lambda: handler.wire.close(4008))
        peer.send(bad)
        assert peer.closing()[0] == 4008
        assert peer.is_over()
        peer.sock.close()
        assert handler.until("close") == [("close", 4008)]


def test_peer_that_does_not_answer_our_close_is_dropped(hasty: Running) -> None:
    with hasty.opened() as (peer, handler):
        hasty.run(lambda: handler.wire.close(4001))
        assert peer.closing()[0] == 4001
        assert peer.is_over()
        assert handler.until("close") == [("close", 4001)]


def test_peer_that_reads_nothing_is_dropped_all_the_same(hasty: Running) -> None:
    with hasty.opened(receive_buffer=4096) as (_, handler):
        hasty.run(lambda: send(handler.wire, b"x" * 50_000, times=100))
        hasty.run(lambda: handler.wire.close(4008, "too slow"))
        assert handler.until("close")[-1] == ("close", 4008)


@pytest.mark.parametrize("half", [True, False], ids=["half-closed", "closing"])
def test_peer_that_ends_without_reading_is_dropped(hasty: Running, half: bool) -> None:
    with hasty.opened(receive_buffer=4096) as (peer, handler):
        hasty.run(lambda: send(handler.wire, b"x" * 50_000, times=100))
        if half:
            peer.sock.shutdown(socket.SHUT_WR)
        else:
            peer.send(close_frame(1000))
        assert handler.until("close")[-1] == ("close", 1006 if half else 1000)


def test_failed_peer_that_keeps_talking_is_dropped(hasty: Running) -> None:
    with hasty.opened() as (peer, handler):
        peer.send(frame(3))
        assert peer.closing()[0] == 1002
        with pytest.raises(OSError, match=r"reset|pipe"):  # noqa: PT012 (each of the two may meet it)
            while handler.events.empty() or handler.events.get()[0] != "close":
                peer.send(bytes(10_000))
            peer.send(bytes(10_000))
            peer.send(bytes(10_000))


@pytest.mark.parametrize("reset", [True, False])
def test_connection_that_just_ends_is_1006(server: Running, reset: bool) -> None:
    with server.opened() as (peer, handler):
        if reset:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.send(frame(TEXT, b"unfinished", fin=False))
        peer.sock.close()
        assert handler.until("close")[-1] == ("close", 1006)
        assert handler.events.empty()


def test_message_sent_just_as_the_connection_ends_is_dropped_quietly(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with server.opened() as (_, handler):

        def end_and_send() -> None:
            handler.wire._transport.abort()
            handler.wire.send(b"nobody there")

        server.run(end_and_send)
        assert handler.until("close") == [("close", 1006)]
        server.run(lambda: None)
    assert not caplog.records


def test_wire_can_still_be_used_after_the_end(server: Running) -> None:
    with server.opened() as (peer, handler):
        peer.sock.close()
        handler.until("close")

        def use() -> int:
            handler.wire.send(b"nobody there")
            handler.wire.ping()
            handler.wire.flush()
            handler.wire.close()
            handler.wire.pause_reading()
            handler.wire.resume_reading()
            handler.wire._fail(1002, "found in the last read, and so the last to be heard of")
            return handler.wire.buffered_bytes

        assert server.run(use) == 0


@pytest.mark.parametrize("event", ["open", "message", "heartbeat", "read_end"])
def test_failing_handler_ends_its_connection_alone(
    server: Running, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    with server.opened() as (other, _), server.opened(fails_in=event) as (peer, handler):
        peer.send(frame(PING, b"p"), frame(TEXT, b"x"))
        while (got := peer.frame()).opcode != CLOSE:
            pass
        assert got.payload == struct.pack("!H", 1011)
        peer.send(close_frame(1011))
        assert peer.is_over()
        assert handler.until("close")[-1] == ("close", 1011)
        assert "a handler's own bug" in caplog.text
        other.send(frame(TEXT, b"unharmed"))
        assert other.frame() == Frame(TEXT, b"unharmed")


def test_failing_on_close_is_logged(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    with server.opened(fails_in="close") as (peer, handler):
        peer.send(close_frame(1000))
        assert peer.closing() == (1000, "")
        assert peer.is_over()
        handler.until("close")
    assert "a handler's own bug" in caplog.text


def test_ended_connection_leaves_nothing_for_the_garbage_collector(server: Running) -> None:
    gc.disable()
    try:
        with server.opened() as (peer, handler):
            peer.send(frame(TEXT, b"x"), close_frame(1000))
            handler.until("close")
            ended: list[weakref.ref[Any]] = [weakref.ref(handler), weakref.ref(handler.wire)]
        del handler
        server.run(lambda: None)
        assert [ref() for ref in ended] == [None, None]
    finally:
        gc.enable()


def test_closing_in_on_open_is_orderly(server: Running) -> None:
    with server.opened("/unwelcome") as (peer, handler):
        assert peer.closing() == (4009, "too many connections")
        peer.send(close_frame(4009))
        assert peer.is_over()
        assert handler.until("close") == [("close", 4009)]


def test_independent_client_sees_our_code_and_reason(server: Running) -> None:
    with connect(f"ws://{server.url}/unwelcome") as client:
        with pytest.raises(ConnectionClosedError):
            client.recv(timeout=10)
        assert (client.close_code, client.close_reason) == (4009, "too many connections")


def test_shutdown_closes_with_1001_and_is_over_soon() -> None:
    with serving() as running, running.opened() as (peer, handler), running.opened() as (other, _):
        running.server.should_exit = True
        for one in (peer, other):
            assert one.closing() == (1001, "going away")
            one.send(close_frame(1001))
            assert one.is_over()
        assert handler.until("close") == [("shutdown",), ("close", 1001)]
        running.thread.join(1)
        assert not running.thread.is_alive()


def test_shutdown_does_not_wait_long_for_a_silent_peer() -> None:
    with serving(close_timeout=60) as running, running.opened() as (peer, _):
        before = time.monotonic()
        running.stop()
        assert time.monotonic() - before < 4
        assert peer.closing()[0] == 1001


def test_shutdown_does_not_wait_long_for_a_connection_that_is_closing() -> None:
    with (
        serving(close_timeout=60) as running,
        running.opened() as (closing, one),
        running.opened() as (failed, _),
    ):
        running.run(lambda: one.wire.close(4001))
        assert closing.closing()[0] == 4001
        failed.send(frame(3))
        assert failed.closing()[0] == 1002
        before = time.monotonic()
        running.stop()
        assert time.monotonic() - before < 4
        assert one.until("close") == [("close", 4001)]


def test_shutdown_waits_for_a_handler_that_has_something_to_finish() -> None:
    with serving() as running, running.opened("/stubborn") as (peer, handler):
        running.server.should_exit = True
        handler.until("shutdown")
        peer.send(frame(TEXT, b"still served"))
        assert peer.frame() == Frame(TEXT, b"still served")
        running.run(lambda: handler.wire.close(1001))
        assert peer.closing()[0] == 1001
        peer.send(close_frame(1001))
        running.stop()
