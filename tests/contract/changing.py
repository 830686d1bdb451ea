"""Helpers of the tests of edits, deletions and reactions: their callers, refusals, and the audit of what is left."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.storage.audit.audit import audit
from duologue.storage.audit.snapshot import snapshot
from tests.contract.store import Store
from tests.contract.truth import assert_sound


def caller(user_id: int) -> Caller:
    return Caller(user_id, 1)


def assert_audited(store: Store) -> None:
    """Both our own audit and the tests' second one find the store sound."""
    with snapshot(store.url) as tx:
        report = audit(tx)
    assert report.sound, report.findings
    assert_sound(store.url)


async def refused(change: Awaitable[object]) -> str:
    """Return the code with which a change is refused."""
    with pytest.raises(ApiError) as refusal:
        await change
    return refusal.value.code
