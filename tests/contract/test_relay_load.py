"""The relay under load: much for one person, and little for many."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.store import mark, post
from tests.support.relays import DELAY, World, another, world

pytestmark = pytest.mark.anyio


async def test_a_thousand_messages_to_somebody_offline_all_arrive_in_order(store_url: str) -> None:
    async with world(store_url) as people:
        await people.store.fill(people.pair, [people.pair.side_of(people.ana.id)] * 1000)
        people.clock.pass_by(DELAY)
        async with another(people) as other:
            await asyncio.gather(people.work(), other.work())
            await asyncio.gather(people.work(), other.work())
        numbers = [int(text.partition("text ")[2].split("\n")[0]) for text in people.carrier.texts()]
        assert numbers == list(range(1000))


async def test_thousands_of_alarms_for_what_was_acknowledged_are_dropped_together(store_url: str) -> None:
    async with world(store_url) as people:
        users = [await people.store.user() for _ in range(40)]
        pairs = [
            await people.store.pair_of(one, other) for one in users for other in users if one.id < other.id
        ]
        await people.store.together(*(post(pair, 0, "c1") for pair in pairs))
        await people.store.together(*(mark(pair, 1, delivered=1) for pair in pairs[:-1]))
        people.clock.pass_by(DELAY)
        assert await steps(people) <= 1 + len(pairs) // 500 + 1
        await people.work()
        assert len(people.carrier.phones) == 1, "the one that nobody acknowledged"


async def steps(people: World) -> int:
    """Return the number of transactions that it takes to see to all alarms that are due."""
    taken = 0
    while await people.answer():
        taken += 1
    return taken
