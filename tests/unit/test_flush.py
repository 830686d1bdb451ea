"""Writing down in parts."""

from __future__ import annotations

import pytest

from duologue.core.flush import in_steps


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1_000, 10_001])
def test_each_is_in_one_part_and_none_is_long(count: int) -> None:
    items = {number: str(number) for number in range(count)}
    parts = list(in_steps(items))
    assert [item for part in parts for item in part.items()] == list(items.items())
    assert all(1 <= len(part) <= 500 for part in parts)
