"""Names of the server: one well-formed `Host`, and where sign-in is open none that a foreign page could choose."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import pytest

from duologue.app.edge import edge_of
from duologue.config import Settings
from duologue.core.addresses import Remotes
from duologue.core.rates import Rates
from duologue.edge.hosts import Hosts
from duologue_lab.servers.server import DuologueServer
from tests.support.http import Answer, raw

SOCKET = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
)
ROUTES = [
    (b"/healthz", b"", 200),
    (b"/nothing", b"", 404),
    (b"/v1/me", b"", 401),
    (b"/v1/socket", SOCKET, 101),
]
BAD = [
    b"",
    b"Host:\r\n",
    b"Host: localhost\r\nHost: localhost\r\n",
    b"Host: localhost\r\nHost: evil.example\r\n",
    b"Host: local host\r\n",
    b"Host: localhost, localhost\r\n",
    b"Host: somebody@localhost\r\n",
    b"Host: localhost/\r\n",
    b"Host: localhost:99999\r\n",
    b"Host: localhost:x\r\n",
    b"Host: :80\r\n",
    b"Host: [::1\r\n",
    b"Host: [::g]\r\n",
    b"Host: \xff\r\n",
]
FOREIGN = [
    b"evil.example",
    b"localhost.evil.example",
    b"127.0.0.1.evil.example",
    b"192.0.2.1",
    b"[2001:db8::1]",
]
OWN = [
    b"localhost",
    b"LOCALHOST:80",
    b"localhost.",
    b"app.localhost:8000",
    b"127.0.0.1",
    b"127.9.9.9:1",
    b"[::1]:80",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path_factory.mktemp("hosts")) as server:
        yield server


def ask(server: DuologueServer, target: bytes, fields: bytes, version: bytes = b"1.1") -> Answer:
    with raw(server.port) as http:
        http.send(b"GET %s HTTP/%s\r\n%s\r\n" % (target, version, fields))
        return http.answer()


def test_no_route_is_answered_without_one_well_formed_host(server: DuologueServer) -> None:
    for target, fields, _ in ROUTES:
        for host in BAD:
            answer = ask(server, target, host + fields)
            assert (answer.status, answer.problem["code"]) == (400, "bad_host"), (target, host)


def test_an_open_server_answers_to_its_own_names_only(server: DuologueServer) -> None:
    for target, fields, status in ROUTES:
        for host in OWN[:1] if fields else OWN:
            assert ask(server, target, b"Host: %s\r\n" % host + fields).status == status, host
        for host in FOREIGN:
            answer = ask(server, target, b"Host: %s\r\n" % host + fields)
            assert (answer.status, answer.problem["code"]) == (400, "bad_host"), host


def test_the_host_in_the_target_counts_too(server: DuologueServer) -> None:
    assert ask(server, b"http://localhost/healthz", b"Host: localhost\r\n").status == HTTPStatus.OK
    assert (
        ask(server, b"http://evil.example/healthz", b"Host: localhost\r\n").status == HTTPStatus.BAD_REQUEST
    )


def test_http_1_0_may_go_without(server: DuologueServer) -> None:
    assert ask(server, b"/healthz", b"", b"1.0").status == HTTPStatus.OK


def verdicts(settings: Settings, *hosts: str) -> list[bool]:
    judge: Hosts = edge_of(settings, Rates(limited=True), Remotes(())).hosts
    return [judge.fault([host.encode()], required=True) is None for host in hosts]


def test_the_operators_settings_add_names() -> None:
    names = ("localhost", "chat.example", "192.0.2.7", "192.0.2.8", "evil.example")
    public = "https://chat.example"
    assert verdicts(Settings(sign_in="open"), *names) == [True, False, False, False, False]
    assert verdicts(Settings(sign_in="open", public_url=public), *names) == [True, True, False, False, False]
    assert verdicts(Settings(host="192.0.2.7", sign_in="open"), *names) == [True, False, True, False, False]
    assert verdicts(Settings(host="::", sign_in="open"), *names) == [True, False, True, True, False]
    assert verdicts(Settings(sign_in="sms", sms_url="simulator://"), *names) == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert verdicts(Settings(sign_in="sms", sms_url="twilio://x"), *names) == [True] * 5


def test_the_path_of_the_socket_names_what_to_upgrade_to(server: DuologueServer) -> None:
    for fields in (b"", b"Connection: Upgrade\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"):
        answer = ask(server, b"/v1/socket", b"Host: localhost\r\n" + fields)
        assert (answer.status, answer.problem["code"]) == (426, "upgrade_required")
        assert answer.headers["upgrade"] == "websocket"
        assert answer.headers["connection"].lower() == "upgrade"


def test_head_is_answered_wherever_get_is(server: DuologueServer) -> None:
    for target in (
        b"/healthz",
        b"/v1/server",
        b"/",
        b"/docs",
        b"/openapi.json",
        b"/v1/me",
        b"/v1/socket",
        b"/none",
    ):
        with raw(server.port) as http:
            answers = []
            for method in (b"GET", b"HEAD", b"GET"):
                http.send(b"%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (method, target))
                answers.append(http.answer(has_body=method == b"GET"))
            got, head, again = answers
            assert (head.status, again.body) == (got.status, got.body)
            for headers in (got.headers, head.headers):
                del headers["date"]
                headers.pop("ratelimit", None)  # it counts down
            assert head.headers == got.headers


def test_clients_that_offer_http_2_can_sign_in(server: DuologueServer) -> None:
    body = b'{"phone": "+33639980011"}'
    head = (
        b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    with raw(server.port) as http:
        for _ in range(2):
            http.send(head, body)
            assert http.answer().status == HTTPStatus.CREATED
