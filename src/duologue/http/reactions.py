"""Reactions to messages."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import delete, put
from litestar.di import NamedDependency
from msgspec import Meta

from duologue.http.rates import REACT
from duologue.http.request import Call
from duologue.http.route_docs import errors
from duologue.http.seqs import SeqInPath, seq_of
from duologue.model import decode_id
from duologue.protocol import bodies

_PATH = "/v1/chats/{chat_id:str}/messages/{seq:str}/reactions/{emoji:str}"
EmojiInPath = Annotated[str, Meta(description="One emoji, percent-encoded.", examples=["👍"])]


@put(
    _PATH,
    tags=["Messages"],
    opt=REACT,
    status_code=204,
    responses=errors("not_found", "invalid", "message_deleted", "too_many_reactions", "log_full"),
)
async def add_reaction(
    chat_id: bodies.ChatId, seq: SeqInPath, emoji: EmojiInPath, call: NamedDependency[Call]
) -> None:
    """React to a message, one's own or the peer's. Safe to repeat; each person has a few on a message."""
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    await call.reactions.add(call.caller, pair, seq_of(seq), emoji)


@delete(_PATH, tags=["Messages"], opt=REACT, responses=errors("not_found", "invalid", "log_full"))
async def remove_reaction(
    chat_id: bodies.ChatId, seq: SeqInPath, emoji: EmojiInPath, call: NamedDependency[Call]
) -> None:
    """Take a reaction of one's own back. Safe to repeat."""
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    await call.reactions.remove(call.caller, pair, seq_of(seq), emoji)


HANDLERS: list[Any] = [add_reaction, remove_reaction]
