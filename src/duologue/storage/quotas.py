"""Quotas: how much of an allowance was used within a window, common to all nodes and kept across restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from duologue.storage.database import Tx

_PURGE: Final = 1_000


class Quota(msgspec.Struct, frozen=True, gc=False):
    """At most `limit` of something under `key` in any `window` (ms); this use costs `cost`."""

    key: str
    limit: int
    window: int
    cost: int = 1


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


def try_take(tx: Tx, quotas: Sequence[Quota], now: int) -> Quota | None:
    """Use all of these; or none, and say which one stands in the way."""
    taken = []
    for quota in sorted(quotas, key=lambda quota: quota.key):
        taken.append(quota)
        if add(tx, quota.key, quota.cost, quota.window, now)[0] > quota.limit:
            give_back(tx, taken, now)
            return quota
    return None


def add(tx: Tx, key: str, cost: int, window: int, now: int) -> tuple[int, int]:
    """Count a use, in a new window if the last one is over; what is used in it then, and when it ends."""
    row = tx.one(
        "INSERT INTO quotas (key, ends_at, used) VALUES (:key, :ends_at, :cost) ON CONFLICT (key) DO UPDATE SET"
        " used = CASE WHEN quotas.ends_at <= :now THEN :cost ELSE quotas.used + :cost END,"
        " ends_at = CASE WHEN quotas.ends_at <= :now THEN :ends_at ELSE quotas.ends_at END"
        " RETURNING used, ends_at",
        key=key,
        ends_at=now + window,
        cost=cost,
        now=now,
    )
    assert row is not None
    return row[0], row[1]


def give_back(tx: Tx, quotas: Sequence[Quota], now: int) -> None:
    """Undo uses that came to nothing, as far as their window still lasts."""
    for quota in sorted(quotas, key=lambda quota: quota.key):
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


def used(tx: Tx, key: str, now: int) -> tuple[int, int]:
    """What is used in the present window, and when it ends; nothing if there is none."""
    row = tx.one("SELECT used, ends_at FROM quotas WHERE key = :key AND ends_at > :now", key=key, now=now)
    return (row[0], row[1]) if row else (0, now)


def purge_quotas(tx: Tx, now: int) -> int:
    """Forget windows that are over, a step at a time; how many went."""
    # Said twice, or PostgreSQL would delete one that somebody has begun anew since it was looked up.
    return tx.run(
        "DELETE FROM quotas WHERE ends_at <= :now"
        " AND key IN (SELECT key FROM quotas WHERE ends_at <= :now ORDER BY ends_at LIMIT :step)",
        now=now,
        step=_PURGE,
    )
