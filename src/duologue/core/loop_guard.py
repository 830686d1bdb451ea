"""Conversations between two phones in which nobody uses the app: autoresponders could keep them up for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from duologue.clock import DAY, HOUR, MINUTE, SLACK

BOUNDS: Final = ((3, MINUTE), (20, HOUR), (40, DAY))
"""At most so many answers of a chat go on by SMS in any span (ms) in which no message came from an app."""
LOOKS_BACK: Final = DAY


def pause_after(sent: Sequence[int], now: int) -> int | None:
    """Return until when (epoch ms) no further answer goes on; None if one may.

    `sent` has the times at which the last ones went, in their order. Times in the future are of a wrong clock.
    """
    pauses = []
    for most, span in BOUNDS:
        recent = [at for at in sent if now - span < at <= now + SLACK]
        if len(recent) >= most:
            pauses.append(recent[-most] + span)
    return max(pauses, default=None)
