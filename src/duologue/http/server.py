"""Routes that describe the server and its health."""

from __future__ import annotations

from typing import Any

from litestar import Response, get
from litestar.datastructures import State
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from duologue.http.rates import PROBE, PUBLIC
from duologue.http.route_docs import errors
from duologue.protocol.server import Health, ServerInfo


@get("/v1/server", tags=["Server"], opt=PUBLIC, responses=errors(signed_in=False))
async def server_info(state: State) -> ServerInfo:
    """Get what the server is and allows. How one signs in, and every limit that a client needs."""
    info: ServerInfo = state.info
    return info


@get("/healthz", tags=["Server"], opt=PROBE, responses=errors(signed_in=False))
async def healthz() -> Health:
    """Tell whether the process is up."""
    return Health("ok")


@get("/readyz", tags=["Server"], opt=PROBE, responses=errors(signed_in=False))
async def readyz(state: State) -> Health:
    """Tell whether the node can serve. Its store answers, or else the answer is `overloaded`.

    `degraded` with a `detail` says that it serves although something is amiss.
    """
    amiss = await state.check_ready()
    return Health("degraded", amiss) if amiss else Health("ok")


@get("/metrics", opt=PROBE, include_in_schema=False)
async def metrics() -> Response[bytes]:
    """For Prometheus, in its text format."""
    # Litestar adds the charset of a text itself.
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8"))


HANDLERS: list[Any] = [server_info, healthz, readyz, metrics]
