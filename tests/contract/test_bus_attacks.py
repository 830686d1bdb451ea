"""Somebody reaches NATS: they read no text, and nothing that they publish is believed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from duologue.clock import SECOND, now_ms
from duologue.realtime.bus import TransientFrame
from duologue.realtime.envelope import BEAT, LEAVE, NOTICES, SIGNAL, Opener, PayloadRefused, Sealer
from duologue.realtime.nats import NatsBus
from duologue.realtime.siblings import SiblingBus
from duologue_lab.servers.nats import NatsServer, nats_server
from tests.contract.test_bus import FOLLOWED, PATIENCE, Node, joined, notice

pytestmark = pytest.mark.anyio

KEY, OTHER_KEY = secrets.token_bytes(32), secrets.token_bytes(32)
TEXT = "nobody but Ben may read this"


class Attacker:
    """A client of NATS without the secret, who writes down all that passes."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self.heard: list[Msg] = []

    async def listen(self) -> None:
        await self._client.subscribe(f"{self._prefix}.>", cb=self._hear)
        await self._client.flush()

    async def _hear(self, message: Msg) -> None:
        self.heard.append(message)

    async def say(self, payload: bytes, subject: str = "sealed") -> None:
        await self._client.publish(f"{self._prefix}.{subject}", payload)
        await self._client.flush()


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(8)


@pytest.fixture
async def attacker(nats_url: str, prefix: str) -> AsyncIterator[Attacker]:
    client = await nats.connect(nats_url)
    attacker = Attacker(client, prefix)
    await attacker.listen()
    yield attacker
    await client.close()


@pytest.fixture
async def nodes(nats_url: str, prefix: str, attacker: Attacker) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(joined(NatsBus(f"{nats_url}?prefix={prefix}", [KEY], now_ms)))
            for _ in range(2)
        ]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def settled(nodes: list[Node]) -> None:
    """Everything that was published has arrived."""
    nodes[0].bus.publish_signal(TransientFrame(FOLLOWED, b"the last"))
    for node in nodes:
        await node.until(lambda: TransientFrame(FOLLOWED, b"the last") in node.signals)  # noqa: B023 - called before the next turn


async def test_no_text_and_no_user_can_be_read_on_the_bus(nodes: list[Node], attacker: Attacker) -> None:
    frame = msgspec.json.encode({"op": "event", "seq": 1, "data": {"text": TEXT}})
    nodes[0].bus.publish([notice(1, frame)])
    await nodes[1].until(lambda: bool(nodes[1].notices))
    assert TEXT.encode() in nodes[1].notices[0].frame
    await until(lambda: any(len(message.data) > len(frame) for message in attacker.heard))
    assert not any(TEXT.encode() in message.data for message in attacker.heard)


async def test_a_forged_event_reaches_no_socket(nodes: list[Node], attacker: Attacker) -> None:
    forged = msgspec.msgpack.encode([notice(7, b'{"op":"event","seq":7}')])
    sealed_by_another = Sealer(OTHER_KEY, now_ms).seal(NOTICES, forged)
    for payload in (forged, sealed_by_another, sealed_by_another[:40], b"", bytes(1_000)):
        await attacker.say(payload)
    for subject in ("events", "signals", "recheck"):
        await attacker.say(forged, subject)
    await settled(nodes)
    for node in nodes:
        assert node.notices == []
        assert node.doubts > 0, "they ask the store what is true"


async def test_not_a_bit_of_a_payload_can_be_changed(nodes: list[Node], attacker: Attacker) -> None:
    nodes[0].bus.publish([notice(1)])
    await nodes[1].until(lambda: bool(nodes[1].notices))
    await until(lambda: bool(attacker.heard))
    true = max((message.data for message in attacker.heard), key=len)
    for position in range(len(true)):
        await attacker.say(true[:position] + bytes([true[position] ^ 1]) + true[position + 1 :])
    await settled(nodes)
    assert nodes[1].notices == [notice(1)]


