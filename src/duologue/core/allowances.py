"""Allowances that are used up: the answer to who wants more."""

from __future__ import annotations

from duologue.clock import SECOND
from duologue.errors import ApiError, RatePolicy
from duologue.storage.tables.quotas import QuotaExceeded


def used_up(fault: QuotaExceeded, policy: RatePolicy, detail: str, now: int) -> ApiError:
    """`rate_limited` until the window of the quota ends, with the policy that it counts for."""
    return ApiError("rate_limited", detail, retry_after=(fault.ends_at - now) / SECOND, policy=policy)
