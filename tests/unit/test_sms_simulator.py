"""The phone network inside the process: inboxes, behaviours, and callbacks like a real provider's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from duologue.providers.sms.provider import BadSignature, DeliveryReport, OutgoingSms, Rejected, Unavailable
from duologue.providers.sms.simulator import HandsetOffline, Simulator
from tests.support.sms_outside import SERVICE, Collector

pytestmark = pytest.mark.anyio

PHONE = "+33612345678"
LONG = "a" * 400


class Network:
    """A simulator that is running, and what it called back."""

    def __init__(self, sink: Collector, **options: Any) -> None:
        self.sink = sink
        self.phones = Simulator(**({"seed": 1} | options))
        self.sent = 0

    async def send(self, text: str = "hello", *, to: str = PHONE, valid_for: float = 60) -> str:
        self.sent += 1
        wish = OutgoingSms(to=to, text=text, reference=f"ref-{self.sent}", valid_for=valid_for)
        return (await self.phones.send(wish)).provider_ids[0]

    async def receipt(self) -> DeliveryReport:
        async with asyncio.timeout(5):
            _, call = await self.sink.callbacks.get()
        return self.phones.parse_status(call)[0]

    async def receipts(self, count: int) -> list[DeliveryReport]:
        return [await self.receipt() for _ in range(count)]

    async def quiet(self) -> bool:
        """Return whether nothing is called back for longer than anything is held."""
        try:
            async with asyncio.timeout(0.8):
                await self.sink.callbacks.get()
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    async for each in _running(Network(Collector())):
        yield each


async def _running(network: Network) -> AsyncIterator[Network]:
    await network.phones.start(network.sink)
    try:
        yield network
    finally:
        await network.phones.aclose()


async def test_ids_rise_from_1_on_each_handset_and_after_passes_over_what_is_known(network: Network) -> None:
    for text in ("one", "two", "three"):
        await network.send(text)
    await network.send("other", to="+33600000000")
    await network.receipts(8)
    inbox = await network.phones.inbox(PHONE)
    assert [(sms.id, sms.text) for sms in inbox] == [(1, "one"), (2, "two"), (3, "three")]
    assert [sms.id for sms in await network.phones.inbox(PHONE, after=2)] == [3]
    assert [sms.id for sms in await network.phones.inbox("+33600000000")] == [1]
    assert await network.phones.inbox(PHONE, after=3) == []


async def test_a_long_poll_ends_with_the_next_sms_or_with_its_time(network: Network) -> None:
    loop = asyncio.get_running_loop()
    waiting = asyncio.create_task(network.phones.inbox(PHONE, wait=30))
    await asyncio.sleep(0)
    await network.send("at last")
    async with asyncio.timeout(1):
        assert [sms.text for sms in await waiting] == ["at last"]
    began = loop.time()
    assert await network.phones.inbox(PHONE, after=1, wait=0.05) == []
    assert 0.04 < loop.time() - began < 1


async def test_every_waiting_reader_gets_the_sms(network: Network) -> None:
    readers = [asyncio.create_task(network.phones.inbox(PHONE, wait=30)) for _ in range(3)]
    await asyncio.sleep(0)
    await network.send()
    assert [len(await reader) for reader in readers] == [1, 1, 1]


async def test_an_sms_shows_who_sent_it_and_its_parts(network: Network) -> None:
    await network.phones.send(OutgoingSms(to=PHONE, text=LONG, reference="r", sender="Duologue"))
    await network.send("ж")
    await network.receipts(8)
    first, second = await network.phones.inbox(PHONE)
    assert (first.sender, first.to, first.parts, first.text) == ("Duologue", PHONE, 3, LONG)
    assert (second.sender, second.parts) == (SERVICE, 1)


async def test_an_inbox_keeps_only_the_latest() -> None:
    async for network in _running(Network(Collector(), inbox_size=3)):
        for number in range(5):
            await network.send(str(number))
        await network.receipts(10)
        assert [sms.id for sms in await network.phones.inbox(PHONE)] == [3, 4, 5]


async def test_there_is_one_receipt_for_each_part(network: Network) -> None:
    message_id = await network.send(LONG)
    told = await network.receipts(6)
    assert told[:3] == [DeliveryReport(message_id, "sent", part=part) for part in (1, 2, 3)]
    assert told[3:] == [DeliveryReport(message_id, "delivered", part=part) for part in (1, 2, 3)]


async def test_an_unreachable_handset_gets_its_sms_when_it_is_back(network: Network) -> None:
    network.phones.configure(PHONE, reachable=False)
    for text in ("one", "two"):
        await network.send(text)
    assert [receipt.state for receipt in await network.receipts(2)] == ["sent", "sent"]
    assert await network.phones.inbox(PHONE, wait=0.05) == []
    network.phones.configure(PHONE, reachable=True)
    assert [receipt.state for receipt in await network.receipts(2)] == ["delivered", "delivered"]
    assert [sms.text for sms in await network.phones.inbox(PHONE)] == ["one", "two"]


async def test_an_sms_that_waits_longer_than_its_validity_is_undelivered(network: Network) -> None:
    network.phones.configure(PHONE, reachable=False)
    message_id = await network.send(valid_for=0.1)
    assert await network.receipts(2) == [
        DeliveryReport(message_id, "sent", part=1),
        DeliveryReport(message_id, "undelivered", part=1, code="expired"),
    ]
    network.phones.configure(PHONE, reachable=True)
    assert await network.phones.inbox(PHONE, wait=0.05) == []


async def test_a_delay_is_kept(network: Network) -> None:
    network.phones.configure(PHONE, delay_ms=150)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await network.send()
    assert await network.phones.inbox(PHONE, wait=5)
    assert loop.time() - began >= 0.14


async def test_a_lost_sms_vanishes_without_a_trace(network: Network) -> None:
    network.phones.configure(PHONE, loss=1)
    await network.send()
    assert await network.quiet()
    assert await network.phones.inbox(PHONE) == []


async def test_duplicates_arrive_twice_and_are_reported_twice_with_the_same_meaning(network: Network) -> None:
    network.phones.configure(PHONE, duplicate=1)
    message_id = await network.send()
    sent, delivered = (
        DeliveryReport(message_id, "sent", part=1),
        DeliveryReport(message_id, "delivered", part=1),
    )
    assert await network.receipts(4) == [sent, sent, delivered, delivered]
    assert [sms.id for sms in await network.phones.inbox(PHONE)] == [1, 2]


async def test_duplicate_callbacks_come_under_other_event_ids(network: Network) -> None:
    network.phones.configure(PHONE, duplicate=1)
    network.phones.text(PHONE, SERVICE, "an answer")
    (_, first), (_, second) = await network.sink.callbacks.get(), await network.sink.callbacks.get()
    assert first.body != second.body
    assert network.phones.parse_inbound(first) == network.phones.parse_inbound(second)


async def test_a_reordered_callback_is_overtaken_but_not_lost(network: Network) -> None:
    network.phones.configure(PHONE, reorder=1, reachable=False)
    await network.send()
    assert await network.phones.inbox(PHONE, wait=0.05) == []
    network.phones.configure(PHONE, reorder=0, reachable=True)
    assert [receipt.state for receipt in await network.receipts(2)] == ["delivered", "sent"]


async def test_what_is_held_for_reordering_comes_even_if_nothing_overtakes_it(network: Network) -> None:
    network.phones.configure(PHONE, reorder=1)
    await network.send(LONG)
    assert len(set(await network.receipts(6))) == 6


async def test_the_same_seed_gives_the_same_mishaps() -> None:
    async def states(seed: int) -> list[tuple[str, int | None]]:
        found: list[tuple[str, int | None]] = []
        async for network in _running(Network(Collector(), seed=seed)):
            network.phones.configure(PHONE, loss=0.3, duplicate=0.3)
            for _ in range(10):
                await network.send(LONG)
            while network.phones.busy(PHONE):
                await asyncio.sleep(0.01)
            receipts = await network.receipts(network.sink.callbacks.qsize())
            found = [(receipt.state, receipt.part) for receipt in receipts]
        return found

    first = await states(7)
    assert first == await states(7)
    assert first != await states(8)


async def test_a_long_text_from_a_handset_comes_in_parts_that_make_it_up(network: Network) -> None:
    network.phones.text(PHONE, SERVICE, LONG)
    calls = [(await network.sink.callbacks.get())[1] for _ in range(3)]
    messages = [network.phones.parse_inbound(call)[0] for call in calls]
    assert "".join(message.text for message in messages) == LONG
    parts = [message.part for message in messages]
    assert [(part.number, part.total) for part in parts if part] == [(1, 3), (2, 3), (3, 3)]
    assert len({part.reference for part in parts if part}) == 1
    assert len({message.provider_id for message in messages}) == 3


async def test_a_handset_can_be_set_to_send_long_texts_whole(network: Network) -> None:
    network.phones.configure(PHONE, multipart=False)
    network.phones.text(PHONE, SERVICE, LONG)
    _, call = await network.sink.callbacks.get()
    [message] = network.phones.parse_inbound(call)
    assert (message.sender, message.to, message.text, message.part) == (PHONE, SERVICE, LONG, None)


async def test_a_handset_without_network_cannot_send(network: Network) -> None:
    network.phones.configure(PHONE, reachable=False)
    with pytest.raises(HandsetOffline):
        network.phones.text(PHONE, SERVICE, "hello")


async def test_callbacks_are_made_again_until_they_are_taken() -> None:
    async for network in _running(Network(Collector(failures=2))):
        message_id = await network.send()
        assert await network.receipt() == DeliveryReport(message_id, "sent", part=1)
        assert await network.receipt() == DeliveryReport(message_id, "delivered", part=1)
        assert network.sink.calls == 4


async def test_callbacks_are_good_for_one_process_only(network: Network) -> None:
    await network.send()
    _, call = await network.sink.callbacks.get()
    with pytest.raises(BadSignature):
        Simulator().parse_status(call)
    with pytest.raises(BadSignature):
        network.phones.parse_status(replace(call, url=call.url.replace("status", "inbound")))


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        ("+15005550001", "number"),
        ("+15005550002", "provider"),
        ("+15005550004", "opted_out"),
        ("+15005550009", "number"),
    ],
)
async def test_the_numbers_that_fail_with_twilio_fail_here(network: Network, number: str, cause: str) -> None:
    with pytest.raises(Rejected) as refused:
        await network.send(to=number)
    assert refused.value.cause == cause


async def test_a_handset_that_is_away_fills_up_and_takes_more_when_it_is_back() -> None:
    async for network in _running(Network(Collector(), queue_size=2)):
        network.phones.configure(PHONE, reachable=False)
        await network.send()
        await network.send()
        with pytest.raises(Unavailable) as full:
            await network.send()
        assert not full.value.outcome_unknown
        network.phones.configure(PHONE, reachable=True)
        await network.receipts(4)
        assert await network.send()


async def test_idle_handsets_are_forgotten_when_there_are_too_many() -> None:
    async for network in _running(Network(Collector(), max_handsets=3)):
        network.phones.configure("+33600000000", reachable=False)
        await network.send(to="+33600000000")
        for number in range(1, 10):
            network.phones.behaviour(f"+3360000000{number}")
        known = network.phones.phones()
        assert known[0] == "+33600000009"
        assert "+33600000000" in known
        assert len(known) == 3


@pytest.mark.parametrize("change", [{"loss": 1.1}, {"duplicate": -0.1}, {"delay_ms": -1}])
async def test_a_behaviour_out_of_range_is_refused_and_changes_nothing(
    network: Network, change: dict[str, float]
) -> None:
    before = network.phones.behaviour(PHONE)
    with pytest.raises(ValueError, match="from 0 to"):
        network.phones.configure(PHONE, **change)
    assert network.phones.behaviour(PHONE) == before
    with pytest.raises(TypeError):
        network.phones.configure(PHONE, colour="red")
