"""A user's own data as one document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream

from duologue.core.exports import ExportedChats
from duologue.core.sessions import Caller
from duologue.http.rates import EXPORT
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.model import Chat, Message
from duologue.protocol import bodies, render


@get(
    "/v1/me/export",
    opt=EXPORT,
    tags=["Account"],
    media_type="application/json",
    responses={
        200: ResponseSpec(bodies.Export, generate_examples=False, description=""),
        **errors("rate_limited"),
    },
)
async def export_me(
    call: NamedDependency[Call],
) -> Stream:
    """Export everything the server holds about oneself. One JSON document, streamed; one at a time."""
    user = await call.accounts.me(call.caller)
    live = await call.sessions.live(call.caller.user_id)
    head = {
        "user": render.me(user, call.accounts.presets),
        "sessions": [render.session(session, call.caller.session_id) for session in live],
    }
    chats = call.exports.begin(call.caller)
    return Stream(_export(msgspec.json.encode(head), call.caller, chats), media_type="application/json")


async def _export(head: bytes, caller: Caller, chats: ExportedChats) -> AsyncIterator[bytes]:
    yield head[:-1] + b',"chats":['
    first = True
    async with aclosing(chats):
        async for chat, pages in chats:
            encoded = msgspec.json.encode(render.chat(chat))
            yield b'%s{"chat":%s,"messages":[' % (b"" if first else b",", encoded)
            separator = b""
            async for page in pages:
                yield separator + b",".join(_exported(message, chat, caller) for message in page)
                separator = b","
            yield b"]}"
            first = False
    yield b"]}"


def _exported(message: Message, chat: Chat, caller: Caller) -> bytes:
    mine = message.sender_id == caller.user_id
    marks = (chat.peer_delivered, chat.peer_read) if mine else (chat.delivered_shown, chat.read_shown)
    return msgspec.json.encode(render.message(message, *marks))


HANDLERS = [export_me]
