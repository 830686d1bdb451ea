"""What every handler gets: strictly decoded bodies, and who is calling."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from duologue.core.addresses import client_address
from duologue.core.sessions import Caller, Sessions
from duologue.errors import ApiError
from duologue.web.problems import invalid_body

PUBLIC: Final = {"public": True}
"""The `opt` of a route that needs no session."""
_BEARER: Final = "bearer "


@lru_cache(maxsize=64)
def _decoder(annotation: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(annotation)


class StrictRequest(Request[Any, Any, Any]):
    """Decodes a JSON body straight into the handler's type, without coercing `"5"` into 5 as litestar would."""

    async def json(self) -> Any:
        """Raises `ApiError` `not_json`, `bad_json`, `invalid`."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise ApiError("not_json")
        field = self.route_handler.parsed_data_field
        try:
            return _decoder(field.annotation if field else Any).decode(await self.body())
        except msgspec.ValidationError as fault:
            raise invalid_body(fault) from fault
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise ApiError("bad_json", f"The body can't be parsed as JSON: {fault}.") from fault


async def require_session(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
    """The guard of every route but the public ones; it runs before the body is looked at.

    Raises `ApiError` `not_signed_in`.
    """
    if route.opt.get("public") or connection.scope["method"] == "OPTIONS":  # type: ignore[typeddict-item]
        return
    header = connection.headers.get("authorization", "")
    if header[: len(_BEARER)].lower() != _BEARER:
        raise ApiError("not_signed_in")
    sessions: Sessions = connection.app.state.sessions
    connection.scope["state"]["caller"] = await sessions.authenticate(header[len(_BEARER) :].strip())


def provide_address(request: Request[Any, Any, Any]) -> str:
    """The address that a request comes from, behind whatever proxies are trusted."""
    peer = request.client.host if request.client else ""
    forwarded = ", ".join(request.headers.getall("x-forwarded-for", []))
    return client_address(peer, forwarded, request.app.state.trusted_proxies)


async def refuse_slips(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
    """The guard against two slips of clients that litestar would forgive, to their harm.

    An empty id leaves `/v1/sessions/`, and `DELETE` of that isn't meant to end all others: `ApiError` `not_found`.
    `?before=null` isn't meant to be the newest page: `invalid`.
    """
    path = connection.scope["raw_path"].lower()
    if len(path) > 1 and (path.endswith(b"/") or b"//" in path or b"%2f" in path):
        raise ApiError("not_found", "There is nothing at this path.")
    if b"null" not in connection.scope["query_string"].lower():
        return
    parameters = route.parsed_fn_signature.parameters
    refused = [
        name
        for name, value in connection.query_params.multi_items()
        if value.lower() == "null" and name in parameters and str not in parameters[name].args
    ]
    if refused:
        raise ApiError("invalid", errors=dict.fromkeys(refused, "Expected `int`, got `null`"))


def provide_caller(request: Request[Any, Any, Any]) -> Caller:
    """The session that `require_session` found."""
    caller: Caller = request.scope["state"]["caller"]
    return caller
