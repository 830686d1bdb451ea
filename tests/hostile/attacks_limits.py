"""Attacks by what is cheap to send: control frames, fragments, requests, streams and pages that nobody reads."""

from __future__ import annotations

import contextlib
import json
import socket
import time

from tests.hostile.target import Target

_PING = b"\x89\x80\0\0\0\0"
_FRAGMENT = b"\x00\x81\0\0\0\0x"
_BEGIN = b"\x01\x81\0\0\0\0x"
_AT_ONCE = 1_200
"""Frames: a little more than a socket may send at once."""
_STREAMS = 30
_PAGES = 12
_UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def _opened(target: Target, *, hello: bool) -> socket.socket:
    """A socket on which `hello` has been said, or nothing yet."""
    tcp = target.connect()
    tcp.sendall(target.head("GET", "/v1/socket", *_UPGRADE))
    tcp.recv(4096)
    if hello:
        said = b'{"op":"hello"}'
        tcp.sendall(bytes((0x81, 0x80 | len(said), 0, 0, 0, 0)) + said)
        tcp.recv(4096)
    return tcp


def _flood(tcp: socket.socket, data: bytes, until: float) -> None:
    """Send the same again and again, as far as the server takes it."""
    tcp.settimeout(0.1)
    with contextlib.closing(tcp), contextlib.suppress(OSError):
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                tcp.sendall(data)


def pings_before_hello(target: Target, until: float) -> None:
    """Pings on a socket of nobody."""
    _flood(_opened(target, hello=False), _PING * _AT_ONCE, until)


def pings_after_hello(target: Target, until: float) -> None:
    """Pings of somebody who is signed in."""
    _flood(_opened(target, hello=True), _PING * _AT_ONCE, until)


def fragments_without_end(target: Target, until: float) -> None:
    """One message in fragments of one byte each."""
    tcp = _opened(target, hello=True)
    tcp.sendall(_BEGIN)
    _flood(tcp, _FRAGMENT * _AT_ONCE, until)


def requests_by_a_user(target: Target, until: float) -> None:
    """Requests as fast as they are answered, on one connection."""
    request = target.head("GET", "/v1/chats")
    with contextlib.suppress(OSError), contextlib.closing(target.connect()) as tcp:
        while time.monotonic() < until:
            tcp.sendall(request)
            tcp.recv(65_536)


def streams(target: Target, until: float) -> None:
    """More event streams than a user may have, held open."""
    with contextlib.ExitStack() as stack:
        for _ in range(_STREAMS):
            with contextlib.suppress(OSError):
                tcp = stack.enter_context(contextlib.closing(target.connect()))
                tcp.sendall(target.head("GET", "/v1/events/stream?after=0"))
        time.sleep(max(0.0, until - time.monotonic()))


def unread_pages(target: Target, until: float) -> None:
    """Pages of long messages, none of which is read."""
    path = f"/v1/chats/{target.chat_id}/messages"
    _fill(target, path)
    with contextlib.ExitStack() as stack:
        for _ in range(_PAGES):
            with contextlib.suppress(OSError):
                tcp = stack.enter_context(contextlib.closing(target.connect(receive_buffer=4096)))
                tcp.sendall(target.head("GET", f"{path}?limit=200") * 3)
        time.sleep(max(0.0, until - time.monotonic()))


def _fill(target: Target, path: str) -> None:
    """Send messages of the greatest length; again under the same names, which stores nothing twice."""
    with contextlib.suppress(OSError), contextlib.closing(target.connect()) as tcp:
        for number in range(60):
            body = json.dumps({"text": "x" * 4096, "client_id": f"long-{number}"}).encode()
            length = f"Content-Length: {len(body)}"
            tcp.sendall(target.head("POST", path, "Content-Type: application/json", length) + body)
            tcp.recv(16_384)
