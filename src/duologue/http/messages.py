"""Sending messages, and paging through a chat."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, QueryParameter

from duologue.core.limits import MAX_MESSAGES_PAGE
from duologue.core.messages import Messages
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.http.rates import READ, SEND
from duologue.http.request import Call
from duologue.http.route_docs import REPLAYED, errors
from duologue.model import MAX_SEQ, Pair, decode_id
from duologue.protocol import bodies, render

_REPEAT = ResponseSpec(
    data_container=bodies.Message, generate_examples=False, description="This `client_id` had sent it before."
)
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=bodies.MAX_CLIENT_ID,
        pattern=bodies.PRINTABLE,
        description="Stands in for `client_id`.",
    ),
]


def _bound(description: str, lowest: int = 1) -> QueryParameter:
    return QueryParameter(ge=lowest, le=MAX_SEQ, description=description)


@post(
    "/v1/messages",
    tags=["Messages"],
    opt=SEND,
    response_headers=[REPLAYED],
    responses={
        200: _REPEAT,
        **errors(
            "invalid_phone",
            "self_chat",
            "rate_limited",
            "client_id_reused",
            "seq_out_of_range",
            "peer_gone",
            "log_full",
            body=True,
        ),
    },
)
async def send_to_phone(
    data: JSONBody[bodies.SendToPhone],
    call: NamedDependency[Call],
    idempotency_key: IdempotencyKey = None,
) -> Response[bodies.Message]:
    """Send to a phone number. Answered once the message is durable; safe to repeat with the same `client_id`."""
    client_id = _client_id(data.client_id, idempotency_key)
    pair = await call.chats.pair_to(call.caller.user_id, data.to, "to", reply_to=data.reply_to)
    return await _send(call.messages, call.caller, pair, data, client_id)


@post(
    "/v1/chats/{chat_id:str}/messages",
    tags=["Messages"],
    opt=SEND,
    response_headers=[REPLAYED],
    responses={
        200: _REPEAT,
        **errors(
            "not_found",
            "rate_limited",
            "client_id_reused",
            "seq_out_of_range",
            "peer_gone",
            "log_full",
            body=True,
        ),
    },
)
async def send_to_chat(
    chat_id: bodies.ChatId,
    data: JSONBody[bodies.SendToChat],
    call: NamedDependency[Call],
    idempotency_key: IdempotencyKey = None,
) -> Response[bodies.Message]:
    """Send to a chat. Answered once the message is durable; safe to repeat with the same `client_id`."""
    client_id = _client_id(data.client_id, idempotency_key)
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    return await _send(call.messages, call.caller, pair, data, client_id)


def _client_id(in_body: str | msgspec.UnsetType, in_header: str | None) -> str:
    if isinstance(in_body, str):
        if in_header is not None and in_header != in_body:
            raise ApiError("invalid", errors={"client_id": "differs from the Idempotency-Key header"})
        return in_body
    if in_header is None:
        raise ApiError("invalid", errors={"client_id": "is required (or the Idempotency-Key header)"})
    return in_header


async def _send(
    messages: Messages,
    caller: Caller,
    pair: Pair,
    data: bodies.SendToChat | bodies.SendToPhone,
    client_id: str,
) -> Response[bodies.Message]:
    posted, marks = await messages.send(caller, pair, data.text, client_id, data.reply_to)
    body = render.message(posted.message, *marks)
    if posted.replayed:
        return Response(body, status_code=200, headers={"Idempotent-Replayed": "true"})
    return Response(body, status_code=201)


@get(
    "/v1/chats/{chat_id:str}/messages", tags=["Messages"], opt=READ, responses=errors("not_found", "invalid")
)
async def list_messages(
    chat_id: bodies.ChatId,
    call: NamedDependency[Call],
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_MESSAGES_PAGE, description="How many at most.")] = 50,
    before: Annotated[int | None, _bound("Only what is older than this seq.")] = None,
    after: Annotated[int | None, _bound("Only what is newer than this seq.", 0)] = None,
    around: Annotated[int | None, _bound("This seq in the middle.")] = None,
) -> bodies.MessagePage:
    """Page through a chat. Below, above or around a seq, or the newest page; always in rising seq.

    Costs the same at any depth.
    """
    bounds = (("before", before), ("after", after), ("around", around))
    given = [name for name, seq in bounds if seq is not None]
    if len(given) > 1:
        raise ApiError(
            "invalid", errors=dict.fromkeys(given, "only one of before, after, around may be given")
        )
    pair = await call.chats.pair(call.caller.user_id, decode_id("cht", chat_id))
    reader = call.caller
    page = await call.messages.page(reader, pair, before=before, after=after, around=around, limit=limit)
    return bodies.MessagePage(
        items=[
            render.message_to(reader.user_id, message, *page.marks[message.sender_id])
            for message in page.items
        ],
        has_more_before=page.has_more_before,
        has_more_after=page.has_more_after,
    )


HANDLERS: list[Any] = [send_to_phone, send_to_chat, list_messages]
