"""Checks that a callback comes from someone who knows the shared secret. Each raises `BadSignature`."""

from __future__ import annotations

import hashlib
import hmac
import warnings
from typing import Final

import jwt
from jwt.types import Options
from jwt.warnings import InsecureKeyLengthWarning

from duologue.clock import SECOND, now_ms
from duologue.providers.sms.provider import BadSignature, Callback

_CLAIMS: Final[Options] = {
    "require": ["exp"],
    "verify_aud": False,
    "verify_iat": False,
    "verify_jti": False,
    "verify_sub": False,
}
"""Only the time of a token is judged: what else is in it is different for each gateway."""

# How long the secret is, the gateway decides.
warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)


def check_token(request: Callback, secret: str) -> None:
    """Check that the query field `token` is the secret. Raises `BadSignature`."""
    if not hmac.compare_digest(request.query.get("token", "").encode(), secret.encode()):
        raise BadSignature("the token is wrong or missing")


def check_hmac(
    request: Callback, secret: str, *, header: str, timestamp_header: str | None, tolerance: float
) -> None:
    """Check that `header` is the hexadecimal HMAC-SHA256 of body and time stamp, which is at most `tolerance` s off.

    Raises `BadSignature`.
    """
    stamp = request.headers.get(timestamp_header, "") if timestamp_header else ""
    expected = hmac.new(secret.encode(), request.body + stamp.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(request.headers.get(header, "").lower().encode(), expected.encode()):
        raise BadSignature("the signature is wrong or missing")
    if timestamp_header and not _near(stamp, tolerance):
        raise BadSignature("the time stamp is too far off")


def check_jwt(request: Callback, secret: str, *, header: str, tolerance: float) -> None:
    """Check that `header` is a bearer JWT (RFC 7519), signed with HS256 and valid now, give or take `tolerance` s.

    Raises `BadSignature`.
    """
    token = request.headers.get(header, "").removeprefix("Bearer ")
    try:
        jwt.decode(token, secret, algorithms=["HS256"], leeway=tolerance, options=_CLAIMS)
    except jwt.InvalidTokenError as fault:
        raise BadSignature(f"the token is refused: {fault}") from None


def _near(stamp: str, tolerance: float) -> bool:
    return stamp.isdecimal() and abs(now_ms() / SECOND - int(stamp)) <= tolerance
