"""Rates: no user and no address gets more than its limit, in bounded memory; and every route and frame has one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, get
from litestar.routes import HTTPRoute

from duologue.app.node import Node
from duologue.config import Settings
from duologue.core import rates as module
from duologue.core.rates import POLICIES, READ, SIGN_IN, Buckets, InFlight, Rates
from duologue.errors import ApiError, RatePolicy
from duologue.http.rates import PUBLIC, check_rated, policies

KEYS = st.one_of(st.integers(0, 5), st.sampled_from(["192.0.2.0/24", "2001:db8::/48"]))
POLICY = RatePolicy("test", 20, 10, burst=5)
STEPS = st.lists(st.tuples(st.floats(0, 8), KEYS, st.integers(1, POLICY.burst)), max_size=150)


class Clock:
    """A clock that is set by hand, to seconds."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def most_in_window(uses: Sequence[tuple[float, int]], window: float) -> int:
    """The most that was used in any span of so many seconds."""
    return max(
        (sum(cost for at, cost in uses if start <= at <= start + window) for start, _ in uses), default=0
    )


@given(STEPS, st.sampled_from([0.1, 1.0, 10.0]))
def test_no_window_holds_more_than_the_burst_and_what_it_earns(
    steps: list[tuple[float, int | str, int]], window: float
) -> None:
    buckets, now = Buckets(POLICY), 1_000.0
    used: dict[int | str, list[tuple[float, int]]] = {}
    for pause, key, cost in steps:
        now += pause / 20
        if not buckets.take(key, now, cost).wait:
            used.setdefault(key, []).append((now, cost))
    earned = POLICY.quota * window / POLICY.window
    for uses in used.values():
        assert most_in_window(uses, window) <= POLICY.burst + math.ceil(earned)


@given(STEPS)
def test_a_key_is_treated_as_if_no_other_were_there_and_nothing_were_forgotten(
    steps: list[tuple[float, int | str, int]],
) -> None:
    buckets, now = Buckets(POLICY), 1_000.0
    tokens: dict[int | str, tuple[float, float]] = {}
    for pause, key, cost in steps:
        now += pause
        left, at = tokens.get(key, (POLICY.burst, now))
        left = min(POLICY.burst, left + (now - at) * POLICY.quota / POLICY.window)
        bucket = buckets.take(key, now, cost)
        if abs(left - cost) > 1e-3:
            assert bool(bucket.wait) == (left < cost)
        if not bucket.wait:
            left -= cost
        assert abs(bucket.remaining - left) < 1.001
        tokens[key] = left, now


@given(STEPS)
def test_a_grant_is_what_there_was(steps: list[tuple[float, int | str, int]]) -> None:
    granting, taking, now = Buckets(POLICY), Buckets(POLICY), 1_000.0
    for pause, key, wanted in steps:
        now += pause
        granted = granting.grant(key, now, wanted)
        singly = sum(not taking.take(key, now).wait for _ in range(wanted))
        assert granted == singly


def test_what_is_refused_is_there_after_the_wait_and_not_before() -> None:
    buckets = Buckets(POLICY)
    assert not buckets.take("a", 1_000.0, POLICY.burst).wait
    wait = buckets.take("a", 1_000.0, 2).wait
    assert wait == pytest.approx(1.0, abs=1e-3)
    assert buckets.take("a", 1_000.0 + wait * 0.99, 2).wait
    assert not buckets.take("a", 1_000.0 + wait, 2).wait


def test_memory_is_bounded_and_those_with_a_bucket_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 100)
    monkeypatch.setattr(module, "_CROWD", 1)
    buckets, now = Buckets(POLICY), 1_000.0
    assert not buckets.take("regular", now).wait
    for number in range(1_000):
        buckets.take(number, now)
    assert len(buckets) == 100
    assert buckets.take("a newcomer", now).wait, "newcomers share what they have"
    assert not buckets.take("regular", now).wait, "others don't"


def test_nobody_gains_by_being_pushed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 10)
    buckets, now = Buckets(POLICY), 1_000.0
    fill = POLICY.burst * POLICY.window / POLICY.quota
    assert not buckets.take("greedy", now, POLICY.burst).wait
    taken = 0
    for step in range(200):
        now += fill / 100
        for number in range(20):
            buckets.take(f"{step}-{number}", now)
        taken += not buckets.take("greedy", now).wait
    assert taken <= POLICY.burst * 2 + 1, "what twice the time to fill earns"


def test_a_policy_that_is_not_counted_lets_everything_pass() -> None:
    free = Rates(limited=False, always=[SIGN_IN])
    for _ in range(2 * READ.burst):
        assert free.take(READ, 1) is None
    assert free.grant(READ, 1, 1_000) == 1_000
    assert all(free.take(SIGN_IN, "192.0.2.0/24") for _ in range(SIGN_IN.burst))
    with pytest.raises(ApiError, match="rate_limited"):
        free.take(SIGN_IN, "192.0.2.0/24", 100)


def test_a_refusal_names_the_limit_and_the_time_to_wait() -> None:
    clock = Clock()
    rates = Rates(limited=True, policies=[POLICY], clock=clock)
    for left in reversed(range(POLICY.burst)):
        bucket = rates.take(POLICY, 7)
        assert bucket
        assert bucket.remaining == left
    with pytest.raises(ApiError) as refused:
        rates.take(POLICY, 7)
    assert refused.value.policy is POLICY
    assert refused.value.retry_after == pytest.approx(0.5, abs=1e-3)
    clock.now += 0.5
    assert rates.take(POLICY, 7)


def test_no_more_than_so_many_are_in_flight() -> None:
    in_flight = InFlight()
    for _ in range(3):
        in_flight.enter("a", 3)
    with pytest.raises(ApiError, match="rate_limited"):
        in_flight.enter("a", 3)
    in_flight.enter("b", 3)
    in_flight.leave("a")
    in_flight.enter("a", 3)


def test_every_policy_has_a_name_of_its_own_and_allows_its_burst() -> None:
    assert len({policy.name for policy in POLICIES}) == len(POLICIES)
    assert all(policy.quota > 0 and policy.window > 0 and policy.burst > 0 for policy in POLICIES)


def test_every_route_has_a_rate_limit() -> None:
    app = Node(Settings(sign_in="open")).asgi()
    check_rated(app.routes)
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        for handler, _ in route.route_handler_map.values():
            expected = 1 if handler.opt["public"] else 2
            assert len(policies(handler)) >= expected, route.path


@pytest.mark.parametrize("opt", [{}, {"public": True}, {**PUBLIC, "public": False}])
def test_a_route_without_a_rate_limit_is_refused(opt: dict[str, object]) -> None:
    @get("/forgotten", opt=opt)
    async def forgotten() -> None: ...

    with pytest.raises(LookupError, match="forgotten"):
        check_rated(Litestar([forgotten], openapi_config=None, logging_config=None).routes)
