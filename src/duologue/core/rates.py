"""Rates: how often a user or an address may do something, counted in the memory of one node.

Every route and every frame has one of the policies below. `GET /v1/server` publishes them, and `http/rates.py` says
which route has which. What must hold across nodes and restarts is counted in the store (`storage/tables/quotas.py`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from array import array
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from duologue.errors import ApiError, RatePolicy
from duologue.storage.tables.verifications import WAITS

MAX_KEYS: Final = 50_000
"""Users or addresses with a bucket of their own in one policy. Any others share `_CROWD` buckets."""
_CROWD: Final = 1_024
"""Shared buckets of one policy."""
_ROUNDING: Final = 1e-6
"""Seconds; sums of seconds since the machine started are not exact."""

CONNECTIONS: Final = RatePolicy("connections", 6_000, 60, burst=400, per="address")
"""New connections. 200 devices behind one address that reconnect twice each get in at once."""
REQUESTS: Final = RatePolicy("requests", 12_000, 60, burst=2_000, per="address")
SIGN_IN: Final = RatePolicy("sign-in", 1_200, 60, burst=600, per="address")
READ: Final = RatePolicy("read", 1_200, 60, burst=300)
WRITE: Final = RatePolicy("write", 1_200, 60, burst=300)
SEND: Final = RatePolicy("send", 1_200, 60, burst=600)
REACT: Final = RatePolicy("react", 120, 60, burst=60)
"""Reactions of one user, added or removed: each is an event in two logs."""
COSTLY: Final = RatePolicy("costly", 120, 60, burst=60)
EXPORT: Final = RatePolicy("export", 10, 3_600, burst=5)
FRAMES: Final = RatePolicy("frames", 24_000, 60, burst=2_000)
REPLAYED: Final = RatePolicy("replayed-events", 120_000, 60, burst=50_000)
"""Events of one's own log that are read again, over sockets and streams: over it, replays go on more slowly."""
ADDRESS_FRAMES: Final = RatePolicy("address-frames", 120_000, 60, burst=10_000, per="address")

CODES: Final = RatePolicy("codes", len(WAITS), 3_600, per="phone")
"""Codes that one asker may have sent to one number, with growing waits in between. Counted in the store."""
NEW_CHATS: Final = RatePolicy("new-chats", 1_000, 3_600)
"""A new chat tells whether its number is registered, so this bounds how many numbers can be tested."""
PROFILE_CHANGES: Final = RatePolicy("profile-changes", 5, 3_600)
"""New names of one user, each of which is told to all peers. Counted in the store."""

POLICIES: Final = (
    CONNECTIONS,
    REQUESTS,
    SIGN_IN,
    READ,
    WRITE,
    SEND,
    REACT,
    COSTLY,
    EXPORT,
    FRAMES,
    REPLAYED,
    ADDRESS_FRAMES,
)
"""Every policy that a node counts in memory."""

Clock = Callable[[], float]
"""Seconds that only rise."""


class BucketState(msgspec.Struct, frozen=True, gc=False):
    """The state of one bucket.

    `remaining` tokens may be used at once, there is one more in `reset` seconds, and what was asked for was refused
    if `wait` is not 0: there will be enough in so many seconds.
    """

    policy: RatePolicy
    remaining: int
    reset: float
    wait: float