async def test_what_was_recorded_cannot_be_said_again(nodes: list[Node], attacker: Attacker) -> None:
    nodes[0].bus.publish([notice(1)])
    nodes[0].bus.publish_signal(TransientFrame(FOLLOWED, b"typing"))
    await nodes[1].until(lambda: len(nodes[1].signals) == 1)
    await until(lambda: len(attacker.heard) >= 2)
    for message in tuple(attacker.heard):
        await attacker.say(message.data)
    await settled(nodes)
    assert nodes[1].notices == [notice(1)]
    assert nodes[1].signals == [TransientFrame(FOLLOWED, b"typing"), TransientFrame(FOLLOWED, b"the last")]


async def test_who_can_write_to_a_siblings_socket_is_not_believed_either(tmp_path: Path) -> None:
    forged = Sealer(OTHER_KEY, now_ms).seal(
        SIGNAL, msgspec.msgpack.encode(TransientFrame(FOLLOWED, b"typing"))
    )
    async with joined(SiblingBus(tmp_path, 0, 1, KEY, now_ms)) as node:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "0.sock")
        writer.write(len(forged).to_bytes(4) + forged)
        await node.until(lambda: node.doubts > 0)
        writer.write((1 << 31).to_bytes(4))
        assert await reader.read() == b"", "who announces too much is cut off"
        writer.close()
        assert node.signals == []


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


def refusal(opener: Opener, payload: bytes) -> str:
    with pytest.raises(PayloadRefused) as caught:
        opener.open(payload)
    return caught.value.reason


def test_what_was_sealed_long_ago_is_refused_by_a_node_that_has_just_started() -> None:
    clock = Clock()
    payload = Sealer(KEY, clock).seal(SIGNAL, b"typing")
    clock.now += 11 * SECOND
    assert refusal(Opener([KEY], clock), payload) == "stale"
    clock.now -= 22 * SECOND
    assert refusal(Opener([KEY], clock), payload) == "stale", "nor from the future"


def test_a_gap_in_the_numbers_is_noticed_and_an_earlier_one_refused() -> None:
    sealer, opener = Sealer(KEY, now_ms), Opener([KEY], now_ms)
    first, second, third, fourth = (sealer.seal(BEAT) for _ in range(4))
    assert opener.open(first).missed, "who knows what a stranger said before"
    assert opener.open(third).missed
    assert refusal(opener, second) == "repeated"
    assert not opener.open(fourth).missed


def test_the_previous_secret_is_believed_while_the_new_one_seals() -> None:
    old, new = Sealer(OTHER_KEY, now_ms), Sealer(KEY, now_ms)
    opener = Opener([KEY, OTHER_KEY], now_ms)
    assert opener.open(old.seal(SIGNAL, b"old")).body == b"old"
    assert opener.open(new.seal(SIGNAL, b"new")).body == b"new"
    assert refusal(Opener([KEY], now_ms), old.seal(LEAVE)) == "forged"


async def test_two_systems_on_one_nats_hear_nothing_of_each_other(nats_url: str, prefix: str) -> None:
    """Not even if they share a secret and somebody carries payloads from one to the other."""
    async with (
        joined(NatsBus(f"{nats_url}?prefix={prefix}", [KEY], now_ms)) as one,
        joined(NatsBus(f"{nats_url}?prefix={prefix}-other", [KEY], now_ms)) as other,
    ):
        client = await nats.connect(nats_url)

        async def carry(message: Msg) -> None:
            await client.publish(f"{prefix}-other.sealed", message.data)

        await client.subscribe(f"{prefix}.sealed", cb=carry)
        await client.flush()
        one.bus.publish([notice(1)])
        await other.until(lambda: other.doubts > 0)
        assert other.notices == []
        await client.close()


# Silence.


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    with nats_server() as server:
        yield server


async def test_a_bus_that_is_well_is_known_to_be(nodes: list[Node]) -> None:
    async with asyncio.timeout(PATIENCE):
        for _ in range(8):
            await asyncio.sleep(0.25)
            assert all(node.bus.connected() for node in nodes)
            assert all(time.monotonic() - node.bus.as_of() < 1.5 for node in nodes)


