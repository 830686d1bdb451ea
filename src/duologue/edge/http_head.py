"""The head of a request (RFC 9112 sections 2 to 3): its bounds, its `Host`, its wish to upgrade."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

import httptools

from duologue.core.limits import MAX_HEAD, MAX_HEADER_LINES, MAX_TARGET
from duologue.edge.hosts import Hosts
from duologue.errors import ApiError

Fields = Sequence[tuple[bytes, bytes]]
"""Header lines as received, with names in lower case."""


def too_large(what: str, most: int, unit: str = "bytes") -> ApiError:
    """The error for a head of which a part is over its bound."""
    return ApiError("head_too_large", f"{what} has more than {most} {unit}.")


def fault_of_size(target: bytes, fields: Fields) -> ApiError | None:
    """Return the fault in the size of a head that may not be complete yet; None if there is none."""
    if len(fields) > MAX_HEADER_LINES:
        return too_large("The head", MAX_HEADER_LINES, "header lines")
    if len(target) > MAX_TARGET:
        return too_large("The request target", MAX_TARGET)
    return None


def is_over(target: bytes, fields: Fields) -> bool:
    """Return whether a complete, parsed head is too large."""
    return len(target) + sum(len(name) + len(value) + len(": \r\n") for name, value in fields) > MAX_HEAD


def fault_of_host(hosts: Hosts, target: bytes, fields: Fields, version: str) -> ApiError | None:
    """Return the fault in a head's `Host` values; None if there is none."""
    named = [value for name, value in fields if name == b"host"]
    fault = hosts.fault(named, required=version != "1.0")
    if fault is None and not target.startswith((b"/", b"*")):
        fault = hosts.fault([_authority(target)], required=True)
    return ApiError("bad_host", fault) if fault else None


def _authority(target: bytes) -> bytes:
    """The host and port in `http://host:port/path`, or in the `host:port` of CONNECT."""
    rest = target.partition(b"://")[2] or target
    return rest.partition(b"/")[0].partition(b"?")[0]


def wants_websocket(fields: Fields) -> bool:
    """Return whether `websocket` is among the protocols of `Upgrade` (RFC 9110 section 7.8)."""
    offered = b",".join(value for name, value in fields if name == b"upgrade")
    return any(protocol.strip().lower() == b"websocket" for protocol in offered.split(b","))


def without_upgrade(
    method: bytes, target: bytes, version: str, fields: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """The head again, without its `Upgrade`."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    lines += [b"%s: %s" % field for field in fields if field[0] != b"upgrade"]
    return b"\r\n".join((*lines, b"", b""))


def describe(scope: Any, method: bytes, target: bytes, version: str) -> None:
    """Write into an ASGI scope what is asked for.

    Raises `HttpParserInvalidURLError` or `UnicodeDecodeError` for a target that is none.
    """
    url = httptools.parse_url(target)
    raw_path = url.path or b"/"
    path = raw_path.decode("ascii")
    scope["method"] = method.decode("ascii")
    scope["http_version"] = version
    scope["path"] = unquote(path) if "%" in path else path
    scope["raw_path"] = raw_path
    scope["query_string"] = url.query or b""
