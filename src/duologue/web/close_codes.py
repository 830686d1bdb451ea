"""The WebSocket close codes by which a client learns why its connection ends."""

from __future__ import annotations

from typing import Final

WHEN_REFUSED: Final = {
    "not_signed_in": 4001,
    "events_expired": 4011,
    "suspended": 4013,
    "seq_out_of_range": 4000,
    "internal": 1011,
}
"""The close code when `hello` fails; for the rest it is 1001: try again."""
WHEN_LOST: Final = {
    "events_expired": (4011, "events expired"),
    "not_signed_in": (4003, "session ended"),
    "suspended": (4013, "suspended"),
    "internal": (1011, "internal"),
}
"""The close code and reason when the log can't be followed any longer."""
EXPLAINED: Final = {"events_expired", "suspended"}
"""Of these, an `error` frame says more first."""
