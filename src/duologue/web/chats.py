"""Chats: opening, listing, and one's own view of them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get, patch, put
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from duologue.clock import from_rfc3339
from duologue.core.chats import MAX_ACTIVITY, Chats
from duologue.core.limits import MAX_CHATS_PAGE
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import decode_id
from duologue.protocol import bodies, render
from duologue.web.cursors import decode_cursor, encode_cursor
from duologue.web.docs import errors


@put("/v1/chats", tags=["Chats"], responses=errors("invalid_phone", "self_chat", body=True))
async def open_chat(
    data: bodies.OpenChat, caller: NamedDependency[Caller], chats: NamedDependency[Chats]
) -> bodies.Chat:
    """The chat with a phone number, made if need be. A number nobody has signed in with yet is fine."""
    return render.chat(await chats.open(caller, data.phone))


@get("/v1/chats", tags=["Chats"], responses=errors("invalid", "invalid_cursor"))
async def list_chats(
    caller: NamedDependency[Caller],
    chats: NamedDependency[Chats],
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_CHATS_PAGE, description="How many at most.")] = 20,
    cursor: Annotated[str | None, QueryParameter(description="`next` of the page before.")] = None,
) -> bodies.Page[bodies.Chat]:
    """One's chats, newest activity first."""
    below = decode_cursor("chats", caller.user_id, cursor) if cursor is not None else MAX_ACTIVITY
    page, position = await chats.page(caller, below, limit)
    following = encode_cursor("chats", caller.user_id, position) if position is not None else None
    return bodies.Page([render.chat(chat) for chat in page], following)


@get("/v1/chats/{chat_id:str}", tags=["Chats"], responses=errors("not_found"))
async def get_chat(
    chat_id: bodies.ChatId, caller: NamedDependency[Caller], chats: NamedDependency[Chats]
) -> bodies.Chat:
    """One of one's chats."""
    return render.chat(await chats.get(caller, decode_id("cht", chat_id)))


@patch("/v1/chats/{chat_id:str}", tags=["Chats"], responses=errors("not_found", body=True))
async def update_chat(
    chat_id: bodies.ChatId, data: bodies.UpdateChat, caller: NamedDependency[Caller], chats: NamedDependency[Chats]
) -> bodies.Chat:
    """Mute, archive or pin a chat, for oneself alone. What is left out stays."""
    changes: dict[str, int | bool | None] = {}
    if data.muted_until is not msgspec.UNSET:
        changes["muted_until"] = _moment(data.muted_until)
    if data.archived is not msgspec.UNSET:
        changes["archived"] = data.archived
    if data.pinned is not msgspec.UNSET:
        changes["pinned"] = data.pinned
    return render.chat(await chats.update(caller, decode_id("cht", chat_id), changes))


def _moment(text: str | None) -> int | None:
    try:
        return None if text is None else from_rfc3339(text)
    except ValueError as fault:
        raise ApiError("invalid", errors={"muted_until": "must be an RFC 3339 time, or null"}) from fault


HANDLERS = [open_chat, list_chats, get_chat, update_chat]
