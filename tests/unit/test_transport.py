"""RFC 6455 sections 5, 6 and 8: frames become messages, and bad frames end the connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.support.websocket import (
    BINARY,
    CONTINUATION,
    MAX_MESSAGE,
    PING,
    PONG,
    TEXT,
    Frame,
    Running,
    frame,
    serving,
)

EURO = "€".encode()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


def rejection(server: Running, *frames: bytes) -> int | None:
    """The code with which the server fails a connection that says these frames."""
    with server.opened() as (peer, handler):
        handler.echoes = False
        peer.send(*frames)
        code, _ = peer.closing()
        assert peer.is_over()
        peer.sock.close()
        assert handler.until("close")[-1] == ("close", code)
        assert handler.events.empty()
        return code


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, MAX_MESSAGE])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_messages_of_every_length_form_pass_both_ways(server: Running, opcode: int, size: int) -> None:
    payload = b"\xff" * size if opcode == BINARY else b"x" * size
    with server.opened() as (peer, handler):
        peer.send(frame(opcode, payload))
        assert peer.frame() == Frame(opcode, payload)
        assert handler.until("message") == [("message", payload, opcode == BINARY)]


def test_frames_can_come_in_any_pieces(server: Running) -> None:
    stream = frame(TEXT, b"first") + frame(PING, b"p") + frame(BINARY, bytes(200))
    with server.opened() as (peer, _):
        for byte in stream:
            peer.send(bytes([byte]))
        assert [peer.frame() for _ in range(3)] == [
            Frame(TEXT, b"first"),
            Frame(PONG, b"p"),
            Frame(BINARY, bytes(200)),
        ]


def test_fragments_are_handed_over_as_one_message(server: Running) -> None:
    with server.opened() as (peer, handler):
        for opcode in (TEXT, BINARY):
            peer.send(frame(opcode, b"one ", fin=False), frame(CONTINUATION, b"", fin=False))
            peer.send(frame(CONTINUATION, b"two ", fin=False), frame(CONTINUATION, b"three"))
            assert peer.frame() == Frame(opcode, b"one two three")
            assert handler.messages(1) == [b"one two three"]


def test_control_frames_may_stand_between_fragments(server: Running) -> None:
    with server.opened() as (peer, handler):
        peer.send(
            frame(TEXT, b"one ", fin=False), frame(PING, b"?"), frame(PONG), frame(CONTINUATION, b"two")
        )
        assert peer.frame() == Frame(PONG, b"?")
        assert peer.frame() == Frame(TEXT, b"one two")
        beats = [event[0] for event in handler.until("message")]
        assert beats == ["heartbeat", "heartbeat", "heartbeat", "message"]


def test_largest_message_may_come_in_fragments(server: Running) -> None:
    half = b"x" * (MAX_MESSAGE // 2)
    with server.opened() as (peer, _):
        peer.send(frame(TEXT, half, fin=False), frame(CONTINUATION, half))
        assert peer.frame() == Frame(TEXT, half * 2)


@pytest.mark.parametrize(
    "frames",
    [
        [frame(TEXT, b"x" * (MAX_MESSAGE + 1))],
        [frame(BINARY, b"", claim=MAX_MESSAGE + 1)],
        [frame(BINARY, b"", claim=1 << 62)],
        [frame(TEXT, b"x" * MAX_MESSAGE, fin=False), frame(CONTINUATION, b"x")],
        [frame(TEXT, b"x" * 10_000, fin=False), *[frame(CONTINUATION, b"x" * 10_000, fin=False)] * 7],
    ],
    ids=["one frame", "announced", "absurd", "last fragment", "unfinished"],
)
def test_size_limit_covers_the_whole_message(server: Running, frames: list[bytes]) -> None:
    assert rejection(server, *frames) == 1009


def test_sender_of_too_much_still_learns_why_it_was_cut_off(server: Running) -> None:
    with server.opened() as (peer, _):
        peer.send(frame(BINARY, b"x" * 3_000_000))
        assert peer.closing()[0] == 1009
        assert peer.is_over()


@pytest.mark.parametrize(
    "frames",
    [
        [frame(CONTINUATION, b"of nothing")],
        [frame(TEXT, b"a"), frame(CONTINUATION, b"of nothing")],
        [frame(TEXT, b"a", fin=False), frame(TEXT, b"b")],
        [frame(TEXT, b"a", fin=False), frame(BINARY, b"b", fin=False)],
    ],
    ids=["at first", "after a message", "message within", "fragment within"],
)
def test_fragments_out_of_order_are_a_protocol_error(server: Running, frames: list[bytes]) -> None:
    assert rejection(server, *frames) == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CONTINUATION])
@pytest.mark.parametrize("rsv", [1, 2, 4, 7])
def test_reserved_bits_are_a_protocol_error(server: Running, opcode: int, rsv: int) -> None:
    assert rejection(server, frame(opcode, b"x", rsv=rsv)) == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_are_a_protocol_error(server: Running, opcode: int) -> None:
    assert rejection(server, frame(opcode)) == 1002


@pytest.mark.parametrize(
    "bad",
    [
        frame(TEXT, b"x", masked=False),
        frame(PING, masked=False),
        frame(PING, b"x" * 126),
        frame(PONG, b"x" * 126),
        frame(8, b"x" * 126),
        frame(PING, b"x", fin=False),
        frame(8, fin=False),
        frame(TEXT, b"x", long_form=16),
        frame(TEXT, b"x" * 200, long_form=64),
        frame(BINARY, b"", claim=(1 << 63) + 200_000),
    ],
    ids=[
        "unmasked",
        "unmasked ping",
        "long ping",
        "long pong",
        "long close",
        "fragmented ping",
        "fragmented close",
        "16-bit length for a short one",
        "64-bit length for a short one",
        "length with its highest bit set",
    ],
)
def test_malformed_frames_are_a_protocol_error(server: Running, bad: bytes) -> None:
    assert rejection(server, bad) == 1002


@pytest.mark.parametrize(
    "bad",
    [b"\xff", b"abc\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", EURO[:2]],
    ids=["never a byte", "stray", "overlong", "surrogate", "beyond Unicode", "cut off"],
)
def test_text_that_is_not_utf8_ends_the_connection(server: Running, bad: bytes) -> None:
    assert rejection(server, frame(TEXT, bad)) == 1007
    assert rejection(server, frame(TEXT, b"fine ", fin=False), frame(CONTINUATION, bad)) == 1007
    assert rejection(server, frame(TEXT, bad, fin=False), frame(CONTINUATION, b" fine")) == 1007


def test_characters_may_be_split_across_fragments(server: Running) -> None:
    with server.opened() as (peer, _):
        peer.send(frame(TEXT, EURO[:1], fin=False), frame(CONTINUATION, EURO[1:2], fin=False))
        peer.send(frame(CONTINUATION, EURO[2:]), frame(TEXT, "ünï çödé 🌍".encode()))
        assert peer.frame() == Frame(TEXT, EURO)
        assert peer.frame() == Frame(TEXT, "ünï çödé 🌍".encode())


@pytest.mark.parametrize(
    ("bad", "code"),
    [(frame(3), 1002), (frame(TEXT, b"x", rsv=4), 1002), (frame(TEXT, b"\xff"), 1007)],
    ids=["found by the parser", "found by us", "found in the payload"],
)
def test_messages_before_a_bad_frame_are_answered_first(server: Running, bad: bytes, code: int) -> None:
    with server.opened() as (peer, handler):
        peer.send(frame(TEXT, b"one"), frame(TEXT, b"two"), bad, frame(TEXT, b"three"), frame(PING))
        assert [peer.frame().payload, peer.frame().payload] == [b"one", b"two"]
        assert peer.closing()[0] == code
        assert peer.is_over()
        peer.sock.close()
        assert [event[0] for event in handler.until("close")] == ["message", "message", "close"]


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))])
def test_ping_is_answered_with_its_own_payload(server: Running, payload: bytes) -> None:
    with server.opened() as (peer, handler):
        peer.send(frame(PING, payload))
        assert peer.frame() == Frame(PONG, payload)
        assert handler.until("heartbeat") == [("heartbeat",)]


def test_pong_to_our_ping_is_a_sign_of_life(server: Running) -> None:
    with server.opened() as (peer, handler):
        server.run(lambda: handler.wire.ping(b"there?"))
        assert peer.frame() == Frame(PING, b"there?")
        peer.send(frame(PONG, b"there?"))
        assert handler.until("heartbeat") == [("heartbeat",)]


def test_independent_client_gets_what_it_expects(server: Running) -> None:
    offered = [Subprotocol("duologue.v1.msgpack")]
    with connect(f"ws://{server.url}/echo", subprotocols=offered, max_size=None) as client:
        assert client.subprotocol == "duologue.v1.msgpack"
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        for message in ("", "text", "€" * 20_000, b"", bytes(range(256)) * 200):
            client.send(message)
            assert client.recv(timeout=10) == message
        client.send(["frag", "ment", "ed"])
        assert client.recv(timeout=10) == "fragmented"
        assert client.ping("x").wait(10)
    assert client.close_code == 1000
