"""Handling of frames: in their order, a slice at a time, and no faster than limits allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from duologue.core.limits import FRAME_BURST, FRAMES_PER_SECOND, MAX_IN_FLIGHT
from duologue.core.rates import ADDRESS_FRAMES, FRAMES, Rates
from duologue.socket.budget import BEFORE_HELLO, FrameBudget
from duologue.socket.intake import BACKLOG, MAX_BYTES_IN_FLIGHT, REFUSALS, SLICE, Intake

pytestmark = pytest.mark.anyio


class Both:
    """The two ends of an intake: reads when it may, writes down what is handled."""

    def __init__(self, budget: FrameBudget | None = None, *, rest: float = 0.25) -> None:
        self.handled: list[bytes] = []
        self.reading = True
        self.intake = Intake(self, self, budget or signed_in(), rest=rest)

    def handle(self, payload: bytes, *, binary: bool) -> None:
        assert binary is payload.startswith(b"b")
        self.handled.append(payload)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def read(self, *payloads: bytes) -> None:
        """One read of the network that brings all of these."""
        for payload in payloads:
            self.intake.receive(payload, binary=payload.startswith(b"b"))
        self.intake.read_end()


class Hand:
    """A clock that is moved by hand, in seconds."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def signed_in(
    user_id: int = 1,
    rates: Rates | None = None,
    *,
    limited: bool = True,
    clock: Callable[[], float] | None = None,
) -> FrameBudget:
    budget = FrameBudget(rates or Rates(limited=True), "192.0.2.0/24", limited=limited, clock=clock)
    budget.signed_in(user_id)
    return budget


def spent(budget: FrameBudget, most: int = 100_000) -> int:
    """Return the number of frames that are within the limit now."""
    return next((count for count in range(most) if not budget.spend()), most)


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def turns(count: int = 1) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_frame_is_handled_when_it_comes() -> None:
    ends = Both()
    ends.read(b"a", b"b")
    assert ends.handled == [b"a", b"b"]


async def test_each_read_has_a_slice_of_its_own() -> None:
    ends = Both()
    for _ in range(3):
        ends.read(*numbered(SLICE))
    assert len(ends.handled) == 3 * SLICE


async def test_a_large_read_is_handled_a_slice_at_a_time_and_in_order() -> None:
    ends = Both()
    ends.read(*numbered(1_000))
    assert len(ends.handled) == SLICE
    assert not ends.reading
    await turns(1)
    assert len(ends.handled) == 2 * SLICE, "others had their turn in between"
    await turns(20)
    assert ends.handled == numbered(1_000)
    assert ends.reading


async def test_what_comes_while_a_frame_waits_waits_behind_it() -> None:
    ends = Both()
    ends.intake.hold()
    ends.read(b"1", b"2")
    ends.read(b"3")
    await turns()
    assert ends.handled == []
    assert ends.reading, "a few may wait"
    ends.read(*numbered(BACKLOG))
    assert not ends.reading, "but not any number"
    ends.intake.release()
    await turns(5)
    assert ends.handled == [b"1", b"2", b"3", *numbered(BACKLOG)]
    assert ends.reading


async def test_a_handler_may_hold_the_rest_of_a_read() -> None:
    class Slow(Both):
        def handle(self, payload: bytes, *, binary: bool) -> None:
            super().handle(payload, binary=binary)
            self.intake.hold()

    ends = Slow()
    ends.read(*numbered(3))
    for count in (1, 2, 3):
        await turns(2)
        assert ends.handled == numbered(count)
        ends.intake.release()


