"""The phone simulator over HTTP: there only while the simulator is the SMS provider."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get, post, put
from litestar.datastructures import State
from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET

from duologue.clock import rfc3339
from duologue.core.limits import MAX_WAIT
from duologue.core.phone_numbers import parse_phone
from duologue.errors import ApiError
from duologue.http.rates import PUBLIC, PUBLIC_FOLLOW
from duologue.http.route_docs import errors
from duologue.model import MAX_SEQ
from duologue.protocol import bodies, simulator
from duologue.providers.sms.simulator import HandsetOffline, Simulator


def _simulator(state: State) -> Simulator:
    running: Simulator | None = state.simulator
    if running is None:
        raise ApiError("not_found", "There is no simulator: a real SMS provider is set.")
    return running


@get("/v1/sim/phones", tags=["Phone simulator"], opt=PUBLIC, responses=errors("not_found", signed_in=False))
async def list_phones(state: State) -> simulator.Phones:
    """List the handsets that have been used."""
    return simulator.Phones(_simulator(state).phones())


@get(
    "/v1/sim/phones/{phone:str}/messages",
    tags=["Phone simulator"],
    opt=PUBLIC_FOLLOW,
    responses=errors("not_found", "invalid_phone", "invalid", signed_in=False),
)
async def handset_messages(
    phone: bodies.Phone,
    state: State,
    after: Annotated[int, QueryParameter(ge=0, le=MAX_SEQ, description="The last id one has.")] = 0,
    wait: Annotated[
        float, QueryParameter(ge=0, le=MAX_WAIT, description="Seconds to wait for a new one.")
    ] = 0,
) -> simulator.Inbox:
    """List the SMS that a handset received, in order; with `wait`, a long poll."""
    received = await _simulator(state).inbox(parse_phone(phone), after, wait)
    return simulator.Inbox(
        [
            simulator.ReceivedSms(
                str(item.id), item.sender, item.to, item.text, item.parts, rfc3339(item.received_at)
            )
            for item in received
        ]
    )


@post(
    "/v1/sim/phones/{phone:str}/messages",
    tags=["Phone simulator"],
    opt=PUBLIC,
    responses=errors("not_found", "invalid_phone", signed_in=False, body=True),
)
async def handset_sends(
    phone: bodies.Phone, data: JSONBody[simulator.HandsetSms], state: State
) -> simulator.SentSms:
    """Let that handset send an SMS to a service number."""
    try:
        sent = _simulator(state).text(parse_phone(phone), data.to, data.text)
    except HandsetOffline as fault:
        raise ApiError("invalid", errors={"phone": "is unreachable, so it can't send"}) from fault
    return simulator.SentSms(sent)


@put(
    "/v1/sim/phones/{phone:str}",
    tags=["Phone simulator"],
    opt=PUBLIC,
    responses=errors("not_found", "invalid_phone", signed_in=False, body=True),
)
async def set_behaviour(
    phone: bodies.Phone, data: JSONBody[simulator.SetBehaviour], state: State
) -> simulator.Behaviour:
    """Say how that handset and its receipts behave from now on; what is left out stays."""
    changes = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    now = _simulator(state).configure(parse_phone(phone), **changes)
    return simulator.Behaviour(
        now.reachable, now.delay_ms, now.loss, now.duplicate, now.reorder, now.multipart
    )


HANDLERS: list[Any] = [list_phones, handset_messages, handset_sends, set_behaviour]
