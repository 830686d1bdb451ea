"""Route that tells where a message is."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import get
from litestar.di import NamedDependency
from msgspec import Meta

from duologue.http.rates import READ
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.model import decode_id
from duologue.protocol import bodies, render
from duologue.protocol.trace import Trace

_DIGITS: Final = 10  # digits of a seq


@get(
    "/v1/chats/{chat_id:str}/messages/{seq:str}/trace",
    tags=["Messages"],
    opt=READ,
    responses=errors("not_found", "not_sender"),
)
async def trace_message(
    chat_id: bodies.ChatId,
    seq: Annotated[str, Meta(description="The message's seq.", examples=["42"])],
    call: NamedDependency[Call],
) -> Trace:
    """Tell where a message of one's own has been: every hop with its time, kept for a few days.

    When it was accepted and committed, pushed to a device and acknowledged; when it was due as an SMS, sent as one,
    reported on, or why not.
    """
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    number = int(seq) if seq.isascii() and seq.isdigit() and len(seq) <= _DIGITS else 0
    return render.trace(await call.traces.trace(call.caller, pair, number))


HANDLERS: list[Any] = [trace_message]
