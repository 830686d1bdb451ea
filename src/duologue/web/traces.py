"""Where a message is."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import PathParameter

from duologue.core.chats import Chats
from duologue.core.sessions import Caller
from duologue.core.traces import Traces
from duologue.model import decode_id
from duologue.protocol import bodies, render
from duologue.web.docs import errors


@get(
    "/v1/chats/{chat_id:str}/messages/{seq:int}/trace",
    tags=["Messages"],
    responses=errors("not_found", "not_sender"),
)
async def trace_message(
    chat_id: bodies.ChatId,
    seq: Annotated[int, PathParameter(description="The message's seq.")],
    caller: NamedDependency[Caller],
    chats: NamedDependency[Chats],
    traces: NamedDependency[Traces],
) -> bodies.Trace:
    """Tell where a message of one's own has been: every hop with its time, kept for a few days.

    When it was accepted and committed, pushed to a device and acknowledged; when it was due as an SMS, sent as one,
    reported on, or why not.
    """
    pair = await chats.pair(caller.user_id, decode_id("cht", chat_id))
    return render.trace(await traces.trace(caller, pair, seq))


HANDLERS: list[Any] = [trace_message]
