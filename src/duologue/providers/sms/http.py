"""HTTP to a provider: one place that knows when a failed request may have been carried out all the same."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import httpx

from duologue.providers.sms.provider import Unavailable

# httpx writes each URL to the log at INFO, and a gateway's URL may hold its password and the recipient.
logging.getLogger("httpx").setLevel(logging.WARNING)

# Answers of something that stands before the provider: what it passed on may have been carried out.
_UNKNOWN = frozenset({408, 502, 504, 520, 522, 523, 524})


@cache
def _tls() -> ssl.SSLContext:
    # Reading the certificates takes a tenth of a second: once is enough.
    return httpx.create_ssl_context()


def client(timeout: float) -> httpx.AsyncClient:
    """A client for requests under `network_errors` with the same `timeout`; it follows no redirect."""
    phases = httpx.Timeout(timeout, connect=timeout / 2, pool=timeout / 2)
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=5)
    return httpx.AsyncClient(timeout=phases, limits=limits, follow_redirects=False, verify=_tls())


@asynccontextmanager
async def network_errors(name: str, timeout: float) -> AsyncIterator[None]:  # noqa: ASYNC109 - it is one
    """Turn what goes wrong within into `Unavailable`, without httpx's text: that may quote a URL with a secret.

    httpx limits each read, so an answer that trickles in is cut off here.
    """
    try:
        async with asyncio.timeout(1.5 * timeout):
            yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as failure:
        raise Unavailable(f"{name}: no connection ({type(failure).__name__})") from None
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failure:
        told = f"{name}: the connection failed during the request ({type(failure).__name__})"
        raise Unavailable(told, outcome_unknown=True) from None


def unavailable(
    name: str, status: int, *, code: str | None = None, retry_after: str | None = None
) -> Unavailable:
    """The error for a `status` that is no refusal of this SMS. `retry_after` is the header of that name."""
    return Unavailable(
        f"{name} answered {status}",
        code=code,
        retry_after=float(retry_after) if retry_after and retry_after.isdecimal() else None,
        outcome_unknown=status in _UNKNOWN,
    )
