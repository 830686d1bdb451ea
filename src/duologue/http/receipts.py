"""Marks over HTTP."""

from __future__ import annotations

from litestar import put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from duologue.core.receipts import mark_of
from duologue.http.rates import WRITE
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.model import decode_id
from duologue.protocol import bodies


@put(
    "/v1/chats/{chat_id:str}/read",
    tags=["Receipts"],
    opt=WRITE,
    status_code=204,
    responses=errors("not_found", "seq_out_of_range", body=True),
)
async def mark_read(
    chat_id: bodies.ChatId,
    data: JSONBody[bodies.MoveMark],
    call: NamedDependency[Call],
) -> None:
    """Mark a chat as read.

    Everything up to this seq is read, and so delivered. Repeats and late arrivals are harmless.
    """
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    await call.receipts.mark(mark_of(pair, call.caller.user_id, read=data.seq))


@put(
    "/v1/chats/{chat_id:str}/delivered",
    tags=["Receipts"],
    opt=WRITE,
    status_code=204,
    responses=errors("not_found", "seq_out_of_range", body=True),
)
async def mark_delivered(
    chat_id: bodies.ChatId,
    data: JSONBody[bodies.MoveMark],
    call: NamedDependency[Call],
) -> None:
    """Mark a chat as delivered.

    Everything up to this seq has reached one of one's devices. Repeats and late arrivals are harmless.
    """
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    await call.receipts.mark(mark_of(pair, call.caller.user_id, delivered=data.seq))


HANDLERS = [mark_read, mark_delivered]
