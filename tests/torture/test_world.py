"""Answers are judged by when something was said: after a restore nobody knows at once what the store still has."""

from __future__ import annotations

import time

import pytest

from duologue_lab.torture.history import History, OddEntry
from duologue_lab.torture.world import Attempt, World

pytestmark = pytest.mark.anyio

_HOUR = 3_600.0  # seconds


async def odd_answers(said_at: float, *, restored: bool) -> list[OddEntry]:
    """Return what the run finds odd if a mark that was said then is refused as beyond the chat."""
    history = History()
    world = World(["http://127.0.0.1:1"], history, 1)
    if restored:
        world.restored()
    number = world.attempt(Attempt(said_at=said_at))
    world.refused(number, "seq_out_of_range")
    await world.close()
    return [entry for entry in history.entries if isinstance(entry, OddEntry)]


async def test_a_mark_said_before_a_restore_may_be_refused_long_after_it() -> None:
    assert await odd_answers(time.monotonic() - 60, restored=True) == []


async def test_a_mark_said_long_after_a_restore_may_not_be_refused() -> None:
    assert len(await odd_answers(time.monotonic() + _HOUR, restored=True)) == 1


async def test_a_mark_may_not_be_refused_without_a_restore() -> None:
    assert len(await odd_answers(time.monotonic(), restored=False)) == 1
