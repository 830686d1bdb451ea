"""Attacks by what is cheap to send: control frames, fragments, requests, streams and pages that nobody reads."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace

from tests.hostile.target import Target
from tests.hostile.wire import UPGRADE, flood_with_frames, frame, greeted, opened, request, unknown_token

_PING = b"\x89\x80\0\0\0\0"
_FRAGMENT = b"\x00\x81\0\0\0\0x"
_BEGIN = b"\x01\x81\0\0\0\0x"
_AT_ONCE = 1_200
"""Frames: a little more than a socket may send at once."""
_STREAMS = 30
_PAGES = 12


def _flood(tcp: socket.socket, data: bytes, until: float) -> None:
    """Send the same again and again, as far as the server takes it."""
    tcp.settimeout(0.1)
    with contextlib.closing(tcp), contextlib.suppress(OSError):
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                tcp.sendall(data)


def pings_before_hello(target: Target, until: float) -> None:
    """Pings on a socket of nobody."""
    _flood(opened(target), _PING * _AT_ONCE, until)


def pings_after_hello(target: Target, until: float) -> None:
    """Pings of somebody who is signed in."""
    _flood(greeted(target), _PING * _AT_ONCE, until)


def fragments_without_end(target: Target, until: float) -> None:
    """One message in fragments of one byte each."""
    tcp = greeted(target)
    tcp.sendall(_BEGIN)
    _flood(tcp, _FRAGMENT * _AT_ONCE, until)


def requests_by_a_user(target: Target, until: float) -> None:
    """Requests as fast as they are answered, on one connection."""
    request = target.head("GET", "/v1/chats")
    with contextlib.suppress(OSError), contextlib.closing(target.connect()) as tcp:
        while time.monotonic() < until:
            tcp.sendall(request)
            tcp.recv(65_536)


def frames_by_a_user(target: Target, until: float) -> None:
    """Valid frames as fast as the server takes them: of no use, out of range, under a `client_id` that was used."""
    chat_id = target.chat_id
    frames = b"".join(
        frame(op="typing", chat_id=chat_id, active=True)
        + frame(op="read", chat_id=chat_id, seq=1_000 + number)
        + frame(op="send", chat_id=chat_id, text=f"text {number}", client_id="used")
        for number in range(66)
    )
    flood_with_frames(target, frames, until)


def unknown_tokens(target: Target, until: float) -> None:
    """Tokens that the server never gave out, each another one: it has to look each of them up."""
    with contextlib.suppress(OSError), contextlib.closing(target.connect()) as tcp:
        while time.monotonic() < until:
            tcp.sendall(
                b"".join(replace(target, token=unknown_token()).head("GET", "/v1/me") for _ in range(8))
            )
            tcp.recv(65_536)


def reconnecting(target: Target, until: float) -> None:
    """A socket is opened and closed, again and again, with a token that nobody has."""
    while time.monotonic() < until:
        with (
            contextlib.suppress(OSError),
            contextlib.closing(greeted(target, token=unknown_token())),
        ):
            pass


def connect_until_refused(target: Target) -> None:
    """Open sockets until one is not answered."""
    with contextlib.suppress(OSError):
        while True:
            opened(target).close()


def connecting(target: Target, until: float) -> None:
    """Connections that ask for a socket, and are closed before the answer comes."""
    asks = request(target, "GET", "/v1/socket", None, *UPGRADE)
    while time.monotonic() < until:
        with contextlib.suppress(OSError), contextlib.closing(target.connect()) as tcp:
            tcp.sendall(asks)


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
            body = {"text": "x" * 4096, "client_id": f"long-{number}"}
            tcp.sendall(request(target, "POST", path, body))
            tcp.recv(16_384)
