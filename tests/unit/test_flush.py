"""Writing down in parts."""

from __future__ import annotations

import pytest

from duologue.core.flush import in_steps

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1_000, 10_001])
async def test_each_is_in_one_part_and_none_is_long(count: int) -> None:
    before = {number: str(number) for number in range(count)}
    items = dict(before)
    parts = [part async for part in in_steps(items, 0)]
    assert [item for part in parts for item in part.items()] == list(before.items())
    assert all(1 <= len(part) <= 200 for part in parts)
    assert not items


async def test_what_was_not_taken_yet_stays() -> None:
    """A flush that is stopped, or refused, half-way through loses at most the items under way."""
    items = dict.fromkeys(range(500), "")
    async for part in in_steps(items, 0):
        assert list(part) == list(range(200))
        break
    assert list(items) == list(range(200, 500))


async def test_what_comes_meanwhile_is_left_for_the_next_time() -> None:
    items = dict.fromkeys(range(250), "")
    seen = 0
    async for part in in_steps(items, 0.001):
        seen += len(part)
        items |= dict.fromkeys(range(1_000 + seen, 2_000 + seen), "")
    assert seen == 400
