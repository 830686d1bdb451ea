"""Route that tells where a message is."""

from __future__ import annotations

from typing import Any

from litestar import get
from litestar.di import NamedDependency

from duologue.http.rates import READ
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.http.seqs import SeqInPath, seq_of
from duologue.model import decode_id
from duologue.protocol import bodies, render
from duologue.protocol.trace import Trace


@get(
    "/v1/chats/{chat_id:str}/messages/{seq:str}/trace",
    tags=["Messages"],
    opt=READ,
    responses=errors("not_found", "not_sender"),
)
async def trace_message(
    chat_id: bodies.ChatId,
    seq: SeqInPath,
    call: NamedDependency[Call],
) -> Trace:
    """Tell where a message of one's own has been: every hop with its time, kept for a few days.

    When it was accepted and committed, pushed to a device and acknowledged; when it was due as an SMS, sent as one,
    reported on, or why not.
    """
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    return render.trace(await call.traces.trace(call.caller, pair, seq_of(seq)))


HANDLERS: list[Any] = [trace_message]
