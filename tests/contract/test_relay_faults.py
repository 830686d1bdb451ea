"""The relay through trouble: carriers that fail, nodes that die at each step, and several nodes at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from duologue.clock import MINUTE, SECOND
from duologue.core import jobs
from duologue.model import Relay, encode_id
from duologue.providers.sms.provider import DeliveryReport
from duologue.storage.tables import outbox
from duologue.storage.tables.outbox import State
from duologue.storage.tables.sms_relay import RelayRule
from tests.support.carrier import (
    Carrier,
    crashes,
    is_broken,
    is_busy,
    loses_the_answer,
    never_hears,
    rejects,
)
from tests.support.relays import DELAY, World, world

pytestmark = pytest.mark.anyio

EVERYONE = RelayRule(Relay.OFFLINE, Relay.ALWAYS, DELAY)


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


async def until_settled(people: World, step: int = MINUTE, steps: int = 60) -> None:
    """Time passes until nothing is open any more."""
    for _ in range(steps):
        await people.later(step)
        counts = await people.store.db.read(outbox.counts)
        if not counts.keys() & {State.QUEUED, State.LEASED, State.ARRIVED}:
            return
    raise AssertionError("the outbox is not done")


# A carrier in trouble.


async def test_with_an_idempotent_carrier_an_answer_that_got_lost_is_one_sms(store_url: str) -> None:
    async with world(store_url, carrier=Carrier(idempotent=True)) as people:
        people.carrier.script.extend([loses_the_answer, loses_the_answer])
        message = await people.writes()
        await people.later()
        await until_settled(people)
        assert [len(people.carrier.asked), len(people.carrier.phones)] == [3, 1]
        assert len({sms.reference for sms in people.carrier.asked}) == 1
        assert await people.fate(message.seq) == ("sent", "")


async def test_with_any_other_it_is_a_second_one_which_nobody_can_help(people: World) -> None:
    people.carrier.script.append(loses_the_answer)
    message = await people.writes()
    await people.later()
    await people.later(59 * SECOND)
    assert len(people.carrier.asked) == 1, "a minute is left for a receipt or an ack"
    await until_settled(people)
    assert len(people.carrier.phones) == 2
    assert await people.fate(message.seq) == ("sent", "")


async def test_an_ack_in_that_minute_spares_the_second_one(people: World) -> None:
    people.carrier.script.append(loses_the_answer)
    message = await people.writes()
    await people.later()
    await people.acks(message.seq)
    await until_settled(people)
    assert len(people.carrier.phones) == 1
    assert await people.fate(message.seq) == ("cancelled", "acknowledged")


async def test_a_receipt_under_our_reference_in_that_minute_spares_it_too(store_url: str) -> None:
    async with world(store_url, carrier=Carrier(by_reference=True)) as people:
        people.carrier.script.append(loses_the_answer)
        message = await people.writes("x" * 400)
        await people.later()
        await people.reports(people.carrier.taken[0], "sent")
        assert await people.fate(message.seq) == ("sent", "")
        assert ("sms_sent", "carrier") in await people.hops(message.seq)
        await people.reports(people.carrier.taken[0])
        await until_settled(people)
        assert len(people.carrier.phones) == 1
        assert await people.delivered() == message.seq


async def test_a_receipt_under_a_reference_of_nothing_that_was_tried_changes_nothing(people: World) -> None:
    message = await people.writes()
    people.clock.pass_by(DELAY)
    await people.answer()
    row = await people.row(message.seq)
    assert row
    for told in (encode_id("rly", row.id), "rly_0000000000000000", "rly_x"):
        await people.callbacks.receipts("carrier", [DeliveryReport(told, "delivered")])
    assert await people.fate(message.seq) == ("queued", "")
    assert await people.delivered() == 0


async def test_a_request_that_got_lost_is_made_again(people: World) -> None:
    people.carrier.script.append(never_hears)
    await people.writes()
    await people.later()
    await until_settled(people)
    assert [len(people.carrier.asked), len(people.carrier.phones)] == [2, 1]


async def test_retries_back_off_with_jitter_up_to_some_minutes(people: World) -> None:
    people.carrier.usual = is_broken
    message = await people.writes()
    await people.later()
    waits = []
    for _ in range(12):
        row = await people.row(message.seq)
        assert row
        waits.append((row.next_at - people.clock()) / SECOND)
        await people.later(row.next_at - people.clock())
    for number, wait in enumerate(waits):
        least = min(5 * 2**number, 600)
        assert least <= wait <= least * 1.25
    assert len({round(wait / min(5 * 2**number, 600), 4) for number, wait in enumerate(waits)}) > 6


async def test_a_carrier_that_names_a_time_is_left_alone_for_so_long(people: World) -> None:
    people.carrier.script.append(is_busy(300))
    await people.writes()
    await people.later()
    await people.later(299 * SECOND)
    assert len(people.carrier.asked) == 1
    await people.later(77 * SECOND)
    assert len(people.carrier.phones) == 1


async def test_a_carrier_that_fails_in_an_unforeseen_way_ends_nothing(people: World) -> None:
    people.carrier.script.append(crashes)
    await people.writes()
    await people.later()
    await until_settled(people)
    assert len(people.carrier.phones) == 1


async def test_a_reason_that_no_database_takes_is_written_down_all_the_same(people: World) -> None:
    people.carrier.script.append(rejects("content", "2\x001\ud83d"))
    message = await people.writes()
    await people.later()
    assert await people.fate(message.seq) == ("dead", "content: 21�")


async def test_what_cannot_be_written_down_is_tried_until_it_can(
    people: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Or it would be sent again after each lease."""

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(jobs, "TROUBLE", 0.02)
    monkeypatch.setattr(outbox, "sent", fails)
    message = await people.writes()
    people.clock.pass_by(DELAY)
    await people.round()
    async with asyncio.timeout(30):
        while caplog.text.count("can't write down what it sent") < 3:
            await asyncio.sleep(0.01)
    monkeypatch.undo()
    await people.work()
    assert await people.fate(message.seq) == ("sent", "")
    assert len(people.carrier.phones) == 1


