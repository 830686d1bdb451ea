"""The time that belongs to a position in an event log."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

MAX_AT: Final = 40
"""Characters of a time, at most: RFC 3339 with nanoseconds and an offset takes 35."""
KnownAt = Annotated[
    str,
    Meta(
        max_length=MAX_AT,
        description="The `at` of the event with that seq. If the log has another event there, because the server went"
        " back to an older state, the answer is `log_changed`.",
        examples=["2026-11-23T09:30:00.123Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
