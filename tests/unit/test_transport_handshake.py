"""RFC 6455 section 4: who gets a WebSocket, and what everybody else gets."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from duologue.edge.edge import Edge
from duologue.edge.handshake import Handshake, origin_allowed
from duologue.edge.http_watch import ConnectionWatch, Patience
from tests.support.websocket import BINARY, PONG, TEXT, Frame, Running, frame, serving, upgrade_request

PLAIN_GET = b"GET /%s HTTP/1.1\r\nHost: example.org\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


def answer_to(server: Running, request: bytes) -> tuple[int, dict[str, str], bytes]:
    with server.peer() as peer:
        peer.send(request)
        answer = peer.answer()
        if answer[0] != 101:
            assert peer.is_over(), "a refused connection is closed"
        return answer


def test_accepting_proves_that_the_key_was_read(server: Running) -> None:
    status, headers, _ = answer_to(server, upgrade_request())
    assert status == 101
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3
    assert headers["upgrade"].lower() == "websocket"
    assert headers["connection"].lower() == "upgrade"


def test_connection_may_name_more_than_upgrade(server: Running) -> None:
    assert answer_to(server, upgrade_request(Connection="keep-alive, Upgrade"))[0] == 101


def test_no_extension_is_agreed_on(server: Running) -> None:
    request = upgrade_request(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
    status, headers, _ = answer_to(server, request)
    assert status == 101
    assert "sec-websocket-extensions" not in headers


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ("duologue.v1", "duologue.v1"),
        ("duologue.v1.msgpack", "duologue.v1.msgpack"),
        ("duologue.v1.msgpack, duologue.v1", "duologue.v1.msgpack"),
        ("chat, duologue.v1,duologue.v1.msgpack", "duologue.v1"),
        ("chat\r\nSec-WebSocket-Protocol: duologue.v1", "duologue.v1"),
        (None, None),
    ],
)
def test_first_known_subprotocol_of_the_client_is_agreed_on(
    server: Running, offered: str | None, agreed: str | None
) -> None:
    status, headers, _ = answer_to(server, upgrade_request(Sec_WebSocket_Protocol=offered))
    assert (status, headers.get("sec-websocket-protocol")) == (101, agreed)


def test_only_unknown_subprotocols_are_refused(server: Running) -> None:
    status, headers, body = answer_to(server, upgrade_request(Sec_WebSocket_Protocol="duologue.v9, chat"))
    assert status == 400
    assert "sec-websocket-protocol" not in headers
    assert "duologue.v1.msgpack" in json.loads(body)["detail"]


@pytest.mark.parametrize("version", ["8", "14", "013", "13, 8"])
def test_other_versions_are_told_which_one_would_do(server: Running, version: str) -> None:
    status, headers, _ = answer_to(server, upgrade_request(Sec_WebSocket_Version=version))
    assert (status, headers["sec-websocket-version"]) == (426, "13")


@pytest.mark.parametrize(
    "request_",
    [
        upgrade_request(Sec_WebSocket_Version=None),
        upgrade_request(Sec_WebSocket_Key=None),
        upgrade_request(Sec_WebSocket_Key="short"),
        upgrade_request(Sec_WebSocket_Key="QUJD"),
        upgrade_request(Sec_WebSocket_Key="*" * 24),
        upgrade_request(Sec_WebSocket_Key="é" * 24),
        upgrade_request(X="y\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        upgrade_request(Host=None),
        upgrade_request(Content_Length="3") + b"abc",
        upgrade_request(Transfer_Encoding="chunked") + b"0\r\n\r\n",
        upgrade_request().replace(b"GET", b"POST", 1),
        upgrade_request().replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    ],
    ids=[
        "no version",
        "no key",
        "key not base64",
        "key too short",
        "key of stars",
        "key not ASCII",
        "two keys",
        "no host",
        "body",
        "chunked body",
        "POST",
        "HTTP 1.0",
    ],
)
def test_malformed_handshake_gets_400(server: Running, request_: bytes) -> None:
    assert answer_to(server, request_)[0] == 400


def test_refusal_is_answered_as_given(server: Running) -> None:
    status, headers, body = answer_to(server, upgrade_request("/closed"))
    assert (status, body) == (403, b'{"code":"closed"}')
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "7"
    assert headers["connection"] == "close"
    assert "date" in headers


def test_failure_to_judge_gets_500_without_internals(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    status, _, body = answer_to(server, upgrade_request("/broken"))
    assert status == 500
    assert json.loads(body)["title"] == "Internal Server Error"
    assert b"secret" not in body
    assert "a secret of the server" in caplog.text


def test_request_can_come_in_any_pieces(server: Running) -> None:
    with server.peer() as peer:
        for byte in upgrade_request():
            peer.send(bytes([byte]))
        assert peer.answer()[0] == 101


@pytest.mark.parametrize("size", [1, 2_000, 60_000])
def test_frames_in_the_packet_of_the_request_are_not_lost(server: Running, size: int) -> None:
    first, second = frame(TEXT, b"x" * size), frame(TEXT, b"second")
    with server.opened(behind=first + second) as (peer, handler):
        assert handler.messages(2) == [b"x" * size, b"second"]
        assert peer.frame() == Frame(TEXT, b"x" * size)
        assert peer.frame() == Frame(TEXT, b"second")


def test_frame_split_between_the_packet_of_the_request_and_the_next(server: Running) -> None:
    whole = frame(TEXT, b"in two parts")
    with server.opened(behind=whole[:5]) as (peer, _):
        peer.send(whole[5:])
        assert peer.frame() == Frame(TEXT, b"in two parts")


def test_parser_may_change_amid_what_came_with_the_request(server: Running) -> None:
    """The large buffer is given back at a pong: here at one that ends a full read (28,672 bytes)."""
    grown = frame(BINARY, bytes(20_000)) + frame(TEXT, b"x" * 8_650) + frame(PONG)
    whole = frame(TEXT, b"in two parts")
    with server.opened(behind=grown + whole[:9]) as (peer, _):
        assert [len(peer.frame().payload), len(peer.frame().payload)] == [20_000, 8_650]
        peer.send(whole[9:])
        assert peer.frame() == Frame(TEXT, b"in two parts")


def test_bad_frame_in_the_packet_of_the_request_fails_the_connection(server: Running) -> None:
    for bad in (frame(3), frame(TEXT, b"x", rsv=1)):
        with server.opened(behind=frame(TEXT, b"good") + bad + frame(TEXT, b"ignored")) as (peer, handler):
            assert peer.frame() == Frame(TEXT, b"good")
            assert peer.closing()[0] == 1002
            assert peer.is_over()
            peer.sock.close()
            assert handler.until("close")[1:] == [("close", 1002)]


def test_frames_behind_a_refused_request_are_not_read_as_a_request(server: Running) -> None:
    with server.peer() as peer:
        peer.send(upgrade_request("/closed"), upgrade_request())
        assert peer.answer()[0] == 403
        assert peer.is_over()


def test_handler_learns_who_asks(server: Running) -> None:
    request = upgrade_request("/a%20path?name=who&q=%2B", Authorization="Bearer dlg_x").replace(
        b"Upgrade: ", b"X-Twice: a\r\nx-twice: b\r\nUpgrade: ", 1
    )
    assert answer_to(server, request)[0] == 101
    asked = server.handlers.pop("who").handshake
    assert (asked.path, asked.query, asked.peer) == ("/a path", "name=who&q=%2B", "127.0.0.1")
    assert asked.headers["authorization"] == "Bearer dlg_x"
    assert asked.headers["x-twice"] == "a, b"
    assert asked.subprotocol is None


def test_target_may_name_the_whole_url(server: Running) -> None:
    request = upgrade_request("http://example.org/absolute?name=url")
    assert answer_to(server, request)[0] == 101
    assert server.handlers.pop("url").handshake.path == "/absolute"


@pytest.mark.parametrize(
    ("origin", "allowed", "verdict"),
    [
        (None, [], True),
        ("https://example.org", [], True),
        ("http://EXAMPLE.org", [], True),
        ("https://example.org:8443", [], False),
        ("https://evil.example", [], False),
        ("null", [], False),
        ("http://[", [], False),
        ("https://friend.example", ["https://friend.example"], True),
        ("https://friend.example.evil.example", ["https://friend.example"], False),
        ("https://anyone.example", ["*"], True),
    ],
)
def test_origin_is_this_server_or_a_listed_one(origin: str | None, allowed: list[str], verdict: bool) -> None:
    headers = {"host": "example.org"} | ({"origin": origin} if origin else {})
    assert origin_allowed(Handshake("/", "", headers, "", None), allowed) is verdict


def test_foreign_page_is_refused_at_the_door(server: Running) -> None:
    assert answer_to(server, upgrade_request(Origin="https://evil.example"))[0] == 403
    assert answer_to(server, upgrade_request(Origin="https://friend.example"))[0] == 101


def test_http_works_before_and_beside_a_websocket_on_the_same_port(server: Running) -> None:
    with server.peer() as peer, server.opened() as (other, _):
        for path in (b"one", b"two"):
            peer.send(PLAIN_GET % path)
            assert peer.answer()[2] == b"/" + path
        peer.send(upgrade_request(), frame(TEXT, b"now a socket"))
        assert peer.answer()[0] == 101
        assert peer.frame() == Frame(TEXT, b"now a socket")
        other.send(frame(TEXT, b"so is this"))
        assert other.frame() == Frame(TEXT, b"so is this")


def test_upgrade_behind_an_unanswered_request_is_refused_once_that_is_answered(server: Running) -> None:
    with server.peer() as peer:
        peer.send(PLAIN_GET % b"slow", upgrade_request(), frame(TEXT, b"mixed up"))
        assert peer.answer()[2] == b"/slow"
        assert peer.is_over()


def test_idle_http_timeout_does_not_reach_a_websocket() -> None:
    with serving(edge=Edge(watch=ConnectionWatch(Patience(idle=0.5)))) as server, server.peer() as peer:
        with server.peer() as idle:
            for one in (peer, idle):
                one.send(PLAIN_GET % b"first")
                one.answer()
            peer.send(upgrade_request())
            assert peer.answer()[0] == 101
            assert idle.is_over()
        peer.send(frame(TEXT, b"still here"))
        assert peer.frame() == Frame(TEXT, b"still here")
