"""Codes to sign in with."""

from __future__ import annotations

from litestar import Response, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody

from duologue.clock import SECOND, rfc3339
from duologue.core.rates import CODES
from duologue.core.verifications import Verifications
from duologue.edge.problems import rate_limit
from duologue.errors import ApiError
from duologue.http.rates import SIGN_IN
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.model import encode_id
from duologue.protocol import bodies


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
    verifications = verifications_of(state)
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


def verifications_of(state: State) -> Verifications | None:
    """Return the rules for codes; None if signing in takes none."""
    rules: Verifications | None = state.verifications
    return rules


HANDLERS = [start_verification]
