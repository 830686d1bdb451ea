"""The event log over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import UnsetType

from duologue.clock import rfc3339
from duologue.core.events import EventPage as Page
from duologue.core.limits import HEARTBEAT, MAX_EVENTS_PAGE, MAX_REPLAY_BYTES, MAX_WAIT
from duologue.core.positions import Position, parse_position, parse_start
from duologue.edge.problems import problem
from duologue.errors import ApiError
from duologue.http.rates import FOLLOW, WRITE
from duologue.http.request import Call
from duologue.http.route_docs import EVENT_STREAM, errors
from duologue.model import MAX_SEQ
from duologue.protocol import bodies, render
from duologue.protocol.events import EventPage
from duologue.protocol.positions import MAX_AT
from duologue.realtime.bus import Notice

_STREAM_PAGE: Final = 100
"""Events that a stream reads at once."""
KnownAt = Annotated[
    str | None,
    QueryParameter(
        max_length=MAX_AT,
        description="The `at` of the event with the seq `after`. If the log has another event there, the answer is"
        " `log_changed`.",
    ),
]


@get(
    "/v1/events",
    tags=["Events"],
    opt=FOLLOW,
    responses=errors("events_expired", "log_changed", "seq_out_of_range", "invalid"),
)
async def list_events(
    call: NamedDependency[Call],
    after: Annotated[int, QueryParameter(ge=0, le=MAX_SEQ, description="The last seq one has.")] = 0,
    at: KnownAt = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_EVENTS_PAGE, description="How many at most.")] = 100,
    wait: Annotated[
        float, QueryParameter(ge=0, le=MAX_WAIT, description="Seconds to wait for something new.")
    ] = 0,
) -> Response[EventPage]:
    """Read the event log. What has happened since `after`, in order and without a hole; with `wait`, a long poll."""
    page = await call.events.page(call.caller, parse_position(after, at), limit, wait)
    body = b'{"items":[%s],"next":%d,"next_at":%s,"has_more":%s}' % (
        b",".join(notice.event for notice in page.items),
        page.next.seq,
        b'"%s"' % rfc3339(page.next.at).encode() if page.next.at else b"null",
        b"true" if page.has_more else b"false",
    )
    return Response(body, media_type="application/json")  # type: ignore[arg-type]


@get(
    "/v1/events/stream",
    tags=["Events"],
    opt=FOLLOW,
    media_type="text/event-stream",
    responses=EVENT_STREAM | errors("events_expired", "log_changed", "seq_out_of_range", "invalid"),
)
async def stream_events(
    call: NamedDependency[Call],
    after: Annotated[
        int | None, QueryParameter(ge=0, le=MAX_SEQ, description="The last seq one has.")
    ] = None,
    at: KnownAt = None,
    last_event_id: Annotated[
        str | None,
        HeaderParameter(
            name="Last-Event-ID",
            pattern="^[0-9]{1,10}(@[0-9TtZz:.+-]{1,40})?$",
            description="The `id` of the last event one has, or its seq. Resumes; goes before `after` and `at`.",
        ),
    ] = None,
) -> Stream:
    """Follow the event log. Server-sent events, beginning now unless told otherwise."""
    given = parse_start(after, at) if last_event_id is None else _parse_id(last_event_id)
    position = await call.events.latest(call.caller) if given is None else given
    # Looked at before the answer begins, so that a bad position is an HTTP error and not a dead stream.
    await call.events.page(call.caller, position, 1, 0)
    pages = call.events.follow(call.caller, position, _STREAM_PAGE, HEARTBEAT, MAX_REPLAY_BYTES)
    beginning = _position(position) if given is None else b": hello\n\n"
    return Stream(
        _server_sent(beginning, pages), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


def _parse_id(text: str) -> Position:
    """The position in an event's id. Raises `ApiError` `invalid`."""
    seq, _, at = text.partition("@")
    return parse_position(int(seq), at or None)


def _id(seq: int, at: int) -> bytes:
    return b"%d@%b" % (seq, rfc3339(at).encode()) if at else b"%d" % seq


def _position(position: Position) -> bytes:
    """First event of a stream: its position, so that a client that reconnects at once misses nothing.

    Its data isn't empty, since some clients forget the id of an event without data.
    """
    at = b',"latest_at":"%b"' % rfc3339(position.at).encode() if position.at else b""
    return b'id: %b\nevent: ready\ndata: {"latest":%d%b}\n\n' % (
        _id(position.seq, position.at),
        position.seq,
        at,
    )


async def _server_sent(beginning: bytes, pages: AsyncGenerator[Page, None]) -> AsyncIterator[bytes]:
    """HTML Living Standard, section 9.2. A comment now and then keeps proxies from closing a silent stream."""
    yield beginning
    async with aclosing(pages):
        try:
            async for page in pages:
                yield b"".join(map(_server_sent_event, page.items)) or b": still here\n\n"
        except ApiError as error:
            yield b"event: error\ndata: %s\n\n" % msgspec.json.encode(problem(error))


def _server_sent_event(notice: Notice) -> bytes:
    kind = render.event_type(notice.kind).encode()
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (_id(notice.seq, notice.at), kind, notice.event)


@post(
    "/v1/events/ack",
    tags=["Events"],
    opt=WRITE,
    status_code=204,
    responses=errors("log_changed", "seq_out_of_range", body=True),
)
async def ack_events(
    data: JSONBody[bodies.AckEvents],
    call: NamedDependency[Call],
) -> None:
    """Acknowledge events. This device has everything up to this seq: the messages among it are delivered."""
    if not isinstance(data.at, UnsetType):
        await call.receipts.check_ack(call.caller, parse_position(data.seq, data.at, "seq"))
    await call.receipts.ack(call.caller, data.seq)


HANDLERS: list[Any] = [list_events, stream_events, ack_events]
