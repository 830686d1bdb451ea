"""Pages end early rather than grow, lose nothing, and are never empty while there is more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.core import pages
from duologue.core.pages import fill


@given(
    st.lists(st.integers(1, 50), max_size=450),
    st.integers(1, 300),
    st.integers(1, 2_000),
)
def test_pages_together_hold_every_item_once_and_each_is_within_its_bounds(
    sizes: list[int], limit: int, budget: int
) -> None:
    items = list(enumerate(sizes, start=1))
    most = 0

    def read(position: int, count: int) -> list[tuple[int, int]]:
        nonlocal most
        most = max(most, count)
        return items[position : position + count]

    walked: list[tuple[int, int]] = []
    ended = False
    while not ended:
        position = walked[-1][0] if walked else 0
        page, ended = fill(read, lambda item: item[1], lambda item: item[0], position, limit, budget)
        assert len(page) <= limit
        assert len(page) <= 1 or sum(size for _, size in page) <= budget
        assert page or ended, "an empty page says that there is nothing more"
        walked += page
    assert walked == items
    assert most <= pages.STEP
