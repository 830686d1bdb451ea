"""A node without a bus knows whether it is alone on its PostgreSQL, and looks at no log while it is."""

from __future__ import annotations

import asyncio
import time

import pytest

from duologue.core import neighbours as module
from duologue.core.neighbours import Neighbours
from tests.contract.store import Store

pytestmark = pytest.mark.anyio


async def is_alone(node: Neighbours) -> bool:
    began = time.monotonic()
    await node.look()
    return node.alone_as_of() >= began


async def test_another_node_is_seen_from_its_arrival_to_its_leaving(store: Store) -> None:
    one, other = Neighbours(store.db, store.clock), Neighbours(store.db, store.clock)
    await one.arrive()
    assert await is_alone(one)
    running = asyncio.create_task(other.run())
    await other.arrive()
    assert not await is_alone(one)
    assert not await is_alone(other)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await is_alone(one)


async def test_a_node_that_was_killed_is_expected_for_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GONE_AFTER", 0.3)
    monkeypatch.setattr(module, "_BEAT_EVERY", 0.05)
    one, killed = Neighbours(store.db, store.clock), Neighbours(store.db, store.clock)
    await killed.arrive()
    assert not await is_alone(one)
    seen_at = time.monotonic()
    while time.monotonic() - seen_at < 1:
        await killed.look()
        assert not await is_alone(one)
        await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        while not await is_alone(one):
            await asyncio.sleep(0.05)
