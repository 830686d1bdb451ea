"""Signing in and out, one's devices, and one's own account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from litestar.response import Stream
from msgspec import UNSET

from duologue.clock import SECOND, rfc3339
from duologue.core.accounts import Accounts, SignedIn
from duologue.core.exports import ExportedChats
from duologue.core.rates import CODES
from duologue.core.sessions import Caller
from duologue.core.verifications import Verifications
from duologue.edge.problems import rate_limit
from duologue.errors import ApiError
from duologue.http.rates import COSTLY, EXPORT, READ, SIGN_IN, WRITE
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.model import (
    Chat,
    Message,
    Privacy,
    Relay,
    ShowPresence,
    WhoCanWrite,
    decode_id,
    encode_id,
)
from duologue.protocol import bodies, render


@post(
    "/v1/verifications",
    tags=["Sign in"],
    opt=SIGN_IN,
    status_code=202,
    responses=errors(
        "invalid_phone",
        "verification_not_needed",
        "country_not_allowed",
        "rate_limited",
        "sms_budget_spent",
        "sms_unavailable",
        signed_in=False,
        body=True,
    ),
)
async def start_verification(
    data: JSONBody[bodies.StartVerification],
    state: State,
    call: NamedDependency[Call],
) -> Response[bodies.Verification]:
    """Have a code sent by SMS. The answer is the same whether or not the number has an account."""
    verifications = _verifications(state)
    if verifications is None:
        raise ApiError("verification_not_needed")
    started = await verifications.start(data.phone, call.address)
    body = bodies.Verification(
        id=encode_id("vrf", started.id),
        expires_at=rfc3339(started.expires_at),
        resend_at=rfc3339(started.next_send_at),
        channel="sms",
    )
    wait = (started.next_send_at - started.sent_at) / SECOND
    return Response(body, status_code=202, headers=rate_limit(CODES, CODES.quota - started.sends, wait))


def _verifications(state: State) -> Verifications | None:
    rules: Verifications | None = state.verifications
    return rules


@post(
    "/v1/sessions",
    tags=["Sign in"],
    opt=SIGN_IN,
    responses=errors(
        "invalid_phone",
        "verification_not_needed",
        "verification_required",
        "code_wrong",
        "code_expired",
        "suspended",
        "rate_limited",
        signed_in=False,
        body=True,
    ),
)
async def sign_in(
    data: JSONBody[bodies.SignIn],
    state: State,
    call: NamedDependency[Call],
) -> bodies.SignedIn:
    """Sign in. The answer holds the token that goes with everything else.

    In open mode `phone` is given, in sms mode `verification_id` and `code`.
    """
    verifications = _verifications(state)
    if verifications is None:
        signed = await _sign_in_openly(data, call.address, call.accounts)
    else:
        signed = await _sign_in_by_code(data, call.address, verifications)
    return bodies.SignedIn(
        token=signed.token,
        session=render.session(signed.session, signed.session.id),
        user=render.me(signed.user, call.accounts.presets),
        new_user=signed.new_user,
    )


async def _sign_in_openly(data: bodies.SignIn, address: str, accounts: Accounts) -> SignedIn:
    if data.verification_id is not UNSET or data.code is not UNSET:
        raise ApiError("verification_not_needed")
    if data.phone is UNSET:
        raise ApiError("invalid", errors={"phone": "is required"})
    return await accounts.sign_in(data.phone, data.device_name, address)


async def _sign_in_by_code(data: bodies.SignIn, address: str, verifications: Verifications) -> SignedIn:
    if data.phone is not UNSET:
        raise ApiError("verification_required")
    if data.verification_id is UNSET or data.code is UNSET:
        missing = {"verification_id": data.verification_id, "code": data.code}
        raise ApiError("invalid", errors={name: "is required" for name in missing if missing[name] is UNSET})
    number = decode_id("vrf", data.verification_id)
    return await verifications.redeem(number, data.code, data.device_name, address)


@get("/v1/sessions", tags=["Sign in"], opt=COSTLY, responses=errors())
async def list_sessions(
    call: NamedDependency[Call],
) -> bodies.Page[bodies.Session]:
    """List one's signed-in devices. Newest first."""
    live = await call.sessions.live(call.caller.user_id)
    return bodies.Page([render.session(session, call.caller.session_id) for session in live], None)


@delete("/v1/sessions/{session_id:str}", tags=["Sign in"], opt=WRITE, responses=errors("not_found"))
async def end_session(
    session_id: bodies.SessionIdOrCurrent,
    call: NamedDependency[Call],
) -> None:
    """Sign one device out. `current` is the one that asks. Its sockets end within a second."""
    number = call.caller.session_id if session_id == "current" else decode_id("ses", session_id)
    if number is None:
        raise ApiError("not_found", "There is no such session of yours.")
    await call.sessions.end(call.caller, number)


@delete("/v1/sessions", tags=["Sign in"], opt=COSTLY, responses=errors())
async def end_other_sessions(
    call: NamedDependency[Call],
) -> None:
    """Sign every other device out."""
    await call.sessions.end_others(call.caller)


@get("/v1/me", tags=["Account"], opt=READ, responses=errors())
async def get_me(
    call: NamedDependency[Call],
) -> bodies.Me:
    """Get one's own profile and preferences."""
    return render.me(await call.accounts.me(call.caller), call.accounts.presets)


@patch("/v1/me", tags=["Account"], opt=WRITE, responses=errors("rate_limited", body=True))
async def update_me(
    data: JSONBody[bodies.UpdateMe],
    call: NamedDependency[Call],
) -> bodies.Me:
    """Change one's profile and preferences. Peers hear of a new name soon afterwards.

    With read receipts off, what one reads from then on is not shown to peers.
    """
    name = None if data.display_name is UNSET else data.display_name
    receipts = None if data.read_receipts is UNSET else data.read_receipts
    relay = None if data.sms_relay is UNSET else Relay[data.sms_relay.upper()]
    user = await call.accounts.update(
        call.caller, name, read_receipts=receipts, sms_relay=relay, privacy=_privacy(data)
    )
    return render.me(user, call.accounts.presets)


def _privacy(data: bodies.UpdateMe) -> Privacy:
    return Privacy(
        None if data.who_can_write is UNSET else WhoCanWrite[data.who_can_write.upper()],
        None if data.presence is UNSET else ShowPresence[data.presence.upper()],
        None if data.discoverable is UNSET else data.discoverable,
    )


@delete("/v1/me", tags=["Account"], opt=COSTLY, responses=errors())
async def delete_me(
    call: NamedDependency[Call],
) -> None:
    """Delete one's account. Peers keep the messages they got; the number can start afresh."""
    await call.accounts.delete(call.caller)


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


HANDLERS = [
    start_verification,
    sign_in,
    list_sessions,
    end_session,
    end_other_sessions,
    get_me,
    update_me,
    delete_me,
    export_me,
]
