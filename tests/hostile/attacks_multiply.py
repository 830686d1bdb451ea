"""Attacks by requests that mean work for many users or rows: names, watches, exports, deletions, replays."""

from __future__ import annotations

import contextlib
import socket
import time

from tests.hostile.target import Target
from tests.hostile.wire import asked, flood_with_frames, frame, greeted, request

_WATCHED = 200
_REPLAYS = 12
"""Sockets of one user that replay at the same time: fewer than a user may have."""
_UNREAD = 4
"""As many of them never read."""


def renaming(target: Target, until: float) -> None:
    """New names, of which each is told to all peers, and other choices, which nobody limits to five an hour."""
    count = 0
    with contextlib.suppress(OSError), contextlib.closing(target.connect()) as tcp:
        while time.monotonic() < until:
            count += 1
            name = f"Mallory {time.monotonic_ns()}"
            tcp.sendall(
                request(target, "PATCH", "/v1/me", {"display_name": name})
                + request(target, "PATCH", "/v1/me", {"read_receipts": count % 2 == 0})
                + request(target, "PATCH", "/v1/me", {"presence": ("nobody", "chats")[count % 2]})
            )
            tcp.recv(65_536)


def watching(target: Target, until: float) -> None:
    """`watch` of as many peers as one may name, as fast as the server takes it."""
    watches = frame(op="watch", user_ids=target.peers[:_WATCHED]) * 8
    flood_with_frames(target, watches, until)


def leaving(target: Target, until: float) -> None:
    """Exports of long histories, as often as they are given; then an account with a long log is deleted."""
    for account in (target, *target.accounts()):
        while asked(account, "GET", "/v1/me/export") == 200 and time.monotonic() < until:
            pass
    for account in target.accounts():
        if asked(account, "DELETE", "/v1/me") == 204:
            break
    time.sleep(max(0.0, until - time.monotonic()))


def replaying(target: Target, until: float) -> None:
    """A whole log, on many sockets of one user, again and again; some of them never read."""
    with contextlib.ExitStack() as stack:
        sockets = [_replay(stack, target, 4096 if number < _UNREAD else 0) for number in range(_REPLAYS)]
        for tcp in sockets[_UNREAD:]:
            if tcp:
                _read_to_the_end(tcp, until)


def _replay(stack: contextlib.ExitStack, target: Target, receive_buffer: int) -> socket.socket | None:
    try:
        tcp = greeted(target, receive_buffer=receive_buffer, after=0)
    except OSError:
        return None
    stack.enter_context(contextlib.closing(tcp))
    return tcp


def _read_to_the_end(tcp: socket.socket, until: float) -> None:
    tail = b""
    with contextlib.suppress(OSError):
        while b'"caught_up"' not in tail and time.monotonic() < until:
            chunk = tcp.recv(65_536)
            if not chunk:
                return
            tail = (tail + chunk)[-200:]
