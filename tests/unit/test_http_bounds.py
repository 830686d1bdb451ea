"""The bounds of a request: its size, its time, what follows it, what it asks to become, and how many there are."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from time import monotonic, sleep

import pytest

from duologue.core.limits import MAX_BODY, MAX_HEAD, MAX_HEADER_LINES, MAX_PIPELINED, MAX_TARGET
from duologue.edge.connection_caps import GUESTS, ConnectionCaps
from duologue.edge.edge import Edge
from duologue.edge.http_protocol import BoundedHttpProtocol
from duologue.edge.http_watch import ConnectionWatch, Patience
from tests.support.http import Raw, raw
from tests.support.websocket import TEXT, Frame, Running, frame, serving, upgrade_request

Connect = Callable[[], AbstractContextManager[Raw]]
HOST = b"Host: localhost\r\n"
GET = b"GET /%s HTTP/1.1\r\n" + HOST
POST = b"POST /%s HTTP/1.1\r\n" + HOST
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture
def connect(server: Running) -> Connect:
    return partial(raw, server.address[1])


def patient(**seconds: float) -> Edge:
    return Edge(watch=ConnectionWatch(Patience(**seconds)))


def head_of(size: int) -> bytes:
    """A head of exactly so many bytes, in lines that are short enough."""
    lines = b"".join(b"X: %s\r\n" % (b"x" * 995) for _ in range(size // 1000 - 1))
    begun = GET % b"a" + lines
    return begun + b"X: %s\r\n\r\n" % (b"x" * (size - len(begun) - 7))


@pytest.mark.parametrize("step", [1_000_000, 1000])
def test_a_head_may_have_32_kib_and_no_more(connect: Connect, step: int) -> None:
    for size, status in ((MAX_HEAD, 200), (MAX_HEAD + 1, 431)):
        with connect() as http:
            head = head_of(size)
            assert len(head) == size
            for at in range(0, size, step):
                http.send(head[at : at + step])
            assert http.answer().status == status


def test_the_head_of_a_later_request_has_the_same_bound(connect: Connect) -> None:
    for size, status in ((MAX_HEAD, 200), (MAX_HEAD + 1000, 431)):
        with connect() as http:
            http.send(GET % b"first" + b"\r\n" + head_of(size))
            assert http.answer().body == b"/first"
            assert (
                http.answer().status == status
                if status == 200
                else http.rest()[:12] in {b"", b"HTTP/1.1 431"}
            )


@pytest.mark.parametrize(
    "head",
    [
        GET % b"a" + b"X: y\r\n" * MAX_HEADER_LINES + b"\r\n",
        GET % b"a" + b"a:\r\n" * (MAX_HEADER_LINES + 1),
        GET % (b"a" * MAX_TARGET) + b"\r\n",
        b"GET /" + b"a" * MAX_HEAD,
        b"GET / HTTP/1.1\r\nX: " + b"y" * MAX_HEAD,
        b"\r\n" * MAX_HEAD,
    ],
    ids=["lines", "unfinished lines", "target", "unfinished target", "one line", "empty lines"],
)
def test_every_part_of_a_head_is_bounded_and_says_so(connect: Connect, head: bytes) -> None:
    with connect() as http:
        http.send(head)
        answer = http.answer()
        assert (answer.status, answer.problem["code"]) == (431, "head_too_large")
        assert answer.headers["connection"] == "close"
        assert http.is_over()


CHUNKED = POST % b"a" + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"1;" + b"x" * 2 * MAX_HEAD,
        b"1;x=y\r\na\r\n" * 10_000,
        b"1\r\na\r\n0\r\n" + b"X: %s\r\n" % (b"y" * 1000) * 70,
    ],
    ids=["one extension", "many extensions", "trailers"],
)
def test_what_frames_a_body_is_bounded(connect: Connect, body: bytes) -> None:
    with connect() as http:
        http.send(CHUNKED, body)
        assert http.rest()[:12] in {b"HTTP/1.1 431", b"HTTP/1.1 200"}
        http.send(b"x" * MAX_HEAD)
        assert http.is_over()


def test_ordinary_chunks_extensions_and_trailers_are_taken(connect: Connect) -> None:
    with connect() as http:
        http.send(CHUNKED, b"3;x=y\r\nabc\r\n" * 100, b"0\r\nX: y\r\n\r\n", GET % b"next" + b"\r\n")
        assert [http.answer().body for _ in "ab"] == [b"/a", b"/next"]


def test_a_body_that_nobody_reads_is_not_taken_for_ever(connect: Connect) -> None:
    with connect() as http:
        http.send(POST % b"a" + b"Content-Length: 999999999\r\n\r\n")
        assert http.answer().status == 200
        for _ in range(8):
            http.send(b"x" * MAX_BODY)
        assert http.is_over()


def test_requests_may_be_sent_ahead_but_not_without_end(connect: Connect) -> None:
    with connect() as http:
        http.send(GET % b"slow" + b"\r\n", (GET % b"a" + b"\r\n") * 2000)
        assert http.answer().body == b"/slow"
        answered = http.rest().count(b"HTTP/1.1 200 OK")
        assert answered == MAX_PIPELINED


def test_what_is_not_http_does_not_get_into_an_answer_before_it(connect: Connect) -> None:
    with connect() as http:
        http.send(GET % b"slow" + b"\r\n", b"GARBAGE\r\n\r\n")
        assert http.answer().body == b"/slow"
        assert http.is_over()


# Time.


def seconds_until_over(http: Raw) -> float:
    begun = monotonic()
    http.rest()
    return monotonic() - begun


@pytest.mark.parametrize(
    ("patience", "sent"),
    [
        ({"head": 0.5}, b""),
        ({"head": 0.5}, GET % b"a"),
        ({"idle": 0.5}, GET % b"a" + b"\r\n"),
        ({"head": 0.5}, GET % b"a" + b"\r\n" + GET % b"b"),
        ({"body": 0.5}, POST % b"body" + b"Content-Length: 9\r\n\r\nabc"),
        ({"body": 0.5}, POST % b"a" + b"Content-Length: 9\r\n\r\nabc"),
    ],
    ids=[
        "nothing",
        "half a head",
        "idle",
        "half a second head",
        "half a body",
        "half a body nobody waits for",
    ],
)
def test_a_connection_that_does_not_go_on_ends(patience: dict[str, float], sent: bytes) -> None:
    with serving(edge=patient(**patience)) as server, raw(server.address[1]) as http:
        http.send(sent)
        assert 0.2 < seconds_until_over(http) < 8


@pytest.mark.parametrize(
    ("patience", "begun", "piece"),
    [
        ({"head": 1}, GET % b"a", b"X: y\r\n"),
        ({"head": 1}, b"", b"\r\n"),
        ({"body_in_all": 1}, POST % b"body" + b"Content-Length: 9999\r\n\r\n", b"a"),
    ],
    ids=["head", "empty lines", "body"],
)
def test_a_connection_that_goes_on_too_slowly_ends(
    patience: dict[str, float], begun: bytes, piece: bytes
) -> None:
    with serving(edge=patient(**patience)) as server, raw(server.address[1]) as http:
        http.send(begun)
        http.tcp.settimeout(0.1)
        until = monotonic() + 10
        while monotonic() < until:
            http.send(piece)
            try:
                if not http.tcp.recv(100):
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
        pytest.fail("the connection is still open")


def test_a_client_that_reads_nothing_is_cut_off_and_one_that_reads_slowly_is_served() -> None:
    with serving(edge=patient(unread=1.5)) as server:
        port = server.address[1]
        with raw(port, receive_buffer=4096) as stuck, raw(port, receive_buffer=4096) as slow:
            for http in (stuck, slow):
                http.send(GET % b"large" + b"\r\n")
            slow.tcp.settimeout(5)
            received = 0
            begun = monotonic()
            while received < 1 << 20:
                data = slow.tcp.recv(32_768)
                assert data, f"cut off after {received} bytes"
                received += len(data)
                sleep(0.05 if monotonic() - begun < 4 else 0)
            sleep(max(0.0, begun + 4 - monotonic()))
            assert len(stuck.rest()) < 1 << 20


def test_answers_are_not_begun_while_the_one_before_is_not_read(server: Running) -> None:
    with raw(server.address[1], receive_buffer=4096) as http:
        http.send((GET % b"large" + b"\r\n") * 8)
        sleep(0.5)
        assert 0 < server.run(lambda: unread(server)) < (1 << 20) + 1000
        assert sum(len(http.answer().body) for _ in range(8)) == 8 << 20


def unread(server: Running) -> int:
    """Bytes that wait in the server for clients over HTTP."""
    connections = server.server.server_state.connections
    return sum(one.unread() for one in connections if isinstance(one, BoundedHttpProtocol))


# Upgrades (RFC 9110 section 7.8).


@pytest.mark.parametrize(
    "offer", [H2C, b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", b"Connection: upgrade\r\n"]
)
@pytest.mark.parametrize("step", [1, 1_000_000])
def test_another_upgrade_is_ignored_and_the_body_is_the_bodys(
    connect: Connect, offer: bytes, step: int
) -> None:
    smuggled = GET % b"smuggled" + b"\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(smuggled)
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    for framed in (length + smuggled, chunks):
        sent = POST % b"body" + offer + framed + GET % b"next" + b"\r\n"
        with connect() as http:
            for at in range(0, len(sent), step):
                http.send(sent[at : at + step])
            assert http.answer().body == smuggled
            assert http.answer().body == b"/next"


def test_a_websocket_may_be_one_of_several_offers(connect: Connect) -> None:
    for offers in ("h2c, websocket", "WebSocket", "h2c\r\nUpgrade: websocket"):
        request = upgrade_request(Upgrade=offers, Connection="keep-alive, Upgrade")
        with connect() as http:
            http.send(request, frame(TEXT, b"hello"))
            assert http.answer().status == 101
            http.send(frame(TEXT, b"again"))


def test_a_final_answer_to_expect_ends_the_connection(connect: Connect) -> None:
    with connect() as http:
        http.send(POST % b"a" + b"Expect: 100-continue\r\nContent-Length: 40\r\n\r\n")
        answer = http.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        http.send(GET % b"smuggled" + b"\r\n")
        assert http.is_over()


def test_a_body_that_is_waited_for_is_asked_for(connect: Connect) -> None:
    with connect() as http:
        http.send(POST % b"body" + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert http.answer().status == 100
        http.send(b"abc", GET % b"next" + b"\r\n")
        assert [http.answer().body for _ in "ab"] == [b"abc", b"/next"]


def test_http_1_0_gets_no_chunks(connect: Connect) -> None:
    with connect() as http:
        http.send(b"GET /pieces HTTP/1.0\r\n\r\n")
        answer = http.answer()
        assert "transfer-encoding" not in answer.headers
        assert answer.body == b"one two three"
    with connect() as http:
        http.send(GET % b"pieces" + b"\r\n")
        assert http.answer().headers["transfer-encoding"] == "chunked"


def test_head_is_get_without_a_body(connect: Connect) -> None:
    with connect() as http:
        for path in (b"a", b"large", b"pieces"):
            http.send(GET % path + b"\r\n")
            got = http.answer()
            http.send((GET % path).replace(b"GET", b"HEAD") + b"\r\n")
            head = http.answer(has_body=False)
            assert head.headers.get("content-length") == got.headers.get("content-length")


# The number of connections.


def test_beyond_the_caps_only_health_is_answered() -> None:
    with serving(edge=Edge(ConnectionCaps(total=2))) as server:
        port = server.address[1]
        with raw(port) as one, raw(port):
            one.send(GET % b"a" + b"\r\n")
            assert one.answer().status == 200
            with raw(port) as guest:
                guest.send(GET % b"a" + b"\r\n")
                answer = guest.answer()
                assert (answer.status, answer.problem["code"]) == (503, "overloaded")
                assert answer.headers["retry-after"] == "1"
                assert guest.is_over()
            with raw(port) as guest:
                guest.send(GET % b"healthz" + b"\r\n")
                assert guest.answer().body == b"/healthz"
                assert guest.is_over()
            with raw(port) as guest:
                guest.send(upgrade_request())
                assert guest.answer().status == 503
        until_it_is_answered(port)


def until_it_is_answered(port: int) -> None:
    """Wait until a connection that has ended has given its place back."""
    until = monotonic() + 10
    while monotonic() < until:
        with raw(port) as http:
            http.send(GET % b"a" + b"\r\n")
            if http.answer().status == HTTPStatus.OK:
                return
    pytest.fail("the place is not given back")


def test_one_network_cannot_take_all_places() -> None:
    with serving(edge=Edge(ConnectionCaps(total=9, per_address=2))) as server:
        port = server.address[1]
        statuses = []
        with raw(port, source="127.9.0.1"), raw(port, source="127.9.0.2"):
            for source in ("127.9.0.3", "127.9.1.3"):
                with raw(port, source=source) as http:
                    http.send(GET % b"a" + b"\r\n")
                    statuses.append(http.answer().status)
        assert statuses == [503, 200]


def test_silent_guests_make_room_for_one_that_asks() -> None:
    with serving(edge=Edge(ConnectionCaps(total=1))) as server:
        silent = [socket.create_connection(server.address) for _ in range(GUESTS + 5)]
        with raw(server.address[1]) as http:
            http.send(GET % b"readyz" + b"\r\n")
            assert http.answer().status == 200
        assert silent[1].recv(12) == b"HTTP/1.1 503"
        # Those turned away hold no descriptor while they don't close themselves.
        assert server.run(lambda: len(server.server.server_state.connections)) <= GUESTS + 2
        for tcp in silent:
            tcp.close()


def test_a_websocket_keeps_its_place_until_it_ends() -> None:
    with serving(edge=Edge(ConnectionCaps(total=1))) as server:
        port = server.address[1]
        with server.opened() as (peer, _), raw(port) as http:
            peer.send(frame(TEXT, b"a"))
            assert peer.frame() == Frame(TEXT, b"a")
            http.send(GET % b"a" + b"\r\n")
            assert http.answer().status == 503
        until_it_is_answered(port)
