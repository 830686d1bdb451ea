"""A node's clock: it doesn't follow a jump that doesn't last, and nothing ends because of one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.clock import DAY, DOUBT, HOLD, HOUR, MINUTE, PLAUSIBLE, SECOND, SteadyClock

NOON = 1_800_000_000_000


class Machine:
    """A machine with a wall clock that can be set, one that can't, and a store that was last used at noon."""

    def __init__(self, ahead: int = 0, start: int | None = NOON, store: int | None = None) -> None:
        self.passed = 0
        self.ahead = ahead
        self.asleep = 0
        self.clock = SteadyClock(
            lambda: NOON + self.passed + self.ahead,
            lambda: (5_000_000 + self.passed - self.asleep) * 1_000_000,
            lambda: 7_000 + self.asleep,
        )
        if start is not None:
            self.clock.start(start, store)

    def pass_by(self, ms: int, every: int = SECOND) -> None:
        """Time passes, and the node looks at its clock."""
        for _ in range(0, ms, every):
            self.passed += every
            self.clock.look()

    @property
    def wrong(self) -> int:
        """By how much (ms) the node's time is off."""
        return self.clock() - NOON - self.passed

    @property
    def lag(self) -> int:
        """By how much (ms) the settled time is behind the node's."""
        return self.clock() - self.clock.settled()


@pytest.mark.parametrize("days", [40, -40, 0.01])
def test_a_jump_that_does_not_last_is_said_and_not_followed(days: float) -> None:
    machine = Machine()
    machine.ahead = int(days * DAY)
    machine.pass_by(5 * SECOND)
    assert (machine.wrong, machine.lag) == (0, 0)
    assert "has jumped" in machine.clock.amiss
    machine.ahead = 0
    machine.pass_by(SECOND)
    assert (machine.wrong, machine.lag, machine.clock.amiss) == (0, 0, "")


def test_a_jump_that_lasts_is_followed_and_ages_only_slowly() -> None:
    machine = Machine()
    machine.ahead = 40 * DAY
    machine.pass_by(HOLD + 2 * SECOND)
    assert (machine.wrong, machine.lag) == (40 * DAY, 40 * DAY)
    assert "has moved 40 days ahead" in machine.clock.amiss
    machine.pass_by(DOUBT, MINUTE)
    assert (machine.lag, machine.clock.amiss) == (40 * DAY, "")
    machine.pass_by(HOUR, MINUTE)
    assert 39 * DAY <= machine.lag <= 39 * DAY + HOUR
    machine.pass_by(42 * HOUR, MINUTE)
    assert (machine.lag, machine.wrong) == (0, 40 * DAY)


def test_a_clock_that_comes_back_to_what_was_right_is_followed_at_once() -> None:
    machine = Machine()
    machine.ahead = 40 * DAY
    machine.pass_by(HOLD + MINUTE)
    machine.ahead = 0
    machine.pass_by(SECOND)
    assert (machine.wrong, machine.lag, machine.clock.amiss) == (0, 0, "")


@pytest.mark.parametrize("days", [-40, -0.01])
def test_a_jump_back_that_lasts_is_followed_too(days: float) -> None:
    machine = Machine()
    machine.ahead = int(days * DAY)
    machine.pass_by(HOLD + 2 * SECOND)
    assert machine.wrong == machine.ahead
    assert machine.lag == 0


@given(st.lists(st.integers(-4 * SECOND, 4 * SECOND), max_size=20))
def test_small_corrections_are_followed_at_once(steps: list[int]) -> None:
    machine = Machine()
    for step in steps:
        machine.ahead += step
        machine.pass_by(SECOND)
        assert machine.wrong == machine.ahead
        assert machine.lag <= 4 * SECOND


def test_between_two_looks_no_reading_sees_a_jump() -> None:
    machine = Machine()
    machine.ahead = 40 * DAY
    assert machine.wrong == 0


def test_a_start_far_ahead_of_the_store_lets_nothing_end() -> None:
    machine = Machine(ahead=100 * DAY)
    assert (machine.wrong, machine.lag) == (100 * DAY, 100 * DAY)
    assert "has moved 100 days ahead" in machine.clock.amiss
    machine.pass_by(MINUTE)
    assert machine.clock.settled() == NOON + machine.passed
    machine.ahead = 0
    machine.pass_by(SECOND)
    assert (machine.wrong, machine.lag, machine.clock.amiss) == (0, 0, "")


def test_a_server_that_was_off_for_a_hundred_days_recovers_by_itself() -> None:
    machine = Machine(start=NOON - 100 * DAY)
    assert machine.wrong == 0
    machine.pass_by(DOUBT + 106 * HOUR, MINUTE)
    assert (machine.wrong, machine.lag, machine.clock.amiss) == (0, 0, "")


def test_a_server_that_was_off_for_some_days_is_not_doubted() -> None:
    machine = Machine(start=NOON - PLAUSIBLE)
    assert (machine.wrong, machine.clock.amiss) == (0, "")
    machine.pass_by(8 * HOUR, MINUTE)
    assert machine.lag == 0


def test_a_start_behind_the_store_goes_on_where_the_store_was() -> None:
    machine = Machine(ahead=-40 * DAY)
    assert (machine.wrong, machine.lag) == (0, 0)
    assert "has jumped 40 days back" in machine.clock.amiss
    machine.ahead = 0
    machine.pass_by(SECOND)
    assert (machine.wrong, machine.clock.amiss) == (0, "")


def test_restarts_with_a_wrong_clock_let_no_more_end_than_the_time_that_passed() -> None:
    settled = NOON
    for _ in range(20):
        machine = Machine(ahead=100 * DAY, start=settled)
        machine.pass_by(5 * MINUTE, MINUTE)
        settled = machine.clock.settled()
    assert settled == NOON + 100 * MINUTE


@pytest.mark.parametrize("days", [100, -100])
def test_at_the_start_the_stores_own_clock_is_believed_against_the_machines(days: int) -> None:
    machine = Machine(ahead=days * DAY, store=NOON)
    assert (machine.wrong, machine.lag) == (0, 0)
    for _ in range(30):
        machine.pass_by(MINUTE, MINUTE)
        machine.clock.compare(NOON + machine.passed)
    assert (machine.wrong, machine.lag) == (0, 0)
    assert "has jumped" in machine.clock.amiss


def test_a_correction_that_the_stores_clock_confirms_is_followed_at_once() -> None:
    machine = Machine(ahead=3 * DAY)
    machine.pass_by(MINUTE)
    machine.ahead = 0
    machine.pass_by(SECOND)
    machine.clock.compare(NOON + machine.passed)
    assert (machine.wrong, machine.clock.amiss) == (0, "")


def test_as_long_as_two_clocks_contradict_each_other_nothing_ends_faster_than_time_passes() -> None:
    machine = Machine()
    machine.clock.compare(NOON - 3 * HOUR)
    assert "store's clock is 3 hours back" in machine.clock.amiss
    assert machine.clock.doubtful
    machine.clock.compare(NOON)
    assert machine.clock.amiss == ""


def test_a_machine_that_slept_has_no_wrong_clock() -> None:
    machine = Machine()
    machine.passed += 20 * DAY
    machine.asleep += 20 * DAY
    machine.pass_by(SECOND)
    assert (machine.wrong, machine.clock.amiss) == (0, "")
    machine.pass_by(DAY, MINUTE)
    assert machine.lag == 0


def test_a_new_store_knows_no_time() -> None:
    machine = Machine(start=None)
    machine.pass_by(MINUTE)
    assert (machine.wrong, machine.lag, machine.clock.amiss) == (0, 0, "")
