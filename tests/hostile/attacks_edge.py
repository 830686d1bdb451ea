"""Attacks on what comes before any rule: connections, the heads of requests, answers that nobody reads."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from tests.hostile.target import Target

CONNECTIONS = 120
"""At once, from the attacker's network."""
HOLD_PACE, FLOOD_PACE = 0.005, 0.02
"""Seconds between two connections, so that the attack is one on bounds and not on the CPU."""
LINE = b"X-Padding: " + b"x" * 1000 + b"\r\n"


def endless_head(target: Target, _until: float) -> None:
    """Header lines without an end, from somebody who isn't signed in: 64 KiB, twice what a head may have."""
    with target.connect() as tcp, contextlib.suppress(OSError):
        tcp.sendall(b"GET /v1/server HTTP/1.1\r\nHost: localhost\r\n" + LINE * 64)
    time.sleep(FLOOD_PACE)


def endless_handshake(target: Target, _until: float) -> None:
    """The same for a request that wants to become a WebSocket."""
    with target.connect() as tcp, contextlib.suppress(OSError):
        tcp.sendall(
            target.head("GET", "/v1/socket", "Upgrade: websocket", "Connection: Upgrade")[:-2] + LINE * 64
        )
    time.sleep(FLOOD_PACE)


def endless_framing(target: Target, _until: float) -> None:
    """A body of one byte in a chunk whose extension has no end: 64 KiB, twice what may frame a body."""
    head = target.head("POST", "/v1/messages", "Content-Type: application/json", "Transfer-Encoding: chunked")
    with target.connect() as tcp, contextlib.suppress(OSError):
        tcp.sendall(head + b"1;" + b"x" * 64_000)
    time.sleep(FLOOD_PACE)


def unfinished(target: Target, until: float) -> None:
    """Connections that stay: silent ones, half a head, half a body, sockets that never say hello."""
    body = target.head("POST", "/v1/messages", "Content-Type: application/json", "Content-Length: 100")
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    hello = target.head("GET", "/v1/socket", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    _hold(target, until, lambda number: (b"", b"GET / HTTP/1.1\r\nX: y", body, hello)[number % 4])


def unread(target: Target, until: float) -> None:
    """Large answers, several on each connection, of which nothing is read."""
    asked = target.head("GET", "/openapi.json") * 8
    _hold(target, until, lambda _number: asked, receive_buffer=4096)


def _hold(target: Target, until: float, words: Callable[[int], bytes], *, receive_buffer: int = 0) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(CONNECTIONS):
            if time.monotonic() >= until:
                return
            tcp: socket.socket = stack.enter_context(target.connect(receive_buffer=receive_buffer))
            with contextlib.suppress(OSError):
                tcp.sendall(words(number))
            time.sleep(HOLD_PACE)
        time.sleep(max(0.0, until - time.monotonic()))
