"""Where SMS providers call back."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from litestar import MediaType, Request, get, post
from litestar.datastructures import State
from msgspec import Meta

from duologue.core.sms_callbacks import SmsCallbacks
from duologue.errors import ApiError
from duologue.sms.provider import Callback
from duologue.web.docs import errors
from duologue.web.rates import PUBLIC

_Provider = Annotated[
    str, Meta(description="The provider's name: the scheme of its URL.", examples=["twilio"])
]
_Kind = Annotated[str, Meta(description="`status` or `inbound`.", examples=["status"])]


_PATH: Final = "/v1/sms/{provider:str}/{kind:str}"
_ERRORS: Final = ("not_found", "bad_signature", "invalid")


@post(
    _PATH,
    tags=["SMS providers"],
    opt=PUBLIC,
    status_code=204,
    responses=errors(*_ERRORS, "too_large", signed_in=False),
)
async def sms_callback(
    provider: _Provider, kind: _Kind, request: Request[Any, Any, Any], state: State
) -> None:
    """Take a provider's callback: a receipt (`status`) or a text from a handset (`inbound`).

    Authenticated by the provider's own signature scheme; repeats and reordering are harmless.
    """
    await _take(provider, kind, request, state)


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

    It wants to hear 200; the empty answer is what it would send back to the handset.
    """
    await _take(provider, kind, request, state)
    return ""


async def _take(provider: str, kind: str, request: Request[Any, Any, Any], state: State) -> None:
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
    await callbacks.accept(provider, known, callback)


HANDLERS: list[Any] = [sms_callback, sms_callback_by_get]
