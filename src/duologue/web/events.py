"""The event log over HTTP."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import Parameter

from duologue.core.events import Events
from duologue.core.limits import MAX_EVENTS_PAGE, MAX_WAIT
from duologue.core.receipts import Receipts
from duologue.core.sessions import Caller
from duologue.protocol import bodies
from duologue.web.docs import errors


@get("/v1/events", tags=["Events"], responses=errors("events_expired", "seq_out_of_range", "invalid"))
async def list_events(
    caller: NamedDependency[Caller],
    events: NamedDependency[Events],
    after: Annotated[int, Parameter(ge=0, le=bodies.MAX_SEQ, description="The last seq one has.")] = 0,
    limit: Annotated[int, Parameter(ge=1, le=MAX_EVENTS_PAGE, description="How many at most.")] = 100,
    wait: Annotated[
        float, Parameter(ge=0, le=MAX_WAIT, description="Seconds to wait for something new.")
    ] = 0,
) -> Response[bodies.EventPage]:
    """What has happened since `after`, in order and without a hole; with `wait`, a long poll."""
    page = await events.page(caller, after, limit, wait)
    body = b'{"items":[%s],"next":%d,"has_more":%s}' % (
        b",".join(page.items),
        page.next,
        b"true" if page.has_more else b"false",
    )
    return Response(body, media_type="application/json")  # type: ignore[arg-type]


@post("/v1/events/ack", tags=["Events"], status_code=204, responses=errors("seq_out_of_range", body=True))
async def ack_events(
    data: bodies.AckEvents, caller: NamedDependency[Caller], receipts: NamedDependency[Receipts]
) -> None:
    """This device has everything up to this seq: the messages among it are delivered."""
    await receipts.ack(caller, data.seq)


HANDLERS = [list_events, ack_events]
