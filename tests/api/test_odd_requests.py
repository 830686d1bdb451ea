"""Requests that no decent client sends: each gets its documented answer, and the server takes no notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.http import Answer, raw

JSON = b"Content-Type: application/json\r\n"
IDS = [
    b".",
    b"..",
    b"%2e%2e",
    b"%00",
    b"%ff%fe",
    b"%EF%BC%90",
    b"null",
    b"-1",
    b"cht_",
    b"cht_ffffffffffffffff",
    b"cht_0000000000000000",
    b"CHT_0000000000000001",
    b"usr_0000000000000001",
    b"ses_0000000000000001",
    b"cht_" + b"0" * 5000,
    b"'%20OR%201=1",
    b"%25",
]
NO_IDS = [b"", b"/", b"%2F", b"%2f..%2fme"]
ID_ROUTES = [
    ("GET", "/v1/chats/{}/messages", b""),
    ("POST", "/v1/chats/{}/messages", b'{"text": "a", "client_id": "a"}'),
    ("PUT", "/v1/chats/{}/read", b'{"seq": 1}'),
    ("PUT", "/v1/chats/{}/delivered", b'{"seq": 1}'),
    ("GET", "/v1/chats/{}", b""),
    ("PATCH", "/v1/chats/{}", b'{"pinned": true}'),
    ("DELETE", "/v1/sessions/{}", b""),
]
QUERIES = [
    ("/v1/chats?limit=0", "limit"),
    ("/v1/chats?limit=101", "limit"),
    ("/v1/chats?limit=", "limit"),
    ("/v1/chats?limit", "limit"),
    ("/v1/chats?limit=nan", "limit"),
    ("/v1/chats?limit=%00", "limit"),
    ("/v1/chats?limit=1.5", "limit"),
    ("/v1/chats?limit=99999999999999999999999999", "limit"),
    ("/v1/chats?limit=1e400", "limit"),
    ("/v1/chats?cursor=", "cursor"),
    ("/v1/chats?cursor=null", "cursor"),
    ("/v1/chats?cursor=%ff", "cursor"),
    ("/v1/chats?cursor=%00", "cursor"),
    ("/v1/events?after=-1", "after"),
    ("/v1/events?after=null", "after"),
    ("/v1/events?after=2147483648", "after"),
    ("/v1/events?after=2147483647", "after"),
    ("/v1/events?wait=nan", "wait"),
    ("/v1/events?wait=inf", "wait"),
    ("/v1/events?wait=-1", "wait"),
    ("/v1/events/stream?after=null", "after"),
    ("/v1/chats/{chat}/messages?before=null", "before"),
    ("/v1/chats/{chat}/messages?before=0", "before"),
    ("/v1/chats/{chat}/messages?around=NULL", "around"),
    ("/v1/chats/{chat}/messages?after=1&before=2", "before"),
]
BODIES = [
    (JSON, b"", 400, "bad_json"),
    (JSON, b"{", 400, "bad_json"),
    (JSON, b"\xff", 400, "bad_json"),
    (JSON, b"\xef\xbb\xbf{}", 400, "bad_json"),
    (JSON, b'{"to": "+33639980003", "text": "\\ud800", "client_id": "a"}', 400, "bad_json"),
    (JSON, b"null", 422, "invalid"),
    (JSON, b"[]", 422, "invalid"),
    (JSON, b"[" * 60_000, 422, "invalid"),
    (JSON, b'{"a":' * 10_000, 422, "invalid"),
    (JSON, b'{"to": "+33639980003", "text": "\\u0000", "client_id": "a"}', 422, "invalid"),
    (JSON, b'{"to": "+33639980003", "text": "a", "client_id": ""}', 422, "invalid"),
    (JSON, b'{"to": "+33639980003", "text": "a", "client_id": "a\\n"}', 422, "invalid"),
    (JSON, b'{"to": "+33639980003", "text": "a", "client_id": "a", "reply_to": 1e400}', 422, "invalid"),
    (JSON, b'{"to": "+33639980003", "text": "a", "client_id": "a", "reply_to": %d}' % 10**30, 422, "invalid"),
    (JSON, b" " * 65_537, 413, "too_large"),
    (JSON + b"Idempotency-Key:\r\n", b'{"to": "+33639980003", "text": "a"}', 422, "invalid"),
    (JSON + b"Idempotency-Key: \xff\r\n", b'{"to": "+33639980003", "text": "a"}', 422, "invalid"),
    (JSON + b"Idempotency-Key: %s\r\n" % (b"a" * 65), b'{"to": "+33639980003", "text": "a"}', 422, "invalid"),
    (b"", b"{}", 415, "not_json"),
    (b"Content-Type: \xff\r\n", b"{}", 415, "not_json"),
    (b"Content-Type: text/json\r\n", b"{}", 415, "not_json"),
    (b"Content-Type: multipart/form-data\r\n", b"a=b", 415, "not_json"),
    (b"Content-Type: multipart/form-data; boundary=x\r\n", b"--x\r\n", 415, "not_json"),
    (b"Content-Type: application/x-www-form-urlencoded\r\n", b"a=b", 415, "not_json"),
]
NOT_HTTP = [
    b"GARBAGE\r\n\r\n",
    b"GET /v1/chats/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/me HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n",
    b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nX\xff: 1\r\n\r\n",
    b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
]


class Person(NamedTuple):
    """Somebody signed in twice, with one chat, and the server."""

    server: DuologueServer
    token: bytes
    other: str
    chat: str

    def say(self, method: str, target: bytes | str, headers: bytes = b"", body: bytes = b"") -> Answer:
        """A request made byte by byte."""
        path = target if isinstance(target, bytes) else target.replace("{chat}", self.chat).encode()
        length = b"Content-Length: %d\r\n" % len(body) if body or method in {"POST", "PUT", "PATCH"} else b""
        head = b"Host: localhost\r\nConnection: close\r\nAuthorization: Bearer %s\r\n" % self.token
        return send(
            self.server,
            method.encode() + b" " + path + b" HTTP/1.1\r\n" + head + headers + length + b"\r\n" + body,
        )


def send(server: DuologueServer, request: bytes) -> Answer:
    with raw(server.port) as tcp:
        tcp.send(request)
        return tcp.answer()


@pytest.fixture(scope="module")
def ana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with DuologueServer(tmp_path_factory.mktemp("odd")) as server:
        with httpx.Client(base_url=server.url, trust_env=False) as http:
            one, other = (
                http.post("/v1/sessions", json={"phone": "+33639980001"}).json()["token"] for _ in "ab"
            )
            body = {"to": "+33639980002", "text": "Hello", "client_id": "a"}
            sent = http.post("/v1/messages", json=body, headers={"Authorization": f"Bearer {one}"})
        yield Person(server, one.encode(), other, sent.json()["chat_id"])
        assert '"level": "ERROR"' not in server.log


@pytest.mark.parametrize("route", ID_ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_an_id_that_cannot_be_is_not_found(ana: Person, route: tuple[str, str, bytes]) -> None:
    method, path, body = route
    before, after = path.encode().split(b"{}")
    for odd in IDS:
        answer = ana.say(method, before + odd + after, JSON if body else b"", body)
        assert (answer.status, answer.problem["code"]) == (404, "not_found"), odd[:40]


@pytest.mark.parametrize("route", ID_ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_a_path_without_its_id_is_no_other_path(ana: Person, route: tuple[str, str, bytes]) -> None:
    method, path, body = route
    before, after = path.encode().split(b"{}")
    for odd in NO_IDS:
        assert ana.say(method, before + odd + after, JSON if body else b"", body).status in {404, 405}, odd


def test_an_empty_session_id_ends_no_session(ana: Person) -> None:
    for path in ("/v1/sessions/", "/v1/sessions//", "/v1//sessions", "/v1/sessions/%2F"):
        assert ana.say("DELETE", path).status == 404
    signed_in = httpx.get(f"{ana.server.url}/v1/me", headers={"Authorization": f"Bearer {ana.other}"})
    assert signed_in.status_code == 200


@pytest.mark.parametrize(("path", "field"), QUERIES)
def test_an_odd_parameter_is_named(ana: Person, path: str, field: str) -> None:
    answer = ana.say("GET", path)
    assert answer.status == 422
    assert field in answer.problem["errors"]


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    BODIES,
    ids=[f"{number}-{case[3]}" for number, case in enumerate(BODIES)],
)
def test_an_odd_body_is_refused_and_nothing_is_sent(
    ana: Person, headers: bytes, body: bytes, status: int, code: str
) -> None:
    answer = ana.say("POST", "/v1/messages", headers, body)
    assert (answer.status, answer.problem["code"]) == (status, code)
    assert json.loads(ana.say("GET", "/v1/chats").body)["items"][0]["last_seq"] == 1


def test_a_body_is_refused_by_its_length_before_it_is_read(ana: Person) -> None:
    answer = ana.say("POST", "/v1/messages", JSON + b"Content-Length: 99999999999\r\n")
    assert answer.status in {400, 413}


@pytest.mark.parametrize("method", ["TRACE", "PUT", "PROPFIND", "QUERY", "CONNECT"])
def test_an_unknown_method_is_told_which_ones_there_are(ana: Person, method: str) -> None:
    answer = ana.say(method, "/v1/me")
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}


def test_options_name_every_method_of_the_path(ana: Person) -> None:
    answer = ana.say("OPTIONS", "/v1/sessions")
    assert answer.status == 204
    assert set(answer.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize("header", [b"X: \xff\xfe\r\n", b"Cookie: \xff=\xff; a\r\n", b"Accept: \xff\r\n"])
def test_a_header_need_not_be_text(ana: Person, header: bytes) -> None:
    assert ana.say("GET", "/v1/me", header).status == 200


@pytest.mark.parametrize(
    "credentials", [b"", b"Bearer", b"Bearer \xff\xfe", b"Basic \xff", b"Bearer " + b"a" * 20_000]
)
def test_odd_credentials_are_no_credentials(ana: Person, credentials: bytes) -> None:
    head = (
        b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: %s\r\n\r\n"
        % credentials
    )
    answer = send(ana.server, head)
    assert (answer.status, answer.problem["code"]) == (401, "not_signed_in")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("request_", NOT_HTTP, ids=lambda request: repr(request[:70]))
def test_what_is_not_http_is_refused_and_the_server_lives_on(ana: Person, request_: bytes) -> None:
    answer = send(ana.server, request_)
    assert (answer.status, answer.problem["code"]) == (400, "bad_request")
    assert ana.say("GET", "/healthz").status == 200


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_failure(ana: Person) -> None:
    head = (
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: 99\r\n"
        % ana.token
    )
    with raw(ana.server.port) as tcp:
        tcp.send(head, JSON, b"\r\n{")
    assert ana.say("GET", "/healthz").status == 200
