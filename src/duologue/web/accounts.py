"""Signing in and out, one's devices, and one's own account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream

from duologue.core.accounts import Accounts
from duologue.core.sessions import Caller, Sessions
from duologue.errors import ApiError
from duologue.model import decode_id
from duologue.protocol import bodies, render
from duologue.web.docs import errors
from duologue.web.request import PUBLIC


@post(
    "/v1/sessions",
    tags=["Sign in"],
    opt=PUBLIC,
    responses=errors("invalid_phone", "verification_not_needed", signed_in=False, body=True),
)
async def sign_in(
    data: bodies.AnySignIn, request: Request[Any, Any, Any], accounts: NamedDependency[Accounts]
) -> bodies.SignedIn:
    """Sign in: the answer holds the token for everything else."""
    if data.verification_id is not msgspec.UNSET or data.code is not msgspec.UNSET:
        raise ApiError("verification_not_needed")
    if data.phone is msgspec.UNSET:
        raise ApiError("invalid", errors={"phone": "is required"})
    ip = request.client.host if request.client else ""
    signed = await accounts.sign_in(data.phone, data.device_name, ip)
    return bodies.SignedIn(
        token=signed.token,
        session=render.session(signed.session, signed.session.id),
        user=render.me(signed.user),
        new_user=signed.new_user,
    )


@get("/v1/sessions", tags=["Sign in"], responses=errors())
async def list_sessions(
    caller: NamedDependency[Caller], sessions: NamedDependency[Sessions]
) -> bodies.Page[bodies.Session]:
    """One's signed-in devices, newest first."""
    live = await sessions.live(caller.user_id)
    return bodies.Page([render.session(session, caller.session_id) for session in live], None)


@delete("/v1/sessions/{session_id:str}", tags=["Sign in"], responses=errors("not_found"))
async def end_session(
    session_id: bodies.SessionIdOrCurrent, caller: NamedDependency[Caller], sessions: NamedDependency[Sessions]
) -> None:
    """Sign one device out; `current` is the one that asks. Its sockets end within a second."""
    number = caller.session_id if session_id == "current" else decode_id("ses", session_id)
    if number is None:
        raise ApiError("not_found", "There is no such session of yours.")
    await sessions.end(caller, number)


@delete("/v1/sessions", tags=["Sign in"], responses=errors())
async def end_other_sessions(caller: NamedDependency[Caller], sessions: NamedDependency[Sessions]) -> None:
    """Sign every other device out."""
    await sessions.end_others(caller)


@get("/v1/me", tags=["Account"], responses=errors())
async def get_me(caller: NamedDependency[Caller], accounts: NamedDependency[Accounts]) -> bodies.Me:
    """One's own profile and preferences."""
    return render.me(await accounts.me(caller))


@patch("/v1/me", tags=["Account"], responses=errors(body=True))
async def update_me(
    data: bodies.UpdateMe, caller: NamedDependency[Caller], accounts: NamedDependency[Accounts]
) -> bodies.Me:
    """Change what is given. With read receipts off, what one reads from then on is not shown to peers."""
    name = None if data.display_name is msgspec.UNSET else data.display_name
    receipts = None if data.read_receipts is msgspec.UNSET else data.read_receipts
    return render.me(await accounts.update(caller, name, read_receipts=receipts))


@delete("/v1/me", tags=["Account"], responses=errors())
async def delete_me(caller: NamedDependency[Caller], accounts: NamedDependency[Accounts]) -> None:
    """Delete one's account. Peers keep the messages they got; the number can start afresh."""
    await accounts.delete(caller)


@get(
    "/v1/me/export",
    tags=["Account"],
    media_type="application/json",
    responses={200: ResponseSpec(bodies.Export, generate_examples=False, description=""), **errors()},
)
async def export_me(
    caller: NamedDependency[Caller], accounts: NamedDependency[Accounts], sessions: NamedDependency[Sessions]
) -> Stream:
    """Everything the server holds about oneself, as one JSON document."""
    user = await accounts.me(caller)
    live = await sessions.live(caller.user_id)
    head = {
        "user": render.me(user),
        "sessions": [render.session(session, caller.session_id) for session in live],
    }
    return Stream(_export(msgspec.json.encode(head), caller, accounts), media_type="application/json")


async def _export(head: bytes, caller: Caller, accounts: Accounts) -> AsyncIterator[bytes]:
    yield head[:-1] + b',"chats":['
    first = True
    async for chat, messages in accounts.export_chats(caller):
        yield (
            (b"" if first else b",") + b'{"chat":' + msgspec.json.encode(render.chat(chat)) + b',"messages":['
        )
        separator = b""
        async for message in messages:
            mine = message.sender_id == caller.user_id
            marks = (chat.peer_delivered, chat.peer_read) if mine else (chat.delivered, chat.read_shown)
            yield separator + msgspec.json.encode(render.message(message, *marks))
            separator = b","
        yield b"]}"
        first = False
    yield b"]}"


HANDLERS = [
    sign_in,
    list_sessions,
    end_session,
    end_other_sessions,
    get_me,
    update_me,
    delete_me,
    export_me,
]
