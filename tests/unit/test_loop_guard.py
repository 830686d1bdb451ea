"""Number of answers between two phones that go on in a given time."""

from __future__ import annotations

import pytest

from duologue.clock import DAY, HOUR, MINUTE
from duologue.core.loop_guard import BOUNDS, LOOKS_BACK, pause_after

NOW = 1_800_000_000_000


def test_three_a_minute_go_and_the_next_waits_until_the_first_is_a_minute_old() -> None:
    sent = [NOW - 50_000, NOW - 20_000]
    assert pause_after(sent, NOW) is None
    assert pause_after([*sent, NOW], NOW) == NOW + 10_000
    assert pause_after([*sent, NOW], NOW + 10_000) is None


@pytest.mark.parametrize(("most", "span"), BOUNDS)
def test_no_span_has_more_than_its_bound(most: int, span: int) -> None:
    sent: list[int] = []
    now = NOW
    while now < NOW + 2 * span:
        now = pause_after(sent, now) or now
        sent.append(now)
    for at in sent:
        assert len([each for each in sent if at <= each < at + span]) <= most


def test_the_longest_span_is_how_far_it_looks_back() -> None:
    assert max(span for _, span in BOUNDS) == LOOKS_BACK
    assert [most for most, span in BOUNDS if span == MINUTE] == [3]
    assert {span for _, span in BOUNDS} == {MINUTE, HOUR, DAY}