async def test_every_kind_of_trouble_in_a_row_loses_nothing_and_keeps_the_order(store_url: str) -> None:
    async with world(store_url, carrier=Carrier(idempotent=True)) as people:
        people.carrier.script.extend(
            [is_busy(), loses_the_answer, is_broken, crashes, never_hears, is_busy(30), loses_the_answer]
        )
        for number in range(5):
            await people.writes(f"text {number}")
        await people.later()
        await until_settled(people, steps=600)
        assert [text.partition("text ")[2][0] for text in people.carrier.texts()] == list("01234")


async def test_money_for_what_was_surely_not_sent_is_given_back(store_url: str) -> None:
    async with world(store_url, sender_budget=100_000) as people:
        people.carrier.script.extend([is_busy(), is_broken, rejects("content")])
        await people.writes("one")
        await people.writes("two")
        await people.later()
        await until_settled(people)
        assert len(people.carrier.phones) == 1


async def test_an_idempotent_carriers_lost_answers_are_paid_once(store_url: str) -> None:
    async with world(store_url, carrier=Carrier(idempotent=True), sender_budget=400_000) as people:
        people.carrier.script.extend([loses_the_answer] * 5)
        await people.writes("one")
        await people.writes("two")
        await people.later()
        await until_settled(people)
        assert len(people.carrier.phones) == 2


async def test_an_sms_that_may_have_gone_is_paid(store_url: str) -> None:
    async with world(store_url, sender_budget=100_000) as people:
        people.carrier.script.append(loses_the_answer)
        message = await people.writes()
        for _ in range(10):
            await people.later(MINUTE)
        assert await people.fate(message.seq) == ("queued", "sender_budget_spent")
        assert len(people.carrier.phones) == 1


# An ack while the SMS is being sent.


async def test_an_ack_while_it_is_being_sent_is_reported_honestly(people: World) -> None:
    message, go = await people.is_sending()
    await people.acks(message.seq)
    assert "sms_cancelled" not in dict(await people.hops(message.seq)), "nobody can promise that now"
    go.set()
    await people.work()
    hops = dict(await people.hops(message.seq))
    assert hops["sms_sent"] == "carrier, 1 part"
    assert "sms_cancelled" not in hops


async def test_an_ack_while_it_is_being_sent_spares_the_retry(people: World) -> None:
    message, go = await people.is_sending(is_broken)
    await people.acks(message.seq)
    go.set()
    await people.work()
    await until_settled(people)
    assert await people.fate(message.seq) == ("cancelled", "acknowledged")
    assert people.carrier.phones == []