async def test_a_server_that_hangs_is_noticed_and_then_trusted_again(own_nats: NatsServer) -> None:
    async with (
        joined(NatsBus(own_nats.url, [KEY], now_ms)) as one,
        joined(NatsBus(own_nats.url, [KEY], now_ms)) as other,
    ):
        own_nats.pause()
        paused_at = time.monotonic()
        one.bus.publish([notice(1)])
        await other.until(lambda: not other.bus.connected())
        assert max(one.bus.as_of(), other.bus.as_of()) <= paused_at
        own_nats.resume()
        await other.until(lambda: other.bus.connected() and other.bus.as_of() > paused_at + 1)
        await one.until(lambda: one.bus.connected() and one.bus.as_of() > paused_at + 1)


async def test_what_was_missed_while_the_server_was_away_is_noticed_when_it_is_back(
    own_nats: NatsServer,
) -> None:
    async with (
        joined(NatsBus(own_nats.url, [KEY], now_ms)) as one,
        joined(NatsBus(own_nats.url, [KEY], now_ms)) as other,
    ):
        for node in (one, other):
            await node.until(lambda: node.doubts > 0)  # noqa: B023 - called before the next turn
        own_nats.stop(kill=True)
        for node in (one, other):
            await node.until(lambda: not node.bus.connected())  # noqa: B023 - called before the next turn
            assert node.bus.as_of() < time.monotonic() - 1e6
            node.doubts = 0
        one.bus.publish([notice(1)])
        own_nats.start()
        for node in (one, other):
            await node.until(lambda: node.bus.connected() and node.doubts > 0)  # noqa: B023 - called before the next turn


async def test_a_single_lost_payload_is_noticed_within_a_second(nodes: list[Node]) -> None:
    bus = nodes[0].bus
    assert isinstance(bus, NatsBus)
    await nodes[1].until(lambda: nodes[1].doubts > 0)
    nodes[1].doubts = 0
    bus._sealer.seal(NOTICES, b"this one was lost on its way")
    await nodes[1].until(lambda: nodes[1].doubts > 0)


async def test_siblings_know_when_one_of_them_is_silent(tmp_path: Path) -> None:
    async with joined(SiblingBus(tmp_path, 0, 2, KEY, now_ms)) as one:
        assert one.bus.as_of() < 0
        async with joined(SiblingBus(tmp_path, 1, 2, KEY, now_ms)):
            await one.until(lambda: one.bus.as_of() > time.monotonic() - 1)
        await one.until(lambda: one.bus.as_of() < 0)
        one.doubts = 0
        async with joined(SiblingBus(tmp_path, 1, 2, KEY, now_ms)):
            await one.until(lambda: one.bus.as_of() > time.monotonic() - 1 and one.doubts > 0)


async def test_a_node_that_says_good_bye_is_not_waited_for(nats_url: str, prefix: str) -> None:
    async with joined(NatsBus(f"{nats_url}?prefix={prefix}", [KEY], now_ms)) as stays:
        async with joined(NatsBus(f"{nats_url}?prefix={prefix}", [KEY], now_ms)) as leaves:
            await stays.until(lambda: stays.doubts > 0)
            assert leaves.bus.connected()
        await asyncio.sleep(1.5)
        assert time.monotonic() - stays.bus.as_of() < 1


async def test_a_node_asks_the_store_as_soon_as_nats_is_back(own_nats: NatsServer) -> None:
    """Without another node's sign of life, which may be the one that has stopped meanwhile."""
    async with joined(NatsBus(own_nats.url, [KEY], now_ms)) as alone:
        own_nats.stop(kill=True)
        await alone.until(lambda: not alone.bus.connected())
        assert alone.doubts == 0
        own_nats.start()
        await alone.until(lambda: alone.bus.connected() and alone.doubts > 0)
