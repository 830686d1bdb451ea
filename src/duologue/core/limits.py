"""Every limit, in one place: enforced from here and published by `GET /v1/server`."""

from __future__ import annotations

from typing import Final

from duologue.clock import DAY
from duologue.protocol.bodies import (
    MAX_CLIENT_ID,
    MAX_DEVICE_NAME,
    MAX_DISPLAY_NAME,
    MAX_TEXT,
)
from duologue.protocol.frames import MAX_WATCHED
from duologue.protocol.server import Limits
from duologue.storage.accounts import PEERS_TOLD, SESSIONS_PER_USER

MAX_BODY: Final = 64 * 1024
MAX_CHATS_PAGE: Final = 100
MAX_MESSAGES_PAGE: Final = 200
MAX_EVENTS_PAGE: Final = 500
MAX_WAIT: Final = 60
MAX_FRAME: Final = 64 * 1024
FRAMES_PER_SECOND: Final = 200
FRAME_BURST: Final = 1_000
MAX_IN_FLIGHT: Final = 128
"""Sends of one connection that wait for their commit before it is read on."""
MAX_OUTBOUND: Final = 512 * 1024
"""Bytes that may wait for a slow reader before its connection is closed."""
MAX_SOCKETS_PER_USER: Final = 20
NEW_CHATS_PER_HOUR: Final = 1_000
"""A new chat tells whether its number is registered: what bounds the testing of numbers."""


def published(retention_ms: int) -> Limits:
    """The limits as clients see them."""
    return Limits(
        text_characters=MAX_TEXT,
        client_id_characters=MAX_CLIENT_ID,
        display_name_characters=MAX_DISPLAY_NAME,
        device_name_characters=MAX_DEVICE_NAME,
        body_bytes=MAX_BODY,
        chats_page=MAX_CHATS_PAGE,
        messages_page=MAX_MESSAGES_PAGE,
        events_page=MAX_EVENTS_PAGE,
        long_poll_seconds=MAX_WAIT,
        event_retention_days=retention_ms // DAY,
        sessions_per_user=SESSIONS_PER_USER,
        profile_update_chats=PEERS_TOLD,
        socket_frame_bytes=MAX_FRAME,
        socket_frames_per_second=FRAMES_PER_SECOND,
        socket_frame_burst=FRAME_BURST,
        socket_sends_in_flight=MAX_IN_FLIGHT,
        socket_outbound_bytes=MAX_OUTBOUND,
        sockets_per_user=MAX_SOCKETS_PER_USER,
        watched_users=MAX_WATCHED,
        new_chats_per_hour=NEW_CHATS_PER_HOUR,
    )
