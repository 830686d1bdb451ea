"""A log can be followed from any event that it still has, and from the last one that was dropped."""

from __future__ import annotations

import pytest

from duologue.core.positions import Position, check_position
from duologue.errors import ApiError
from duologue.storage.tables.events import LogHead

FLOOR, LAST = 5, 9


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (0, "events_expired"),
        (FLOOR - 1, "events_expired"),
        (FLOOR, ""),
        (LAST, ""),
        (LAST + 1, "seq_out_of_range"),
    ],
)
def test_a_position_is_refused_below_what_is_kept_and_beyond_the_end(after: int, code: str) -> None:
    head = LogHead(last_seq=LAST, floor=FLOOR, acked=0, last_at=0, asked_at=0)
    if not code:
        check_position(head, Position(after))
        return
    with pytest.raises(ApiError) as refused:
        check_position(head, Position(after))
    assert refused.value.code == code
