"""The waiting list of the store: an answer in time, in the order of the queue, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from duologue.errors import ApiError
from duologue.storage.database import Unit
from duologue.storage.engine import waiting
from duologue.storage.engine.waiting import PATIENCE, Waiting

EVERY = 0.25
"""Seconds between sweeps."""


class Hand:
    """A clock and the one timer of an event loop, both turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sweep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def call_later(self, _delay: float, sweep: Callable[[], None]) -> object:
        self.sweep = sweep
        return self

    def pass_by(self, seconds: float) -> None:
        for _ in range(round(seconds / EVERY)):
            self.now += EVERY
            self.sweep()


class Answers:
    """Units with their numbers, and the answers that they were given."""

    def __init__(self) -> None:
        self.given: dict[int, Any] = {}

    def unit(self, number: int) -> Unit:
        return Unit(number, lambda result: self.given.setdefault(number, result))

    @property
    def overloaded(self) -> list[int]:
        return [
            number
            for number, answer in self.given.items()
            if isinstance(answer, ApiError) and answer.code == "overloaded"
        ]


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(waiting, "time", hand)
    return hand


def started(hand: Hand) -> Waiting:
    waits = Waiting()
    waits.start(cast("asyncio.AbstractEventLoop", hand))
    return waits


def test_each_is_answered_in_its_own_time(hand: Hand) -> None:
    waits, answers = started(hand), Answers()
    for number in range(4):
        waits.add(answers.unit(number))
        hand.pass_by(1)
    hand.pass_by(PATIENCE - 4 - EVERY)
    assert answers.overloaded == []
    for number in range(4):
        hand.pass_by(EVERY)
        assert answers.overloaded == list(range(number + 1))
        hand.pass_by(1 - EVERY)


def test_whoever_was_answered_does_not_shorten_the_wait_of_others(hand: Hand) -> None:
    waits, answers = started(hand), Answers()
    units = [answers.unit(number) for number in range(6)]
    for unit in units[:3]:
        waits.add(unit)
    hand.pass_by(3)
    for unit in units[3:]:
        waits.add(unit)
    # Of several threads that take them from a queue, one may be slower than the next.
    for unit in (units[1], units[0], units[4]):
        unit.result = "stored"
        waits.settle([unit])
    hand.pass_by(2)
    assert answers.overloaded == [2]
    hand.pass_by(3)
    assert answers.overloaded == [2, 3, 5]
    assert {answers.given[number] for number in (0, 1, 4)} == {"stored"}


def test_one_that_was_answered_is_answered_once(hand: Hand) -> None:
    waits, answers = started(hand), Answers()
    unit = answers.unit(0)
    waits.add(unit)
    hand.pass_by(PATIENCE)
    unit.result = "stored after all"
    waits.settle([unit])
    assert answers.overloaded == [0]
