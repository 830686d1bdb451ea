"""Routes for the callbacks of SMS providers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, cast

from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from msgspec import Meta

from duologue.core.sms_callbacks import SmsCallbacks
from duologue.errors import ApiError
from duologue.http.rates import PUBLIC
from duologue.http.route_docs import errors
from duologue.providers.sms.provider import Callback

_Provider = Annotated[
    str, Meta(description="The provider's name: the scheme of its URL.", examples=["twilio"])
]
_Kind = Annotated[str, Meta(description="`status` or `inbound`.", examples=["status"])]


_PATH: Final = "/v1/sms/{provider:str}/{kind:str}"
_ERRORS: Final = ("not_found", "bad_signature", "invalid")
_WORDS: Final = {
    200: ResponseSpec(
        str,
        media_type=MediaType.TEXT,
        description="Taken, in the provider's own words.",
        generate_examples=False,
    )
}


@post(
    _PATH,
    tags=["SMS providers"],
    opt=PUBLIC,
    status_code=204,
    responses=errors(*_ERRORS, "too_large", signed_in=False) | _WORDS,
)
async def sms_callback(
    provider: _Provider, kind: _Kind, request: Request[Any, Any, Any], state: State
) -> Response[None]:
    """Take a provider's callback: a receipt (`status`) or a text from a handset (`inbound`).

    Authenticated by the provider's own signature scheme; repeats and reordering are harmless. The answer is
    empty, but for a provider that wants to hear certain words.
    """
    words = await _take(provider, kind, request, state)
    if not words:
        return Response(None, status_code=204)
    # Litestar lets a handler of 204 declare no other content; 200 is documented above.
    return cast("Response[None]", Response(words, status_code=200, media_type=MediaType.TEXT))


@get(
    _PATH,
    tags=["SMS providers"],
    opt=PUBLIC,
    media_type=MediaType.TEXT,
    responses=errors(*_ERRORS, signed_in=False),
)
async def sms_callback_by_get(
    provider: _Provider, kind: _Kind, request: Request[Any, Any, Any], state: State
) -> str:
    """Take the callback of a provider that can only GET, such as Kannel. The same as POST.

    It wants to hear 200; the answer is what Kannel would send back to the handset, so it is empty as a rule.
    """
    return await _take(provider, kind, request, state)


async def _take(provider: str, kind: str, request: Request[Any, Any, Any], state: State) -> str:
    callbacks: SmsCallbacks | None = state.sms_callbacks
    if callbacks is None or kind not in ("status", "inbound"):
        raise ApiError("not_found", "There is no such SMS provider here.")
    known: Literal["status", "inbound"] = "status" if kind == "status" else "inbound"
    base = state.public_url or str(request.base_url).rstrip("/")
    query = f"?{request.scope['query_string'].decode('latin-1')}" if request.scope["query_string"] else ""
    url = f"{base}{request.scope['path']}{query}"
    callback = Callback(
        url, {name.lower(): value for name, value in request.headers.items()}, await request.body()
    )
    return await callbacks.accept(provider, known, callback)


HANDLERS: list[Any] = [sms_callback, sms_callback_by_get]
