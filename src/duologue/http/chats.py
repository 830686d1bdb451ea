"""Chats: opening, listing, and one's own view of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import get, patch, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from duologue.core.chats import MAX_ACTIVITY
from duologue.core.limits import MAX_CHATS_PAGE
from duologue.http.cursors import decode_cursor, encode_cursor
from duologue.http.rates import READ, WRITE
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.model import decode_id
from duologue.protocol import bodies, render

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


@put(
    "/v1/chats",
    tags=["Chats"],
    opt=WRITE,
    responses=errors("invalid_phone", "self_chat", "rate_limited", body=True),
)
async def open_chat(
    data: JSONBody[bodies.OpenChat],
    call: NamedDependency[Call],
) -> bodies.Chat:
    """Open the chat with a phone number. It is made if need be. A number nobody has signed in with yet is fine."""
    return render.chat(await call.chats.open(call.caller, data.phone))


@get("/v1/chats", tags=["Chats"], opt=READ, responses=errors("invalid", "invalid_cursor"))
async def list_chats(
    call: NamedDependency[Call],
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_CHATS_PAGE, description="How many at most.")] = 20,
    cursor: Annotated[str | None, QueryParameter(description="`next` of the page before.")] = None,
    folder: bodies.Folder = "chats",
) -> bodies.Page[bodies.Chat]:
    """List one's chats. Newest activity first."""
    listing, user_id = f"chats/{folder}", call.caller.user_id
    below = decode_cursor(listing, user_id, cursor) if cursor is not None else MAX_ACTIVITY
    page, position = await call.chats.page(call.caller, below, limit, folder)
    following = encode_cursor(listing, user_id, position) if position is not None else None
    return bodies.Page([render.chat(chat) for chat in page], following)


@get("/v1/chats/{chat_id:str}", tags=["Chats"], opt=READ, responses=errors("not_found"))
async def get_chat(
    chat_id: bodies.ChatId,
    call: NamedDependency[Call],
) -> bodies.Chat:
    """Get a chat."""
    return render.chat(await call.chats.get(call.caller, decode_id("cht", chat_id)))


@patch("/v1/chats/{chat_id:str}", tags=["Chats"], opt=WRITE, responses=errors("not_found", body=True))
async def update_chat(
    chat_id: bodies.ChatId,
    data: JSONBody[bodies.UpdateChat],
    call: NamedDependency[Call],
) -> bodies.Chat:
    """Mute, archive or pin a chat. For oneself alone."""
    changes: dict[str, int | bool | None] = {}
    if data.muted_until is not msgspec.UNSET:
        changes["muted_until"] = _moment(data.muted_until)
    if data.archived is not msgspec.UNSET:
        changes["archived"] = data.archived
    if data.pinned is not msgspec.UNSET:
        changes["pinned"] = data.pinned
    return render.chat(await call.chats.update(call.caller, decode_id("cht", chat_id), changes))


@put(
    "/v1/chats/{chat_id:str}/accept",
    opt=WRITE,
    tags=["Chats"],
    status_code=204,
    responses=errors("not_found"),
)
async def accept_chat(
    chat_id: bodies.ChatId,
    call: NamedDependency[Call],
) -> None:
    """Accept a stranger's chat. It is no request any more, and the peer learns who one is. Safe to repeat."""
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    await call.strangers.accept(call.caller.user_id, pair)


def _moment(moment: datetime | None) -> int | None:
    """In milliseconds since the Unix epoch, as far as these and RFC 3339's four digits for a year go."""
    if moment is None:
        return None
    return min(max((moment - _EPOCH) // timedelta(milliseconds=1), 1), _LAST)


HANDLERS: list[Any] = [open_chat, list_chats, get_chat, update_chat, accept_chat]
