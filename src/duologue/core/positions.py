"""Positions: how far a client has come in its user's log, and whether the log is still the one that it knows.

A store that was restored from a backup, or lost the end of its logs in a failover, numbers new events with seqs that
it gave out before. The event's time tells the two apart.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from duologue.clock import from_rfc3339, rfc3339
from duologue.errors import ApiError
from duologue.storage.tables.events import LogHead

UNKNOWN: Final = 0
"""In place of an event's time: there is no such event, or its time is not known."""


class Position(msgspec.Struct, frozen=True, gc=False):
    """The seq of the last event that a client has, 0 for none, and its time in epoch milliseconds, or `UNKNOWN`."""

    seq: int
    at: int = UNKNOWN


def parse_position(seq: int, at: str | None, field: str = "after") -> Position:
    """A position from what a client gives: `field` is the name of its seq.

    Raises `ApiError` `invalid` for a time that is none, and for a time without an event.
    """
    if at is None:
        return Position(seq)
    if seq == 0:
        raise ApiError("invalid", errors={"at": f"is the time of an event: {field} must tell which"})
    try:
        return Position(seq, from_rfc3339(at))
    except ValueError as fault:
        raise ApiError("invalid", errors={"at": str(fault)}) from None


def parse_start(after: int | None, at: str | None) -> Position | None:
    """The position that a client resumes after; None if it gives none. Raises `ApiError` `invalid`."""
    return None if after is None and at is None else parse_position(after or 0, at)


def present(head: LogHead | None) -> LogHead:
    """The head of a log that must be there. Raises `ApiError` `not_signed_in`: a log goes with its account."""
    if head is None:
        raise ApiError("not_signed_in", "The account has been deleted.")
    return head


def check_position(head: LogHead, position: Position) -> None:
    """Check that a log can be followed from a position; `head` was read for its seq.

    Raises `ApiError` `events_expired`, and `log_changed` when the log has another event there. When it is shorter:
    `log_changed` for a position with a time, `seq_out_of_range` for one without.
    """
    seq, last = position.seq, head.last_seq
    if seq < head.floor:
        raise ApiError("events_expired", f"Events up to {head.floor} are no longer kept.", **latest(head))
    if seq > last:
        if position.at:
            raise log_changed(head, f"The log ends at {last} now.")
        raise ApiError("seq_out_of_range", errors={"after": f"the newest event is {last}"})
    if position.at and head.asked_at and position.at != head.asked_at:
        raise log_changed(head, f"The log has another event at {seq} now.")


def log_changed(head: LogHead, detail: str) -> ApiError:
    """The error for a client whose log is no longer the one in the store."""
    return ApiError("log_changed", detail, **latest(head))


def latest(head: LogHead) -> dict[str, Any]:
    """The newest event's seq, and its time where that is known, as errors tell them."""
    known = {"latest_at": rfc3339(head.last_at)} if head.last_at else {}
    return {"latest": head.last_seq} | known
