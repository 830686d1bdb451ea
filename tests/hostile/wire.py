"""Bytes that attacks send and read: sockets, frames, and HTTP answers of any length."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from typing import Any

from tests.hostile.target import Target

UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def frame(**fields: Any) -> bytes:
    """A frame as a client sends it, masked with zeros."""
    said = json.dumps(fields).encode()
    if len(said) < 126:
        return bytes((0x81, 0x80 | len(said), 0, 0, 0, 0)) + said
    return b"\x81\xfe" + len(said).to_bytes(2, "big") + bytes(4) + said


def opened(target: Target, *, receive_buffer: int = 0) -> socket.socket:
    """A socket on which nothing has been said. Raises `OSError` where the server doesn't answer."""
    tcp = target.connect(receive_buffer=receive_buffer)
    tcp.sendall(target.head("GET", "/v1/socket", *UPGRADE))
    if not tcp.recv(4096):
        tcp.close()
        raise ConnectionResetError
    return tcp


def greeted(target: Target, *, receive_buffer: int = 0, **fields: Any) -> socket.socket:
    """A socket on which `hello` has been answered. Raises `OSError` where the server doesn't answer."""
    tcp = opened(target, receive_buffer=receive_buffer)
    tcp.sendall(frame(op="hello", **fields))
    tcp.recv(4096)
    return tcp


def flood_with_frames(target: Target, frames: bytes, until: float) -> None:
    """Send the same frames again and again, as fast as the server takes them, and read what it answers."""
    with contextlib.suppress(OSError), contextlib.closing(greeted(target)) as tcp:
        tcp.settimeout(0.1)
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                tcp.sendall(frames)
            with contextlib.suppress(TimeoutError):
                tcp.recv(65_536)


def request(target: Target, method: str, path: str, body: Any = None, *lines: str) -> bytes:
    """A whole request."""
    if body is None:
        return target.head(method, path, *lines)
    content = json.dumps(body).encode()
    head = ("Content-Type: application/json", f"Content-Length: {len(content)}", *lines)
    return target.head(method, path, *head) + content


def asked(target: Target, method: str, path: str, body: Any = None) -> int:
    """Ask on a connection of its own and read the whole answer; its status, 0 if there is none."""
    begun = b""
    with contextlib.suppress(OSError), contextlib.closing(target.connect()) as tcp:
        tcp.sendall(request(target, method, path, body, "Connection: close"))
        while chunk := tcp.recv(65_536):
            begun = begun or chunk
    return int(begun[9:12] or b"0")


def unknown_token() -> str:
    """A token of the right form that the server never gave out."""
    return f"dlg_{os.urandom(22).hex()[:43]}"