class Buckets:
    """The token buckets of one policy, one for each key, in bounded memory.

    A bucket is one number: the time at which it will be full again (the generic cell rate algorithm). A bucket that
    nobody touched for as long as it takes to fill is full, and so is a new one: only such buckets are forgotten, so
    nobody gains anything by being forgotten. When `MAX_KEYS` buckets are in use, a key without one shares a bucket
    with the keys of its hash. An attacker with that many addresses then shares with other newcomers, and those who
    have a bucket keep it.
    """

    __slots__ = (
        "_crowd",
        "_fill",
        "_interval",
        "_old",
        "_rotate_at",
        "_seed",
        "_tolerance",
        "_young",
        "policy",
    )

    def __init__(self, policy: RatePolicy) -> None:
        self.policy = policy
        self._interval = policy.window / policy.quota
        self._fill = (policy.burst or policy.quota) * self._interval
        self._tolerance = self._fill + _ROUNDING
        self._young: dict[int | str, float] = {}
        self._old: dict[int | str, float] = {}
        self._rotate_at = 0.0
        self._crowd: array[float] | None = None
        self._seed = secrets.randbits(64)

    def __len__(self) -> int:
        """Return the number of keys that have a bucket of their own."""
        return len(self._young) + len(self._old)

    def take(self, key: int | str, now: float, cost: int = 1) -> BucketState:
        """Use `cost` tokens, all or none. It is at most the policy's burst."""
        interval, tolerance = self._interval, self._tolerance
        used = max(self._full_at(key, now) - now, 0.0)
        wait = used + cost * interval - tolerance
        if wait <= 0:
            wait = 0.0
            used += cost * interval
            self._put(key, now + used)
        return BucketState(self.policy, int((tolerance - used) / interval), used % interval, wait)

    def grant(self, key: int | str, now: float, wanted: int) -> int:
        """Use up to `wanted` tokens; returns how many there were."""
        used = max(self._full_at(key, now) - now, 0.0)
        granted = min(wanted, int((self._tolerance - used) / self._interval))
        if granted > 0:
            self._put(key, now + used + granted * self._interval)
        return granted

    def _full_at(self, key: int | str, now: float) -> float:
        if now >= self._rotate_at:
            self._rotate(now)
        full_at = self._young.get(key) or self._old.get(key)
        if full_at is not None:
            return full_at
        return self._crowd[self._place(key)] if self._crowd else 0.0

    def _put(self, key: int | str, full_at: float) -> None:
        if key in self._young or self._old.pop(key, None) is not None or len(self) < MAX_KEYS:
            self._young[key] = full_at
        else:
            if self._crowd is None:
                self._crowd = array("d", bytes(8 * _CROWD))
            self._crowd[self._place(key)] = full_at

    def _place(self, key: int | str) -> int:
        return hash((self._seed, key)) % _CROWD

    def _rotate(self, now: float) -> None:
        """Forget the buckets that were last touched before the last rotation: they are full by now."""
        self._old = self._young if now < self._rotate_at + self._fill else {}
        self._young = {}
        self._rotate_at = now + self._fill


class Rates:
    """The buckets of every policy of a node. Unless `limited`, only those that `always` hold are counted."""

    def __init__(
        self,
        *,
        limited: bool,
        always: Collection[RatePolicy] = (),
        policies: Collection[RatePolicy] = POLICIES,
        clock: Clock = time.monotonic,
    ) -> None:
        self._clock = clock
        counted = policies if limited else always
        self.buckets = {policy.name: Buckets(policy) for policy in counted}

    def take(self, policy: RatePolicy, key: int | str, cost: int = 1) -> BucketState | None:
        """Count one use, or one of so many tokens, by this user (an id) or address (a block).

        Returns the state of the limit; None when it isn't counted. Raises `ApiError` `rate_limited`.
        """
        buckets = self.buckets.get(policy.name)
        if buckets is None:
            return None
        state = buckets.take(key, self._clock(), cost)
        if state.wait:
            detail = f"Over the limit “{policy.name}”: {policy.quota} in {policy.window} seconds."
            raise ApiError("rate_limited", detail, retry_after=state.wait, policy=policy)
        return state

    def grant(self, policy: RatePolicy, key: int | str, wanted: int) -> int:
        """Count up to `wanted` uses; returns how many of them are within the limit."""
        buckets = self.buckets.get(policy.name)
        return wanted if buckets is None else buckets.grant(key, self._clock(), wanted)

    async def pace(self, policy: RatePolicy, key: int | str, cost: int) -> None:
        """Count so many uses, at most the policy's burst; returns once there is room for them."""
        buckets = self.buckets.get(policy.name)
        while buckets is not None:
            wait = buckets.take(key, self._clock(), cost).wait
            if not wait:
                return
            await asyncio.sleep(wait)


class InFlight:
    """Number of requests in flight of each user and each address, while there are any."""

    def __init__(self) -> None:
        self._counts: dict[int | str, int] = {}

    def enter(self, key: int | str, limit: int) -> None:
        """Count one more. Raises `ApiError` `rate_limited` when there are `limit` already."""
        count = self._counts.get(key, 0)
        if count >= limit:
            detail = f"More than {limit} requests, long polls and streams at the same time."
            raise ApiError("rate_limited", detail, retry_after=1)
        self._counts[key] = count + 1

    def leave(self, key: int | str) -> None:
        """Undo one `enter`."""
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]
