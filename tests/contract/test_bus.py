"""What every bus promises: all that is published reaches every node, unchanged, and publishing never hurts.

A bus may lose, repeat or reorder when something breaks; here nothing breaks. A new kind of bus is added to `KINDS`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from duologue.realtime.bus import Bus, LocalBus, Notice, Signal
from duologue.realtime.nats import NatsBus

pytestmark = pytest.mark.anyio

PATIENCE = 30.0
FOLLOWED, UNKNOWN = 7, 8


@dataclass
class Node:
    """A handler that writes down what its bus brings."""

    bus: Bus
    notices: list[Notice] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)

    def deliver(self, notices: Sequence[Notice]) -> None:
        self.notices.extend(notices)

    def signal(self, signal: Signal) -> None:
        self.signals.append(signal)

    def wants(self, user_id: int) -> bool:
        return user_id == FOLLOWED

    def recheck(self) -> None:
        """Nothing was missed."""

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Kind:
    """A kind of bus: how to make one node's end of it, and how many nodes it can join."""

    make: Callable[[], Bus]
    nodes: int


@pytest.fixture(params=["local", "nats"])
def kind(request: pytest.FixtureRequest) -> Kind:
    if request.param == "local":
        return Kind(LocalBus, 1)
    url, prefix = request.getfixturevalue("nats_url"), secrets.token_hex(8)
    return Kind(lambda: NatsBus(f"{url}?prefix={prefix}"), 3)


@asynccontextmanager
async def joined(bus: Bus) -> AsyncIterator[Node]:
    node = Node(bus)
    await bus.start(node)
    try:
        yield node
    finally:
        await bus.close()


@pytest.fixture
async def nodes(kind: Kind) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(joined(kind.make())) for _ in range(kind.nodes)]


def notice(seq: int, event: bytes = b'{"seq":1}') -> Notice:
    return Notice(FOLLOWED, seq, kind=1, ref=(1 << 63) - 1, a=3, b=0, event=event)


async def test_notices_reach_every_node_unchanged(nodes: list[Node]) -> None:
    expected = []
    for number, node in enumerate(nodes):
        batch = [notice(10 * number + seq, f'{{"text":"é\\u0000 {seq}"}}'.encode()) for seq in range(10)]
        node.bus.publish(batch)
        expected += batch
    for node in nodes:
        await node.until(lambda: len(node.notices) >= len(expected))  # noqa: B023 - called before the next turn
        assert sorted(node.notices, key=lambda notice: notice.seq) == expected


async def test_signals_reach_every_node_unchanged(nodes: list[Node]) -> None:
    typing = Signal(FOLLOWED, to_watchers=False, frame=b'{"op":"typing"}')
    presence = Signal(UNKNOWN, to_watchers=True, frame=b'{"op":"presence"}')
    nodes[0].bus.publish_signal(typing)
    nodes[-1].bus.publish_signal(presence)
    for node in nodes:
        await node.until(lambda: len(node.signals) >= 2)  # noqa: B023 - called before the next turn
        assert sorted(node.signals, key=lambda signal: signal.user_id) == [typing, presence]


async def test_what_one_node_publishes_comes_in_its_order(nodes: list[Node]) -> None:
    """Not promised for bad days, but the usual case: else every feed would read the log all the time."""
    for seq in range(500):
        nodes[0].bus.publish([notice(2 * seq), notice(2 * seq + 1)])
    for node in nodes:
        await node.until(lambda: len(node.notices) >= 1_000)  # noqa: B023 - called before the next turn
        assert [notice.seq for notice in node.notices] == list(range(1_000))


async def test_a_large_commit_arrives_whole(nodes: list[Node]) -> None:
    large = [notice(seq, b"x" * 16_000) for seq in range(1_000)]
    nodes[0].bus.publish(large)
    for node in nodes:
        await node.until(lambda: len(node.notices) >= len(large))  # noqa: B023 - called before the next turn
        assert node.notices == large


async def test_somebody_whom_a_node_follows_is_wanted(nodes: list[Node]) -> None:
    assert all(node.bus.wants(FOLLOWED) for node in nodes)
    assert all(node.bus.connected() for node in nodes)


async def test_publishing_before_the_start_and_after_the_end_is_harmless(kind: Kind) -> None:
    bus = kind.make()
    bus.publish([notice(1)])
    bus.publish_signal(Signal(FOLLOWED, to_watchers=True, frame=b"{}"))
    async with joined(bus) as node:
        bus.publish([notice(2)])
        await node.until(lambda: notice(2) in node.notices)
    heard = list(node.notices)
    bus.publish([notice(3)])
    bus.publish_signal(Signal(FOLLOWED, to_watchers=True, frame=b"{}"))
    assert node.notices == heard, "nobody hears after the end"


async def test_what_was_published_is_handed_over_before_the_end(kind: Kind) -> None:
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(joined(kind.make())) for _ in range(kind.nodes - 1)]
        async with joined(kind.make()) as leaving:
            leaving.bus.publish([notice(seq) for seq in range(100)])
        for node in [leaving, *others]:
            await node.until(lambda: len(node.notices) >= 100)  # noqa: B023 - called before the next turn
            assert [notice.seq for notice in node.notices] == list(range(100))
