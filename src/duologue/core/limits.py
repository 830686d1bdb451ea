"""Limits that `GET /v1/server` publishes, and those of connections."""

from __future__ import annotations

from typing import Final

from duologue.clock import DAY
from duologue.core.rates import CODES, NEW_CHATS, POLICIES, PROFILE_CHANGES
from duologue.errors import RatePolicy
from duologue.protocol.bodies import (
    MAX_CLIENT_ID,
    MAX_DEVICE_NAME,
    MAX_DISPLAY_NAME,
    MAX_TEXT,
)
from duologue.protocol.frames import MAX_WATCHED
from duologue.protocol.server import Limits, Rate
from duologue.storage.tables.profile_news import PEERS_TOLD
from duologue.storage.tables.sign_in import SESSIONS_PER_USER

MAX_BODY: Final = 64 * 1024  # bytes
MAX_HEAD: Final = 32 * 1024
"""Bytes of a request's line and header lines together, and of what frames its body in chunks."""
MAX_TARGET: Final = 8 * 1024
"""Bytes of the path and query of a request."""
MAX_HEADER_LINES: Final = 100  # lines
MAX_PIPELINED: Final = 16
"""Requests of one connection that may wait for the answer to the one before."""
HEAD_WITHIN: Final = 10
"""Seconds from the first byte of a request, or from the connection's beginning, to the end of the head."""
BODY_PAUSE: Final = 30
"""Seconds between two pieces of a body."""
BODY_WITHIN: Final = 300
"""Seconds for a whole body."""
IDLE_CONNECTION: Final = 60
"""Seconds that a connection without a request is kept."""
MAX_CONNECTIONS_PER_ADDRESS: Final = 1_000
"""Connections of one network to one process, unless the operator says otherwise."""
REACTIONS_PER_USER: Final = 3
"""Emoji of one person on one message."""
EDIT_WINDOW: Final = 86_400
"""Seconds for which a message may be edited, unless the operator says otherwise."""
UNREAD_WITHIN: Final = 30
"""Seconds in which a client must take some part of the answer that waits for it."""
MAX_CHATS_PAGE: Final = 100  # chats
MAX_MESSAGES_PAGE: Final = 200  # messages
MAX_EVENTS_PAGE: Final = 500  # events
MAX_PAGE_BYTES: Final = 1024 * 1024
"""A page ends before it is longer, unless its one item is."""
MAX_REPLAY_BYTES: Final = 256 * 1024
"""What a socket or an event stream reads of the log at once."""
MAX_WAIT: Final = 60  # seconds
HEARTBEAT: Final = 25
"""Seconds from one sign of life to the next: a ping on a socket, a comment in an event stream."""
MAX_FRAME: Final = 64 * 1024  # bytes
FRAMES_PER_SECOND: Final = 200  # frames a second
FRAME_BURST: Final = 1_000  # frames
MAX_IN_FLIGHT: Final = 128
"""Sends of one connection that wait for their commit before it is read on."""
MAX_OUTBOUND: Final = 512 * 1024
"""Bytes that may wait for a slow reader before its connection is closed."""
MAX_SOCKETS_PER_USER: Final = 20  # sockets
IN_FLIGHT_PER_USER: Final = 128
"""Requests of one user on one node, long polls and streams among them."""
LASTING_PER_USER: Final = 20
"""So many in flight, and no more long polls, streams or exports are taken: short requests still are."""
IN_FLIGHT_PER_ADDRESS: Final = 1_000  # requests
LASTING_PER_ADDRESS: Final = 800
"""As for a user, but of one block of addresses."""
UNANSWERED_MESSAGES: Final = 20
"""Messages that may wait in a chat whose recipient has never answered."""

WATCHED_PER_FRAME: Final = 10
"""A `watch` of so many users costs as much as a frame more."""


def _published_rate(policy: RatePolicy) -> Rate:
    return Rate(policy.name, policy.quota, policy.window, policy.burst or policy.quota, policy.per)


def published(
    retention_ms: int,
    edit_window_seconds: int = EDIT_WINDOW,
    connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS,
) -> Limits:
    """The limits as clients see them."""
    return Limits(
        text_characters=MAX_TEXT,
        client_id_characters=MAX_CLIENT_ID,
        display_name_characters=MAX_DISPLAY_NAME,
        device_name_characters=MAX_DEVICE_NAME,
        head_bytes=MAX_HEAD,
        header_lines=MAX_HEADER_LINES,
        target_bytes=MAX_TARGET,
        body_bytes=MAX_BODY,
        pipelined_requests=MAX_PIPELINED,
        head_seconds=HEAD_WITHIN,
        body_pause_seconds=BODY_PAUSE,
        body_seconds=BODY_WITHIN,
        idle_connection_seconds=IDLE_CONNECTION,
        unread_answer_seconds=UNREAD_WITHIN,
        connections_per_address=connections_per_address,
        chats_page=MAX_CHATS_PAGE,
        messages_page=MAX_MESSAGES_PAGE,
        events_page=MAX_EVENTS_PAGE,
        page_bytes=MAX_PAGE_BYTES,
        long_poll_seconds=MAX_WAIT,
        event_retention_days=retention_ms // DAY,
        edit_window_seconds=edit_window_seconds,
        reactions_per_user=REACTIONS_PER_USER,
        sessions_per_user=SESSIONS_PER_USER,
        profile_update_chats=PEERS_TOLD,
        socket_frame_bytes=MAX_FRAME,
        socket_frames_per_second=FRAMES_PER_SECOND,
        socket_frame_burst=FRAME_BURST,
        socket_sends_in_flight=MAX_IN_FLIGHT,
        socket_outbound_bytes=MAX_OUTBOUND,
        sockets_per_user=MAX_SOCKETS_PER_USER,
        watched_users=MAX_WATCHED,
        new_chats_per_hour=NEW_CHATS.quota,
        profile_changes_per_hour=PROFILE_CHANGES.quota,
        requests_in_flight_per_user=IN_FLIGHT_PER_USER,
        streams_per_user=LASTING_PER_USER,
        requests_in_flight_per_address=IN_FLIGHT_PER_ADDRESS,
        streams_per_address=LASTING_PER_ADDRESS,
        rates=[_published_rate(policy) for policy in (*POLICIES, CODES, NEW_CHATS, PROFILE_CHANGES)],
        unanswered_messages=UNANSWERED_MESSAGES,
    )
