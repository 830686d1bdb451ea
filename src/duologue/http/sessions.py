"""Signing in and out, and one's devices."""

from __future__ import annotations

from litestar import delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET

from duologue.core.accounts import Accounts, SignedIn
from duologue.core.verifications import Verifications
from duologue.errors import ApiError
from duologue.http.rates import COSTLY, SIGN_IN, WRITE
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.http.verifications import verifications_of
from duologue.model import decode_id
from duologue.protocol import bodies, render


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
    verifications = verifications_of(state)
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


HANDLERS = [sign_in, list_sessions, end_session, end_other_sessions]
