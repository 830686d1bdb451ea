"""The gate before every route: who calls, how often, and how much at once. All this before the body is looked at."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from duologue.core.addresses import Remote, Remotes
from duologue.core.limits import (
    IN_FLIGHT_PER_ADDRESS,
    IN_FLIGHT_PER_USER,
    LASTING_PER_ADDRESS,
    LASTING_PER_USER,
)
from duologue.core.rates import REQUESTS, BucketState, InFlight, Rates
from duologue.core.sessions import Caller, Sessions
from duologue.edge.problems import handle, rate_limit, respond
from duologue.errors import ApiError
from duologue.http.rates import RouteRate
from duologue.http.request import refuse_slips

_BEARER: Final = "bearer "
_HOLD: Final = 0.25
"""Seconds until a request over its address's limit is answered: a flood waits, and doesn't spin."""


class Gate:
    """A middleware: refuses who isn't signed in unless the route is public, and what is over a limit."""

    def __init__(self, sessions: Sessions, rates: Rates, remotes: Remotes) -> None:
        self._sessions = sessions
        self._rates = rates
        self._remotes = remotes
        self._in_flight = InFlight()

    def __call__(self, app: ASGIApp) -> ASGIApp:
        async def passing(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP:
                await self._pass(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return passing

    async def _pass(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `ApiError` `rate_limited`, `not_signed_in`, and what `refuse_slips` does."""
        route = scope["route_handler"]
        rate: RouteRate = route.opt["rate"]
        remote = scope["state"]["remote"] = self._remote(scope)
        if rate.probe and remote.local:
            await app(scope, receive, send)
            return
        in_flight = self._in_flight
        in_flight.enter(remote.block, LASTING_PER_ADDRESS if rate.lasts else IN_FLIGHT_PER_ADDRESS)
        try:
            bucket = await self._count(rate, remote)
            if route.opt["public"]:
                refuse_slips(scope, route)
                await app(scope, receive, _telling(send, bucket))
                return
            caller = scope["state"]["caller"] = await self._authenticate(scope)
            in_flight.enter(caller.user_id, LASTING_PER_USER if rate.lasts else IN_FLIGHT_PER_USER)
            try:
                if rate.per_user:
                    bucket = self._rates.take(rate.per_user, caller.user_id)
                refuse_slips(scope, route)
                await app(scope, receive, _telling(send, bucket))
            finally:
                in_flight.leave(caller.user_id)
        finally:
            in_flight.leave(remote.block)

    def _remote(self, scope: Scope) -> Remote:
        client = scope["client"]
        forwarded = (
            value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
        )
        return self._remotes.find(client[0] if client else "", forwarded)

    async def _count(self, rate: RouteRate, remote: Remote) -> BucketState | None:
        """Count a request for its address. Raises `ApiError` `rate_limited`, after a while."""
        try:
            bucket = self._rates.take(REQUESTS, remote.block)
            return self._rates.take(rate.per_address, remote.block) if rate.per_address else bucket
        except ApiError:
            await asyncio.sleep(_HOLD)
            raise

    async def _authenticate(self, scope: Scope) -> Caller:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        header = given.decode("latin-1")
        if header[: len(_BEARER)].lower() != _BEARER:
            raise ApiError("not_signed_in")
        return await self._sessions.authenticate(header[len(_BEARER) :].strip())

    def no_route(self, request: Request[Any, Any, Any], fault: Exception) -> Response[bytes]:
        """The answer to a request that met no route, so that the gate didn't see it; it counts for its address."""
        if "remote" not in request.scope["state"]:
            try:
                self._rates.take(REQUESTS, self._remote(request.scope).block)
            except ApiError as error:
                return respond(error)
        return handle(request, fault)


def _telling(send: Send, bucket: BucketState | None) -> Send:
    """Add to an answer how the limit stands, unless the route tells of a tighter one."""
    if bucket is None:
        return send
    headers = rate_limit(bucket.policy, bucket.remaining, bucket.reset)
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            sent = cast(list[tuple[bytes, bytes]], message["headers"])
            if not any(name == b"ratelimit" for name, _ in sent):
                sent += fields
        await send(message)

    return telling