@pytest.mark.parametrize(
    ("count", "size"), [(MAX_IN_FLIGHT, 1), (MAX_BYTES_IN_FLIGHT // 4096, 4096)], ids=["many", "long"]
)
async def test_no_more_than_a_bounded_amount_is_in_flight(count: int, size: int) -> None:
    class Launching(Both):
        def handle(self, payload: bytes, *, binary: bool) -> None:
            super().handle(payload, binary=binary)
            self.intake.operation_started(size)

    ends = Launching()
    ends.read(*numbered(count + 10))
    await turns(10)
    assert len(ends.handled) == count
    assert not ends.reading
    assert not ends.intake.idle
    for answered in range(1, 11):
        ends.intake.operation_finished(size)
        await turns(2)
        assert len(ends.handled) == count + answered
    for _ in range(count):
        ends.intake.operation_finished(size)
    assert ends.reading
    assert ends.intake.idle


async def test_a_client_that_takes_no_answers_is_not_read() -> None:
    ends = Both()
    ends.intake.apply_backpressure()
    assert not ends.reading
    ends.read(b"1")
    assert ends.handled == []
    ends.intake.release_backpressure()
    assert ends.handled == [b"1"]
    assert ends.reading


async def test_a_burst_is_within_the_limit_and_then_so_many_a_second() -> None:
    hand = Hand()
    budget = signed_in(rates=Rates(limited=False), clock=hand)
    assert FRAME_BURST <= spent(budget) <= FRAME_BURST + 5
    hand.now += 0.5
    assert FRAMES_PER_SECOND // 2 <= spent(budget) <= FRAMES_PER_SECOND // 2 + 5
    hand.now += 3_600
    assert FRAME_BURST <= spent(budget) <= FRAME_BURST + 5


async def test_a_socket_has_few_frames_before_its_hello_even_without_limits() -> None:
    hand = Hand()
    budget = FrameBudget(Rates(limited=False), "192.0.2.0/24", limited=False, clock=hand)
    assert spent(budget) == BEFORE_HELLO
    hand.now += 1.0
    assert spent(budget) == 1
    budget.signed_in(1)
    assert spent(budget, most=10 * FRAME_BURST) == 10 * FRAME_BURST


async def test_the_sockets_of_a_user_share_a_limit() -> None:
    rates = Rates(limited=True)
    budgets = [signed_in(1, rates) for _ in range(20)]
    assert sum(map(spent, budgets)) <= FRAMES.burst + 20
    assert spent(signed_in(2, rates)) >= FRAME_BURST


async def test_the_users_of_an_address_share_a_limit() -> None:
    rates = Rates(limited=True)
    budgets = [signed_in(user_id, rates) for user_id in range(30)]
    assert sum(map(spent, budgets)) <= ADDRESS_FRAMES.burst + 500


async def test_a_flood_of_control_frames_is_paid_for_before_more_is_read() -> None:
    ends = Both(rest=0.01)
    assert sum(ends.intake.control() for _ in range(FRAME_BURST + 40)) <= FRAME_BURST + 5
    assert not ends.reading
    await asyncio.sleep(0.05)
    assert not ends.reading, "forty frames are a fifth of a second"
    async with asyncio.timeout(5):
        while not ends.reading:
            await asyncio.sleep(0.01)
    assert ends.intake.control()


async def test_the_longest_that_a_flood_is_paid_for_is_bounded() -> None:
    ends = Both()
    for _ in range(100_000):
        ends.intake.control()
    assert ends.intake.budget.wait() <= 11


async def test_a_client_that_is_refused_again_and_again_is_not_read_for_a_while() -> None:
    ends = Both(rest=0.02)
    spent(ends.intake.budget)
    for _ in range(REFUSALS):
        assert ends.reading
        assert 0 < ends.intake.refused() <= 2 / FRAMES_PER_SECOND
    assert not ends.reading
    ends.read(b"later")
    await turns(3)
    assert ends.handled == []
    await asyncio.sleep(0.05)
    assert ends.handled == [b"later"]
    assert ends.reading


async def test_what_waits_can_be_dropped() -> None:
    ends = Both()
    ends.intake.hold()
    ends.read(b"1", b"2")
    ends.intake.drop()
    ends.intake.release()
    await turns(2)
    assert ends.handled == []
    ends.read(b"3")
    assert ends.handled == [b"3"]


async def test_after_a_stop_nothing_is_read_or_handled() -> None:
    ends = Both()
    ends.read(*numbered(2 * SLICE))
    ends.intake.operation_started(MAX_BYTES_IN_FLIGHT)
    ends.intake.stop()
    ends.intake.operation_finished(MAX_BYTES_IN_FLIGHT)
    await turns(5)
    assert len(ends.handled) == SLICE
    assert not ends.reading
    assert ends.intake.idle
