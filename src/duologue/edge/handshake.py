"""The opening handshake of a WebSocket (RFC 6455 section 4): read, judged, answered."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote

import httptools
import msgspec

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = "13"


@dataclass(frozen=True, slots=True)
class Handshake:
    """A well-formed request to open a WebSocket.

    `path` is percent-decoded, `query` is not. `headers` have lower-case names; the values of a repeated
    one are joined by `, ` (RFC 9110 section 5.3). `peer` is the IP address at the other end of the TCP
    connection (a proxy's, if there is one), empty if there is none. `subprotocol` is the one agreed on,
    or None if the client asked for none.
    """

    path: str
    query: str
    headers: Mapping[str, str]
    peer: str
    subprotocol: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer instead of a WebSocket; `body` is `application/problem+json` (RFC 9457)."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def plain_refusal(status: HTTPStatus, detail: str, *headers: tuple[str, str]) -> Refusal:
    """A refusal that needs no more explanation than its HTTP status and one sentence."""
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return Refusal(status, msgspec.json.encode(body), headers)


def origin_allowed(handshake: Handshake, allowed: Collection[str]) -> bool:
    """Return whether the page that opened this socket may do so (RFC 6455 section 10.2).

    Pages of this server itself may, and those of the `allowed` origins (`https://example.org`, or `*` for
    all). A client that names no origin isn't a browser, so no page can be misusing its user's credentials.
    """
    origin = handshake.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return origin.partition("://")[2].lower() == handshake.headers["host"].lower()


def read_handshake(
    method: str, target: bytes, fields: Iterable[tuple[bytes, bytes]], peer: str, known: Sequence[str]
) -> Handshake | Refusal:
    """The handshake in an HTTP/1.1 request to upgrade to a WebSocket, or why it isn't one.

    `fields` are the headers as received. `known` are the subprotocols that the server speaks: the first of
    the client's that is among them is agreed on; a client that only offers others is refused.
    """
    headers = _fold(fields)
    fault = _fault(method, headers)
    if fault is not None:
        return plain_refusal(HTTPStatus.BAD_REQUEST, fault)
    if headers["sec-websocket-version"] != _VERSION:  # RFC 6455 section 4.4: name the version that would do
        known_version = ("Sec-WebSocket-Version", _VERSION)
        detail = f"Only WebSocket version {_VERSION}."
        return plain_refusal(HTTPStatus.UPGRADE_REQUIRED, detail, ("Upgrade", "websocket"), known_version)
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return plain_refusal(HTTPStatus.BAD_REQUEST, "The request target can't be parsed.")
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",") if name.strip()]
    agreed = next((name for name in offered if name in known), None)
    if offered and agreed is None:
        return plain_refusal(HTTPStatus.BAD_REQUEST, f"Known subprotocols: {', '.join(known)}.")
    path, query = (url.path or b"/").decode("latin-1"), (url.query or b"").decode("latin-1")
    return Handshake(unquote(path), query, headers, peer, agreed)


def accepting(handshake: Handshake) -> bytes:
    """The answer that turns the connection into a WebSocket; no extension is agreed on."""
    digest = hashlib.sha1(handshake.headers["sec-websocket-key"].encode() + _GUID, usedforsecurity=False)
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", base64.b64encode(digest.digest()).decode()),
    ]
    if handshake.subprotocol is not None:
        fields.append(("Sec-WebSocket-Protocol", handshake.subprotocol))
    return _head(HTTPStatus.SWITCHING_PROTOCOLS, fields)


def refusing(refusal: Refusal, more: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The whole HTTP answer for a refusal, `more` headers included; the connection ends with it."""
    own = dict(refusal.headers)
    own["Connection"] = "close, Upgrade" if "Upgrade" in own else "close"
    fields = [
        *((name.decode("latin-1"), value.decode("latin-1")) for name, value in more),
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(refusal.body))),
        *own.items(),
    ]
    return _head(HTTPStatus(refusal.status), fields) + refusal.body


def _fold(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _fault(method: str, headers: Mapping[str, str]) -> str | None:
    demands = (
        (method == "GET", "A WebSocket is opened with GET."),
        ("transfer-encoding" not in headers, "A request for a WebSocket has no body."),
        (headers.get("content-length", "0") == "0", "A request for a WebSocket has no body."),
        ("sec-websocket-version" in headers, "The Sec-WebSocket-Version header is missing."),
        (_is_key(headers.get("sec-websocket-key", "")), "Sec-WebSocket-Key is not 16 bytes in base64."),
    )
    return next((detail for met, detail in demands if not met), None)


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _head(status: HTTPStatus, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
