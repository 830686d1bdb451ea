"""The HTTP application: routes, strict decoding, problems. It gets its parts ready-made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import msgspec
from litestar import Litestar, Response, route
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.handlers import HTTPRouteHandler

from duologue.apidocs import asyncapi, pages
from duologue.core.limits import MAX_BODY
from duologue.core.services import Services
from duologue.edge.problems import HEADERS, handle, with_head
from duologue.http import (
    accounts,
    changes,
    chats,
    events,
    exports,
    messages,
    reactions,
    receipts,
    server,
    sessions,
    simulator,
    sms_callbacks,
    traces,
    upgrade,
    verifications,
)
from duologue.http.gate import Gate
from duologue.http.rates import PUBLIC, check_rated
from duologue.http.request import StrictRequest, provide_call
from duologue.web import client, simulator_page

_HANDLERS: Final[list[Any]] = [
    *server.HANDLERS,
    *verifications.HANDLERS,
    *sessions.HANDLERS,
    *accounts.HANDLERS,
    *exports.HANDLERS,
    *chats.HANDLERS,
    *messages.HANDLERS,
    *changes.HANDLERS,
    *reactions.HANDLERS,
    *receipts.HANDLERS,
    *traces.HANDLERS,
    *events.HANDLERS,
    *sms_callbacks.HANDLERS,
    *simulator.HANDLERS,
    *asyncapi.HANDLERS,
    *pages.HANDLERS,
    *simulator_page.HANDLERS,
    *client.HANDLERS,
    *upgrade.HANDLERS,
]

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def make_app(services: Services, lifespan: Sequence[Lifespan] = ()) -> Litestar:
    """The ASGI application over these services. Raises `LookupError` for a route without a rate limit."""
    gate = Gate(services.sessions, services.rates, services.remotes)
    app = Litestar(
        route_handlers=[*_options(_HANDLERS), *_HANDLERS],
        middleware=[gate],
        dependencies={"call": Provide(provide_call, sync_to_thread=False)},
        exception_handlers={
            Exception: handle,
            NotFoundException: gate.no_route,
            MethodNotAllowedException: gate.no_route,
        },
        request_class=StrictRequest,
        request_max_body_size=MAX_BODY,
        cors_config=_cors(services.origins),
        openapi_config=None,
        response_headers=HEADERS,
        lifespan=list(lifespan),
        state=State(msgspec.structs.asdict(services) | {"services": services}),
        logging_config=None,
    )
    check_rated(app.routes)
    return app


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    """CORS rules: pages of other origins may do all that a client can, since no request carries a cookie."""
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
        expose_headers=["Idempotent-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After"],
    )


def _options(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """Return one OPTIONS handler for each path. Litestar's own names the methods of one handler, not of the path."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [_option(path, with_head(", ".join(allowed))) for path, allowed in methods.items()]


def _option(path: str, allowed: str) -> HTTPRouteHandler:
    async def answer() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": allowed})

    return route(path, http_method="OPTIONS", opt=PUBLIC, include_in_schema=False)(answer)
