"""Parameters of every handler: the strictly decoded body, and the caller."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from duologue.core.addresses import Remote
from duologue.core.lookout import TRUSTED_FOR
from duologue.core.services import Services
from duologue.core.sessions import Caller, Sessions
from duologue.edge.problems import invalid_body
from duologue.edge.whole_numbers import decode_whole_floats
from duologue.errors import ApiError


@lru_cache(maxsize=64)
def _decoder(annotation: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(annotation)


def _decode(kind: Any, body: bytes) -> Any:
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as fault:
        return decode_whole_floats(msgspec.json.decode, body, kind, fault)


class StrictRequest(Request[Any, Any, Any]):
    """Decodes a JSON body straight into the handler's type, without coercing `"5"` into 5 as litestar would."""

    async def json(self) -> Any:
        """Raises `ApiError` `not_json`, `bad_json`, `invalid`; `not_signed_in` if the session ended meanwhile."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise ApiError("not_json")
        field = self.route_handler.parsed_data_field
        kind = field.annotation if field else Any
        body = await self.body()
        try:
            return _decode(kind, body)
        except msgspec.ValidationError as fault:
            raise invalid_body(fault) from fault
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise ApiError("bad_json", f"The body can't be parsed as JSON: {fault}.") from fault

    async def body(self) -> bytes:
        """Wait for the body. However slowly it comes, the session must be live when it is complete.

        Litestar asks for it before `json` does. Raises `ApiError` `not_signed_in` if the session ended meanwhile.
        """
        asked_at = time.monotonic()
        body = await super().body()
        caller: Caller | None = self.scope["state"].get("caller")
        if caller and time.monotonic() - asked_at > TRUSTED_FOR:
            sessions: Sessions = self.app.state.sessions
            await sessions.check(caller)
        return body


class Call:
    """One request: who makes it, and the services that answer it.

    The one thing that is injected into handlers: litestar resolves several as tasks of a group, which for most
    requests would cost more than the answer does.
    """

    __slots__ = (
        "_request",
        "accounts",
        "changes",
        "chats",
        "events",
        "exports",
        "messages",
        "reactions",
        "receipts",
        "sessions",
        "strangers",
        "traces",
    )

    def __init__(self, request: Request[Any, Any, Any]) -> None:
        self._request = request
        services: Services = request.app.state.services
        self.accounts = services.accounts
        self.changes = services.changes
        self.chats = services.chats
        self.events = services.events
        self.exports = services.exports
        self.messages = services.messages
        self.reactions = services.reactions
        self.receipts = services.receipts
        self.sessions = services.sessions
        self.strangers = services.strangers
        self.traces = services.traces

    @property
    def caller(self) -> Caller:
        """The session that the gate found."""
        caller: Caller = self._request.scope["state"]["caller"]
        return caller

    @property
    def address(self) -> str:
        """The address that the request comes from, behind whatever proxies are trusted."""
        remote: Remote = self._request.scope["state"]["remote"]
        return remote.address


def provide_call(request: Request[Any, Any, Any]) -> Call:
    """The dependency `call`."""
    return Call(request)


def refuse_slips(scope: Scope, route: BaseRouteHandler) -> None:
    """Refuse two slips of clients that litestar would forgive, to their harm.

    An empty id leaves `/v1/sessions/`, and `DELETE` of that isn't meant to end all others: `ApiError` `not_found`.
    `?before=null` isn't meant to be the newest page: `invalid`.
    """
    path = scope["raw_path"].lower()
    if len(path) > 1 and (path.endswith(b"/") or b"//" in path or b"%2f" in path):
        raise ApiError("not_found", "There is nothing at this path.")
    if b"null" not in scope["query_string"].lower():
        return
    parameters = route.parsed_fn_signature.parameters
    refused = [
        name
        for name, value in ASGIConnection[Any, Any, Any, Any](scope).query_params.multi_items()
        if value.lower() == "null" and name in parameters and str not in parameters[name].args
    ]
    if refused:
        raise ApiError("invalid", errors=dict.fromkeys(refused, "Expected `int`, got `null`"))
