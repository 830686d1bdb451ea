"""The WebSocket close codes by which a client learns why its connection ends."""

from __future__ import annotations

from typing import Final

from duologue.core.sessions import SessionLost
from duologue.errors import ApiError

_WHEN_REFUSED: Final = {
    "not_signed_in": 4001,
    "events_expired": 4011,
    "log_changed": 4012,
    "suspended": 4013,
    "seq_out_of_range": 4000,
    "invalid": 4000,
    "internal": 1011,
}
WHEN_LOST: Final = {
    "events_expired": (4011, "events expired"),
    "log_changed": (4012, "log changed"),
    "not_signed_in": (4003, "session ended"),
    "suspended": (4013, "suspended"),
    "internal": (1011, "internal"),
}
"""The close code and reason when the log can't be followed any longer."""
EXPLAINED: Final = {"events_expired", "log_changed", "suspended"}
"""Of these, an `error` frame says more first."""


def when_refused(error: ApiError) -> int:
    """The close code when `hello` fails. 1001 says: try again."""
    return _WHEN_REFUSED.get(error.code, 1001)


def when_lost(error: ApiError) -> tuple[int, str]:
    """The close code and reason when a connection that stood can't go on. 1001 says: try again."""
    if isinstance(error, SessionLost):
        return 4001, "not signed in"
    return WHEN_LOST.get(error.code, (1001, error.code))
