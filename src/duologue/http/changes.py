"""Editing and deleting messages."""

from __future__ import annotations

from typing import Any

from litestar import delete, patch
from litestar.di import NamedDependency
from litestar.params import JSONBody

from duologue.http.rates import SEND
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.http.seqs import SeqInPath, seq_of
from duologue.model import decode_id
from duologue.protocol import bodies, render
from duologue.protocol.changes import EditMessage


@patch(
    "/v1/chats/{chat_id:str}/messages/{seq:str}",
    tags=["Messages"],
    opt=SEND,
    responses=errors("not_found", "not_sender", "message_deleted", "edit_window_over", "log_full", body=True),
)
async def edit_message(
    chat_id: bodies.ChatId, seq: SeqInPath, data: JSONBody[EditMessage], call: NamedDependency[Call]
) -> bodies.Message:
    """Edit a message of one's own. For `edit_window_seconds` after it was sent; the same text changes nothing."""
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    message, marks = await call.changes.edit(call.caller, pair, seq_of(seq), data.text)
    return render.message(message, *marks)


@delete(
    "/v1/chats/{chat_id:str}/messages/{seq:str}",
    tags=["Messages"],
    opt=SEND,
    responses=errors("not_found", "not_sender", "log_full"),
)
async def delete_message(chat_id: bodies.ChatId, seq: SeqInPath, call: NamedDependency[Call]) -> None:
    """Delete a message of one's own for both sides. Its place stays, without its text; safe to repeat."""
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    await call.changes.delete(call.caller, pair, seq_of(seq))


HANDLERS: list[Any] = [edit_message, delete_message]
