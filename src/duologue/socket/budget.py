"""The frames that one connection may send: a token bucket of its own, and shares of its user's and its address's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from duologue.core.limits import FRAME_BURST, FRAMES_PER_SECOND
from duologue.core.rates import ADDRESS_FRAMES, FRAMES, Rates

BEFORE_HELLO: Final = 10
"""Frames at once before `hello` is answered; then one a second."""
_SHARE: Final = 32
"""Tokens taken from all three buckets together, so that most frames cost one subtraction."""
_DEBT_SECONDS: Final = 10
"""The longest that a connection pays for frames that came over its limit."""


class FrameBudget:
    """Counts the frames of one connection. Every frame takes a token: messages, pings, pongs and fragments.

    Before `hello` there are a few tokens only, whatever the node's rate limits. After it there are none to count
    unless `limited`. `clock` gives seconds; without one it is the loop's.
    """

    __slots__ = (
        "_block",
        "_burst",
        "_clock",
        "_earned_at",
        "_limited",
        "_own",
        "_rate",
        "_rates",
        "_tokens",
        "_user_id",
    )

    def __init__(
        self, rates: Rates, block: str, *, limited: bool, clock: Callable[[], float] | None = None
    ) -> None:
        self._rates = rates
        self._block = block
        self._limited = limited
        self._user_id: int | None = None
        self._clock = clock or asyncio.get_running_loop().time
        self._tokens = 0.0
        self._start(BEFORE_HELLO, 1.0)

    def _start(self, burst: int, rate: float) -> None:
        self._burst, self._rate = burst, rate
        self._own = float(burst)
        self._earned_at = self._clock()

    def signed_in(self, user_id: int) -> None:
        """From now on it is this user who sends."""
        self._user_id = user_id
        self._start(FRAME_BURST, FRAMES_PER_SECOND)
        if not self._limited:
            self._tokens = math.inf

    def spend(self, cost: float = 1) -> bool:
        """Take what a frame costs; returns False, and takes nothing, if there isn't as much."""
        while self._tokens < cost:
            if not self._earn():
                return False
        self._tokens -= cost
        return True

    def overdraw(self) -> None:
        """Count a frame for which there was no token: it is paid for before there is another one."""
        self._own = max(self._own - 1, -_DEBT_SECONDS * self._rate)

    def wait(self, cost: float = 1) -> float:
        """Seconds until there are as many tokens, as far as the connection's own bucket tells."""
        return max(cost - self._own, 1.0) / self._rate

    def in_debt(self) -> bool:
        """True while frames that came over the limit are still to be paid for."""
        self._refill()
        return self._own < 1

    def _refill(self) -> None:
        now = self._clock()
        self._own = min(self._burst, self._own + (now - self._earned_at) * self._rate)
        self._earned_at = now

    def _earn(self) -> bool:
        """Take the next tokens; returns whether there were any."""
        self._refill()
        share = min(_SHARE, math.floor(self._own))
        if share > 0 and self._user_id is not None:
            share = self._rates.grant(FRAMES, self._user_id, share)
        if share > 0:
            share = self._rates.grant(ADDRESS_FRAMES, self._block, share)
        if share <= 0:
            return False
        self._own -= share
        self._tokens += share
        return True
