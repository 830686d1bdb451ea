"""Answer to a plain request on the socket's path."""

from __future__ import annotations

from typing import Any

from litestar import Response, get

from duologue.edge.problems import respond
from duologue.errors import ApiError
from duologue.http.rates import PUBLIC


@get("/v1/socket", opt=PUBLIC, include_in_schema=False)
async def socket_without_upgrade() -> Response[bytes]:
    """Name the protocol to upgrade to."""
    return respond(ApiError("upgrade_required"))


HANDLERS: list[Any] = [socket_without_upgrade]
