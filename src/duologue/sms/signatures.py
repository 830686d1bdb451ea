"""Checks that a callback comes from someone who knows the shared secret. Each raises `BadSignature`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any

from duologue.clock import SECOND, now_ms
from duologue.sms.provider import BadSignature, Callback


def check_token(request: Callback, secret: str) -> None:
    """The query field `token` is the secret."""
    if not hmac.compare_digest(request.query.get("token", "").encode(), secret.encode()):
        raise BadSignature("the token is wrong or missing")


def check_hmac(
    request: Callback, secret: str, *, header: str, timestamp_header: str | None, tolerance: float
) -> None:
    """`header` is the hexadecimal HMAC-SHA256 of body and time stamp; that is at most `tolerance` s off."""
    stamp = request.headers.get(timestamp_header, "") if timestamp_header else ""
    expected = hmac.new(secret.encode(), request.body + stamp.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(request.headers.get(header, "").lower().encode(), expected.encode()):
        raise BadSignature("the signature is wrong or missing")
    if timestamp_header and not _near(stamp, tolerance):
        raise BadSignature("the time stamp is too far off")


def check_jwt(request: Callback, secret: str, *, header: str, tolerance: float) -> None:
    """`header` is a bearer JWT (RFC 7519), signed with HS256 and valid now, give or take `tolerance` s."""
    token = request.headers.get(header, "").removeprefix("Bearer ")
    signed, _, signature = token.rpartition(".")
    expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(_unbase64(signature), expected):
        raise BadSignature("the token is wrong or missing")
    head, claims = (_object(piece) for piece in signed.split(".", 1))
    # Any other algorithm would mean that the signature just checked is not the one that the sender meant.
    if head.get("alg") != "HS256":
        raise BadSignature("the token is not signed with HS256")
    now = now_ms() / SECOND
    if not claims.get("nbf", 0) - tolerance <= now <= claims.get("exp", 0) + tolerance:
        raise BadSignature("the token has expired or is not yet valid")


def _near(stamp: str, tolerance: float) -> bool:
    return stamp.isdecimal() and abs(now_ms() / SECOND - int(stamp)) <= tolerance


def _object(piece: str) -> dict[str, Any]:
    value = json.loads(_unbase64(piece))
    if not isinstance(value, dict):
        raise BadSignature("the token is malformed")
    return value


def _unbase64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise BadSignature("the token is malformed") from None
