"""Quotas: how much of an allowance was used within a window, common to all nodes and kept across restarts.

A window that ends later than one that begins now was begun by a clock that was ahead. It counts as over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from duologue.clock import SLACK
from duologue.storage.database import Tx

_PURGE: Final = 1_000  # rows


class Quota(msgspec.Struct, frozen=True, gc=False):
    """At most `limit` of something under `key` in any `window` (ms); this use costs `cost`."""

    key: str
    limit: int
    window: int
    cost: int = 1


class Pace(msgspec.Struct, frozen=True, gc=False):
    """A purse under `key` that refills evenly; this use takes what refills in `cost` (ms).

    At most what refills in `ahead` (ms) can be taken at once; a use that takes more needs a full purse. All that is
    kept of a purse is the time at which it will be full again, and, as `used`, the time of the last use.
    """

    key: str
    cost: int
    ahead: int


Allowance = Quota | Pace


class Short(msgspec.Struct, frozen=True, gc=False):
    """The allowance that stands in the way, and until when (epoch ms)."""

    allowance: Allowance
    until: int


class QuotaExceeded(Exception):
    """One of the quotas would be overdrawn; until `ends_at` (epoch ms) it stays so."""

    def __init__(self, quota: Quota, ends_at: int) -> None:
        self.quota = quota
        self.ends_at = ends_at
        super().__init__(quota.key)


def take(tx: Tx, quotas: Sequence[Quota], now: int) -> None:
    """Use all of these, or none: raises `QuotaExceeded`, which undoes the whole transaction."""
    # In one order everywhere, so that two transactions can't wait for each other.
    for quota in sorted(quotas, key=lambda quota: quota.key):
        used, ends_at = add(tx, quota.key, quota.cost, quota.window, now)
        if used > quota.limit:
            raise QuotaExceeded(quota, ends_at)


def try_take(tx: Tx, allowances: Sequence[Allowance], now: int) -> Short | None:
    """Use all of these; or none, and say which one stands in the way."""
    taken = []
    for each in sorted(allowances, key=lambda each: each.key):
        taken.append(each)
        until = _use(tx, each, now)
        if until is not None:
            give_back(tx, taken, now)
            return Short(each, until)
    return None


def _use(tx: Tx, allowance: Allowance, now: int) -> int | None:
    """Use an allowance; if that was too much, return when (epoch ms) it won't be any more."""
    if isinstance(allowance, Quota):
        total, ends_at = add(tx, allowance.key, allowance.cost, allowance.window, now)
        return ends_at if total > allowance.limit else None
    fits_at = _draw(tx, allowance, now) - max(allowance.ahead, allowance.cost)
    return fits_at if fits_at > now else None


def _draw(tx: Tx, pace: Pace, now: int) -> int:
    """Take from a purse; return when (epoch ms) it will be full again."""
    row = tx.one(
        "INSERT INTO quotas (key, ends_at, used) VALUES (:key, :full_at, :now) ON CONFLICT (key) DO UPDATE SET"
        " ends_at = CASE WHEN quotas.ends_at <= :now OR quotas.used > :latest THEN :full_at"
        " ELSE quotas.ends_at + :cost END, used = :now"
        " RETURNING ends_at",
        key=pace.key,
        full_at=now + pace.cost,
        cost=pace.cost,
        now=now,
        latest=now + SLACK,
    )
    assert row is not None
    return int(row[0])


def add(tx: Tx, key: str, cost: int, window: int, now: int) -> tuple[int, int]:
    """Count a use, in a new window if the last one is over; what is used in it then, and when it ends."""
    row = tx.one(
        "INSERT INTO quotas (key, ends_at, used) VALUES (:key, :ends_at, :cost) ON CONFLICT (key) DO UPDATE SET"
        " used = CASE WHEN quotas.ends_at > :now AND quotas.ends_at <= :latest THEN quotas.used + :cost"
        " ELSE :cost END,"
        " ends_at = CASE WHEN quotas.ends_at > :now AND quotas.ends_at <= :latest THEN quotas.ends_at"
        " ELSE :ends_at END"
        " RETURNING used, ends_at",
        key=key,
        ends_at=now + window,
        cost=cost,
        now=now,
        latest=now + window + SLACK,
    )
    assert row is not None
    return row[0], row[1]


def give_back(tx: Tx, allowances: Sequence[Allowance], now: int) -> None:
    """Undo uses that came to nothing, as far as their window still lasts."""
    for quota in sorted(allowances, key=lambda each: each.key):
        if isinstance(quota, Pace):
            tx.run(
                "UPDATE quotas SET ends_at = ends_at - :cost WHERE key = :key AND ends_at > :now",
                cost=quota.cost,
                key=quota.key,
                now=now,
            )
            continue
        tx.run(
            "UPDATE quotas SET used = used - :cost WHERE key = :key AND ends_at > :now AND used >= :cost",
            cost=quota.cost,
            key=quota.key,
            now=now,
        )


def remember(tx: Tx, key: str, until: int) -> None:
    """Have something `used` until then; a later call moves the end."""
    tx.run(
        "INSERT INTO quotas (key, ends_at, used) VALUES (:key, :until, 1)"
        " ON CONFLICT (key) DO UPDATE SET ends_at = :until",
        key=key,
        until=until,
    )


def used(tx: Tx, key: str, window: int, now: int) -> tuple[int, int]:
    """Return the amount used in the present window, and the window's end (epoch ms); zeros if there is none."""
    row = tx.one(
        "SELECT used, ends_at FROM quotas WHERE key = :key AND ends_at > :now AND ends_at <= :latest",
        key=key,
        now=now,
        latest=now + window + SLACK,
    )
    return (row[0], row[1]) if row else (0, now)


def lacks(tx: Tx, key: str, now: int) -> int:
    """In how many ms a purse will be full."""
    row = tx.one(
        "SELECT ends_at FROM quotas WHERE key = :key AND ends_at > :now AND used <= :latest",
        key=key,
        now=now,
        latest=now + SLACK,
    )
    return row[0] - now if row else 0


def purge_quotas(tx: Tx, now: int) -> int:
    """Forget windows that are over, a step at a time; how many went."""
    # Said twice, or PostgreSQL would delete one that somebody has begun anew since it was looked up.
    return tx.run(
        "DELETE FROM quotas WHERE ends_at <= :now"
        " AND key IN (SELECT key FROM quotas WHERE ends_at <= :now ORDER BY ends_at LIMIT :step)",
        now=now,
        step=_PURGE,
    )
