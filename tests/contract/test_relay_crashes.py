"""Nodes that die at each step of a relay, and several nodes at once: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest

from duologue.clock import HOUR, SECOND
from duologue.core import rounds
from duologue.errors import ApiError
from duologue.model import encode_id
from duologue.providers.sms.provider import DeliveryReport
from duologue.storage.tables import jobs, outbox
from duologue.storage.tables.outbox import State
from tests.support.carrier import Carrier, accepts_and_hangs, is_broken, receipts, waits_for
from tests.support.relays import DELAY, LEASE, Node, World, another, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


async def test_dying_after_the_alarm_loses_nothing(people: World) -> None:
    message = await people.writes()
    people.clock.pass_by(DELAY)
    await people.answer()
    assert await people.fate(message.seq) == ("queued", "")
    async with another(people) as other:
        await other.work()
    assert len(people.carrier.phones) == 1


async def test_dying_after_the_lease_delays_by_the_lease(people: World) -> None:
    await people.writes()
    people.clock.pass_by(DELAY)
    await people.answer()
    await people.store.db.write(people.loop._take, people.clock(), 32)
    async with another(people) as other:
        await other.work()
        assert people.carrier.asked == []
        people.clock.pass_by(LEASE)
        await other.work()
        assert len(people.carrier.phones) == 1


@pytest.mark.parametrize("idempotent", [True, False])
async def test_dying_after_the_send_is_a_second_sms_only_if_the_carrier_makes_it_one(
    store_url: str, idempotent: bool
) -> None:
    async with world(store_url, carrier=Carrier(idempotent=idempotent)) as people:
        people.carrier.script.append(accepts_and_hangs)
        message = await people.writes()
        people.clock.pass_by(DELAY)
        await people.round()
        await people.carrier.has_carried(1)
        await people.die()
        async with another(people) as other:
            await other.work()
            assert len(people.carrier.phones) == 1
            people.clock.pass_by(LEASE)
            await other.work()
            assert len(people.carrier.phones) == (1 if idempotent else 2)
            await other.callbacks.receipts("carrier", receipts(people.carrier.taken[-1]))
            await other.work()
        assert await people.fate(message.seq) == ("delivered", "")
        assert await people.delivered() == message.seq


async def test_dying_between_receipt_and_mark_leaves_the_mark_to_another(people: World) -> None:
    message = await people.writes()
    await people.later()
    await people.callbacks.receipts("carrier", receipts(people.carrier.taken[0]))
    assert await people.fate(message.seq) == ("arrived", "")
    await people.store.db.write(outbox.lease_arrived, people.clock(), people.clock() + LEASE - SECOND, 32)
    assert await people.delivered() == 0
    async with another(people) as other:
        people.clock.pass_by(LEASE)
        await other.work()
    assert await people.delivered() == message.seq
    assert await people.fate(message.seq) == ("delivered", "")


async def test_a_node_that_slept_through_its_lease_settles_nothing_that_is_anothers(people: World) -> None:
    message, go = await people.is_sending(is_broken)
    people.clock.pass_by(LEASE)
    async with another(people) as other:
        await other.work()
    go.set()
    await people.work()
    assert await people.fate(message.seq) == ("sent", "")
    assert len(people.carrier.phones) == 1


async def test_a_lease_that_has_run_out_settles_nothing_while_another_holds_it(people: World) -> None:
    message, go = await people.is_sending()
    people.clock.pass_by(LEASE)
    now = people.clock()
    [newer] = await people.store.db.write(jobs.lease, outbox.QUEUE, now, now + LEASE, 10)
    older = msgspec.structs.replace(newer, attempts=newer.attempts - 1)
    assert not await people.store.db.write(jobs.put_off, outbox.QUEUE, older, now, "too late")
    assert await people.row(message.seq) == newer
    assert await people.store.db.write(jobs.put_off, outbox.QUEUE, newer, now, "in time")
    go.set()
    await people.sent()


async def test_what_was_sent_counts_even_if_the_lease_had_run_out(people: World) -> None:
    message, go = await people.is_sending()
    people.clock.pass_by(LEASE)
    await people.acks(message.seq)
    async with another(people) as other:
        await other.work()
    assert await people.fate(message.seq) == ("cancelled", "acknowledged")
    go.set()
    await people.work()
    assert await people.fate(message.seq) == ("sent", "")
    assert dict(await people.hops(message.seq))["sms_sent"] == "carrier, 1 part"


async def test_what_has_arrived_is_not_put_off_by_a_failure_that_is_told_later(store_url: str) -> None:
    async with world(store_url, carrier=Carrier(by_reference=True)) as people:
        message, go = await people.is_sending(is_broken)
        row = await people.row(message.seq)
        assert row
        await people.callbacks.receipts("carrier", [DeliveryReport(encode_id("rly", row.id), "delivered")])
        assert await people.fate(message.seq) == ("arrived", "")
        go.set()
        await people.sent()
        assert await people.fate(message.seq) == ("arrived", "")
        await people.later(HOUR)
        assert await people.fate(message.seq) == ("delivered", "")
        assert len(people.carrier.asked) == 1


async def test_an_arrival_that_cannot_be_told_holds_back_no_other_text(store_url: str) -> None:
    async with world(store_url, carrier=Carrier(by_reference=True)) as people:
        first, go = await people.is_sending()
        row = await people.row(first.seq)
        assert row
        go.set()
        await people.sent()
        await people.callbacks.receipts("carrier", [DeliveryReport(encode_id("rly", row.id), "delivered")])
        await people.store.db.write(
            lambda tx: tx.run("UPDATE logs SET last_seq = 2147483647 WHERE user_id = :id", id=people.ana.id)
        )
        friend, pair = await people.friend_of(await people.store.user())
        message = await people.writes(pair=pair, by=friend)
        people.clock.pass_by(DELAY)
        await people.alarms.round()
        with pytest.raises(ApiError):
            await people.loop.round()
        await people.sent()
        assert (await people.fate(message.seq, pair))[0] == "sent"


async def test_of_two_copies_one_delivery_is_enough(people: World) -> None:
    message, go = await people.is_sending()
    people.clock.pass_by(LEASE)
    async with another(people) as other:
        await other.work()
    go.set()
    await people.work()
    assert len(people.carrier.phones) == 2
    await people.reports(people.carrier.taken[0])
    assert await people.delivered() == message.seq


async def test_a_loop_that_is_told_to_stop_writes_down_what_it_sent(people: World) -> None:
    go = asyncio.Event()
    people.carrier.script.append(waits_for(go))
    message = await people.writes()
    people.clock.pass_by(DELAY)
    await people.answer()
    running = asyncio.create_task(people.loop.run())
    await people.carrier.was_asked(1)
    second = await people.writes()
    people.clock.pass_by(DELAY)
    await people.answer()
    people.loop.stop()
    go.set()
    await running
    assert await people.fate(message.seq) == ("sent", "")
    assert await people.fate(second.seq) == ("queued", "")


@pytest.mark.parametrize(
    ("missing", "told"), [("_rule", "alarms could not be answered"), ("_policy", "the relay failed")]
)
async def test_loops_survive_what_nobody_foresaw(
    people: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, missing: str, told: str
) -> None:
    monkeypatch.setattr(rounds, "TROUBLE", 0.05)
    before = getattr(people.loop, missing)
    setattr(people.loop, missing, None)  # as a fault in the code would
    await people.writes()
    people.clock.pass_by(DELAY)
    running = [asyncio.create_task(loop.run()) for loop in (people.alarms, people.loop)]
    async with asyncio.timeout(30):
        while told not in caplog.text:
            await asyncio.sleep(0.01)
        setattr(people.loop, missing, before)
        await people.carrier.was_asked(1)
    for loop in running:
        loop.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_after_a_crash_a_receipt_under_our_reference_spares_the_second_one(store_url: str) -> None:
    async with world(store_url, carrier=Carrier(by_reference=True)) as people:
        people.carrier.script.append(accepts_and_hangs)
        message = await people.writes()
        people.clock.pass_by(DELAY)
        await people.round()
        await people.carrier.has_carried(1)
        await people.die()
        async with another(people) as other:
            await other.callbacks.receipts("carrier", receipts(people.carrier.taken[0]))
            people.clock.pass_by(LEASE)
            await other.work()
        assert len(people.carrier.phones) == 1
        assert await people.delivered() == message.seq


async def test_several_nodes_send_each_message_once_and_in_order(store_url: str) -> None:
    async with world(store_url) as people, AsyncExitStack() as stack:
        nodes: list[Node] = [people, *[await stack.enter_async_context(another(people)) for _ in range(3)]]
        pairs = [await people.friend_of(people.ben) for _ in range(12)]
        for friend, pair in pairs:
            for number in range(5):
                await people.writes(f"{friend.phone} text {number}", pair=pair, by=friend)
        people.clock.pass_by(DELAY)
        await asyncio.gather(*(node.work() for node in nodes))
        await asyncio.gather(*(node.work() for node in nodes))
        assert Counter(sms.reference for sms in people.carrier.asked).most_common(1)[0][1] == 1
        for friend, _ in pairs:
            numbers = [
                text.partition("text ")[2][0]
                for text in people.carrier.texts()
                if f"{friend.phone} text" in text
            ]
            assert numbers == list("01234")


async def test_several_nodes_mark_what_arrives_at_once(store_url: str) -> None:
    async with world(store_url, carrier=Carrier(id_per_part=True)) as people, AsyncExitStack() as stack:
        nodes: list[Node] = [people, *[await stack.enter_async_context(another(people)) for _ in range(3)]]
        for _ in range(8):
            await people.writes("x" * 500)
        await people.later()
        told = [receipt for accepted in people.carrier.taken for receipt in receipts(accepted)]
        assert len(told) >= 32
        await asyncio.gather(
            *(nodes[index % 4].callbacks.receipts("carrier", [receipt]) for index, receipt in enumerate(told))
        )
        await asyncio.gather(*(node.work() for node in nodes))
        assert await people.delivered() == 8
        assert await people.store.db.read(outbox.counts) == {State.DELIVERED: 8}


async def test_an_alarm_is_not_lost_while_messages_keep_coming(store_url: str) -> None:
    """Messages are stored while alarms are answered: none falls between the two. All in less than a lease."""
    async with world(store_url) as people:
        running = True

        async def look() -> None:
            while running:
                await people.round()
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        for _ in range(100):
            await people.writes()
            people.clock.pass_by(SECOND)
        running = False
        await looking
        await people.later(HOUR)
        assert len(people.carrier.phones) == 100
