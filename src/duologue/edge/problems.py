"""Every failure leaves here as RFC 9457 `application/problem+json`, and nowhere else."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    InternalServerException,
    MethodNotAllowedException,
    ValidationException,
)

from duologue.edge.handshake import Refusal
from duologue.errors import ApiError, RatePolicy

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""On every answer, unless its route says otherwise: nothing is kept by a cache, nothing is guessed by a browser."""
DOCUMENTATION: Final = "/docs/errors#"
_GONE: Final = "client disconnected prematurely"  # litestar has no exception of its own for it
_BY_STATUS: Final = {
    404: ("not_found", "There is nothing at this path."),
    405: ("method_not_allowed",),
    413: ("too_large",),
    415: ("not_json",),
}


def problem(error: ApiError) -> dict[str, Any]:
    """The problem document of an error."""
    document: dict[str, Any] = {
        "type": f"{DOCUMENTATION}{error.code}",
        "title": error.spec.title,
        "status": int(error.spec.status),
        "detail": error.detail,
        "code": error.code,
    }
    if error.errors:
        document["errors"] = error.errors
    return document | error.extra


def rate_limit(policy: RatePolicy, remaining: int, reset: float) -> dict[str, str]:
    """Return the `RateLimit` value of a limit: what remains, and in how many seconds there is more.

    As in draft-ietf-httpapi-ratelimit-headers.
    """
    return {
        "RateLimit-Policy": f'"{policy.name}";q={policy.quota};w={policy.window}',
        "RateLimit": f'"{policy.name}";r={remaining};t={max(1, math.ceil(reset))}',
    }


def limit_headers(error: ApiError) -> dict[str, str]:
    """The headers of an error that passes with time: when to try again, and which limit was met."""
    if error.retry_after is None:
        return {}
    headers = {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    return headers | rate_limit(error.policy, 0, error.retry_after) if error.policy else headers


def respond(error: ApiError) -> Response[bytes]:
    """The HTTP answer to an error."""
    return Response(
        msgspec.json.encode(problem(error)),
        status_code=error.spec.status,
        media_type=MEDIA_TYPE,
        headers=_headers(error),
    )


def refusal(error: ApiError) -> Refusal:
    """The answer to a request that never reaches a route."""
    return Refusal(error.spec.status, msgspec.json.encode(problem(error)), tuple(_headers(error).items()))


def _headers(error: ApiError) -> dict[str, str]:
    headers = HEADERS | limit_headers(error)
    if error.spec.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.spec.status == HTTPStatus.UPGRADE_REQUIRED:
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
    return headers


def handle(request: Request[Any, Any, Any], fault: Exception) -> Response[bytes]:
    """Any exception that ends a request. What isn't known becomes `internal`, and its text stays in the log."""
    error = _known(fault)
    if error is None:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=fault)
        error = ApiError("internal")
    answer = respond(error)
    if isinstance(fault, MethodNotAllowedException):
        answer.headers["Allow"] = with_head((fault.headers or {}).get("allow", ""))
    return answer


def with_head(allowed: str) -> str:
    """The methods of a path as they are told: HEAD is answered wherever GET is."""
    methods = {method.strip() for method in allowed.split(",") if method.strip()}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _known(fault: Exception) -> ApiError | None:
    if isinstance(fault, ApiError):
        return fault
    if isinstance(fault, ValidationException):
        return _validation(fault)
    if isinstance(fault, HTTPException) and fault.status_code in _BY_STATUS:
        return ApiError(*_BY_STATUS[fault.status_code])
    if isinstance(fault, InternalServerException) and fault.detail == _GONE:
        return ApiError("bad_json", "The client has gone in the middle of its body.")
    return None


def _validation(fault: ValidationException) -> ApiError:
    """Query and header parameters that litestar refused."""
    reasons = {}
    for item in fault.extra if isinstance(fault.extra, list) else []:
        key = str(item.get("key", "request"))
        # Litestar names the argument. Header names have no case.
        name = key.replace("_", "-") if item.get("source") == "header" else key
        reasons[name] = str(item["message"])
    if "data" in reasons:
        return ApiError("bad_json", "The body is empty; it must be a JSON object.")
    return ApiError("invalid", errors=reasons or {"request": fault.detail})


def invalid_body(fault: msgspec.ValidationError) -> ApiError:
    """Turn msgspec's refusal of a body into an error: `Expected `str`, got `int` - at `$.text``."""
    reason, _, path = str(fault).partition(" - at `$")
    if path:
        return ApiError("invalid", errors={path.rstrip("`").lstrip(".") or "body": reason})
    quoted = reason.split("`")
    about_field = "field" in reason and len(quoted) > 1
    return ApiError("invalid", errors={quoted[1] if about_field else "body": reason})
