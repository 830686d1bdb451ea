"""Promises of every bus: all that is published reaches every node, unchanged, and publishing never hurts.

A bus may lose, repeat or reorder when something breaks; here nothing breaks. A new kind of bus is added to `KINDS`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from duologue.clock import now_ms
from duologue.realtime.bus import Bus, LocalBus, Notice, Roll, Signal, TransientFrame, Whereabouts
from duologue.realtime.nats import NatsBus
from duologue.realtime.siblings import SiblingBus

pytestmark = pytest.mark.anyio

PATIENCE = float(os.environ.get("TEST_PATIENCE", "30"))
KEY = bytes(32)
FOLLOWED, UNKNOWN = 7, 8


@dataclass
class Node:
    """A handler that writes down what its bus brings."""

    bus: Bus
    notices: list[Notice] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    doubts: int = 0

    def deliver(self, notices: Sequence[Notice]) -> None:
        self.notices.extend(notices)

    def signal(self, signal: Signal) -> None:
        self.signals.append(signal)

    def wants(self, user_id: int) -> bool:
        return user_id == FOLLOWED

    def doubt(self) -> None:
        self.doubts += 1

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Kind:
    """A kind of bus: how to make one node's end of it, and how many nodes it can join."""

    make: Callable[[int], Bus]
    nodes: int


@pytest.fixture(params=["local", "nats", "siblings"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    if request.param == "local":
        yield Kind(lambda _: LocalBus(), 1)
    elif request.param == "siblings":
        # A socket's path may have 100 bytes.
        with tempfile.TemporaryDirectory() as folder:
            yield Kind(lambda index: SiblingBus(Path(folder), index, 3, KEY, now_ms), 3)
    else:
        url, prefix = request.getfixturevalue("nats_url"), secrets.token_hex(8)
        yield Kind(lambda _: NatsBus(f"{url}?prefix={prefix}", [KEY], now_ms), 3)


@asynccontextmanager
async def joined(bus: Bus) -> AsyncIterator[Node]:
    node = Node(bus)
    await bus.start(node)
    try:
        yield node
    finally:
        await bus.close()


async def linked(node: Node, kind: Kind) -> None:
    """Siblings find each other in their own time; what is said before that is missed, and said to be."""
    if isinstance(bus := node.bus, SiblingBus):
        await node.until(lambda: bus.linked == kind.nodes - 1)


@pytest.fixture
async def nodes(kind: Kind) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(joined(kind.make(index))) for index in range(kind.nodes)]
        for node in nodes:
            await linked(node, kind)
        yield nodes


def notice(seq: int, frame: bytes = b'{"op":"event","seq":1}') -> Notice:
    return Notice(FOLLOWED, seq, kind=1, ref=(1 << 63) - 1, a=3, b=0, frame=frame)


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
    typing = TransientFrame(FOLLOWED, b'{"op":"typing"}')
    presence = Whereabouts(3, [FOLLOWED, UNKNOWN], online=True, at=1)
    nodes[0].bus.publish_signal(typing)
    nodes[-1].bus.publish_signal(presence)
    for node in nodes:
        await node.until(lambda: len(node.signals) >= 2)  # noqa: B023 - called before the next turn
        assert sorted(node.signals, key=lambda signal: type(signal).__name__) == [typing, presence]


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
    bus = kind.make(0)
    bus.publish([notice(1)])
    bus.publish_signal(Roll([FOLLOWED]))
    async with joined(bus) as node:
        bus.publish([notice(2)])
        await node.until(lambda: notice(2) in node.notices)
    heard = list(node.notices)
    bus.publish([notice(3)])
    bus.publish_signal(Roll([FOLLOWED]))
    assert node.notices == heard, "nobody hears after the end"


async def test_what_was_published_is_handed_over_before_the_end(kind: Kind) -> None:
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(joined(kind.make(index))) for index in range(1, kind.nodes)]
        async with joined(kind.make(0)) as leaving:
            await linked(leaving, kind)
            leaving.bus.publish([notice(seq) for seq in range(100)])
        for node in [leaving, *others]:
            await node.until(lambda: len(node.notices) >= 100)  # noqa: B023 - called before the next turn
            assert [notice.seq for notice in node.notices] == list(range(100))
