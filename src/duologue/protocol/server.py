"""Bodies that describe the server itself: its limits, its features, its health."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from duologue.protocol.bodies import Body


class Rate(Body, frozen=True):
    """A rate limit. Its name stands in the `RateLimit` headers."""

    name: str
    quota: Annotated[int, Meta(description="How many in each `window`.")]
    window: Annotated[int, Meta(description="In seconds.")]
    burst: Annotated[int, Meta(description="How many at once.")]
    per: Annotated[
        Literal["user", "address", "phone"],
        Meta(description="What it holds for. An address is a /24, or a /48 of IPv6."),
    ]


class Limits(Body, frozen=True):
    """Every limit that a client needs to know."""

    text_characters: Annotated[int, Meta(description="The longest text of a message.")]
    client_id_characters: Annotated[int, Meta(description="The longest `client_id`.")]
    display_name_characters: Annotated[int, Meta(description="The longest `display_name`.")]
    device_name_characters: Annotated[int, Meta(description="The longest `device_name`.")]
    head_bytes: Annotated[int, Meta(description="The largest head of a request: its line and headers.")]
    header_lines: Annotated[int, Meta(description="The most header lines of a request.")]
    target_bytes: Annotated[int, Meta(description="The longest path and query of a request.")]
    body_bytes: Annotated[int, Meta(description="The largest request body.")]
    pipelined_requests: Annotated[
        int, Meta(description="Requests of a connection that wait for the answer to the one before.")
    ]
    head_seconds: Annotated[int, Meta(description="The longest time for the head of a request.")]
    body_pause_seconds: Annotated[int, Meta(description="The longest pause within a request body.")]
    body_seconds: Annotated[int, Meta(description="The longest time for a request body.")]
    idle_connection_seconds: Annotated[
        int, Meta(description="How long an HTTP connection is kept without a request.")
    ]
    unread_answer_seconds: Annotated[
        int, Meta(description="A connection that takes no byte of an answer for so long is closed.")
    ]
    connections_per_address: Annotated[
        int,
        Meta(description="Open connections of one network (/24, /48 of IPv6) to one process; 0: no limit."),
    ]
    chats_page: Annotated[int, Meta(description="The highest `limit` for chats.")]
    messages_page: Annotated[int, Meta(description="The highest `limit` for messages.")]
    events_page: Annotated[int, Meta(description="The highest `limit` for events.")]
    page_bytes: Annotated[
        int, Meta(description="A page ends before it is longer, and says that there is more.")
    ]
    long_poll_seconds: Annotated[int, Meta(description="The longest `wait` for events.")]
    event_retention_days: Annotated[int, Meta(description="How long events can be resumed from.")]
    edit_window_seconds: Annotated[
        int, Meta(description="How long after it was sent a message can be edited.")
    ]
    reactions_per_user: Annotated[int, Meta(description="Emoji of one person on one message.")]
    sessions_per_user: Annotated[
        int, Meta(description="Signing in once more ends the one unused the longest.")
    ]
    profile_update_chats: Annotated[
        int, Meta(description="How many peers, latest first, hear of a new name.")
    ]
    socket_frame_bytes: Annotated[int, Meta(description="The largest frame, fragments together.")]
    socket_frames_per_second: Annotated[int, Meta(description="What one socket may send for long.")]
    socket_frame_burst: Annotated[int, Meta(description="What one socket may send at once.")]
    socket_sends_in_flight: Annotated[int, Meta(description="Unanswered sends before reading pauses.")]
    socket_outbound_bytes: Annotated[int, Meta(description="What may wait for a slow reader.")]
    sockets_per_user: Annotated[int, Meta(description="Open sockets of one user on one node.")]
    new_chats_per_hour: Annotated[int, Meta(description="With numbers one had no chat with.")]
    unanswered_messages: Annotated[
        int, Meta(description="What may wait in a chat whose recipient has never answered.")
    ]
    profile_changes_per_hour: Annotated[int, Meta(description="New values of `display_name`.")]
    requests_in_flight_per_user: Annotated[
        int, Meta(description="Requests at the same time, long polls and streams among them.")
    ]
    streams_per_user: Annotated[
        int,
        Meta(description="With so many requests in flight, no more streams, long polls or exports begin."),
    ]
    requests_in_flight_per_address: Annotated[int, Meta(description="The same for a block of addresses.")]
    streams_per_address: Annotated[int, Meta(description="The same for a block of addresses.")]
    rates: Annotated[
        list[Rate],
        Meta(description="How often routes may be called; on each node, unless it is about codes or chats."),
    ]
    watched_users: Annotated[
        int, Meta(description="The most users in one `watch`. Ten cost as much as a frame.")
    ]


class ServerInfo(Body, frozen=True):
    """Description of this server and its limits."""

    name: str
    version: str
    sign_in: Annotated[
        Literal["open", "sms"],
        Meta(description="`open`: a phone number is enough. `sms`: a code sent to it proves it."),
    ]
    limits: Limits
    features: Annotated[list[str], Meta(description="Optional parts that this server has.")]


class Health(Body, frozen=True):
    """An answer to a probe."""

    status: Annotated[Literal["ok", "degraded"], Meta(description="`degraded`: it serves, but see `detail`.")]
    detail: Annotated[str | UnsetType, Meta(description="What is amiss.")] = UNSET
