"""Reports of the phone network, folded into the marks that devices move: on both engines."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator

import pytest

from duologue.clock import DAY, HOUR, SECOND
from duologue.model import Kind
from duologue.providers.sms.provider import Accepted, DeliveryReport, OutgoingSms
from duologue.storage.tables import accounts
from tests.support.carrier import Carrier, is_busy, receipts, rejects
from tests.support.relays import World, world

pytestmark = pytest.mark.anyio

LONG = "This text is longer than one part. " * 10


@pytest.fixture(params=[False, True], ids=["id per SMS", "id per part"])
async def people(request: pytest.FixtureRequest, store_url: str) -> AsyncIterator[World]:
    async with world(store_url, carrier=Carrier(id_per_part=request.param)) as people:
        yield people


async def test_delivered_by_the_network_is_delivered_and_the_sender_hears_it(people: World) -> None:
    message = await people.writes()
    await people.later()
    assert await people.delivered() == 0
    people.store.heard.commits.clear()
    await people.reports(people.carrier.taken[0])
    assert await people.delivered() == message.seq
    assert await people.fate(message.seq) == ("delivered", "")
    kinds = {event.kind for event in people.store.heard.of(people.ana.id)}
    assert kinds == {Kind.RECEIPT_PEER}
    chat = await people.store.view(people.ben.id, people.pair)
    assert (chat.read, chat.unread) == (0, 1), "delivered isn't read"


async def test_queued_and_sent_are_not_yet_delivered(people: World) -> None:
    message = await people.writes()
    await people.later()
    for state in ("queued", "sent"):
        await people.reports(people.carrier.taken[0], state)
    assert await people.delivered() == 0
    assert await people.fate(message.seq) == ("sent", "")


async def test_a_long_text_is_delivered_once_all_of_its_parts_are(people: World) -> None:
    message = await people.writes(LONG)
    await people.later()
    told = receipts(people.carrier.taken[0])
    assert len(told) == 3
    for receipt in (told[2], told[0]):
        await people.hears([receipt])
        await people.hears([receipt])
        assert await people.delivered() == 0
    await people.hears([told[1]])
    assert await people.delivered() == message.seq


async def test_receipts_in_any_order_and_twice_come_to_the_same(store_url: str) -> None:
    async with world(store_url, carrier=Carrier(id_per_part=True)) as people:
        for order in random.Random(7).sample(list(itertools.permutations(range(6))), 12):
            message = await people.writes("x" * 200)
            await people.later()
            accepted = people.carrier.taken[-1]
            told = [*receipts(accepted, "sent"), *receipts(accepted), *receipts(accepted)]
            for index in order:
                await people.callbacks.receipts("carrier", [told[index]])
            await people.work()
            assert await people.delivered() == message.seq
            assert await people.fate(message.seq) == ("delivered", "")


async def test_a_receipt_that_overtakes_the_providers_own_answer_counts(people: World) -> None:
    async def reports_first(carrier: Carrier, sms: OutgoingSms) -> Accepted:
        accepted = carrier.carry(sms)
        await people.callbacks.receipts("carrier", receipts(accepted))
        return accepted

    people.carrier.script.append(reports_first)
    message = await people.writes(LONG)
    await people.later()
    assert await people.delivered() == message.seq


async def test_a_failure_is_shown_with_its_code_and_marks_nothing(people: World) -> None:
    message = await people.writes(LONG)
    await people.later()
    told = receipts(people.carrier.taken[0])
    failed = receipts(people.carrier.taken[0], "undelivered", "30003")
    await people.hears([told[0], failed[1], told[2]])
    assert await people.fate(message.seq) == ("failed", "30003")
    assert await people.delivered() == 0
    hops = await people.hops(message.seq)
    assert ("sms_failed", "30003") in hops
    assert any(
        hop == "sms_receipt" and "undelivered" in detail and "(30003)" in detail for hop, detail in hops
    )


async def test_a_code_that_no_database_takes_is_taken_all_the_same(people: World) -> None:
    message = await people.writes()
    await people.later()
    await people.reports(people.carrier.taken[0], "failed", "3\x000\ud83d")
    assert await people.fate(message.seq) == ("failed", "30�")


async def test_a_failure_without_a_code_says_what_it_was(people: World) -> None:
    message = await people.writes()
    await people.later()
    await people.reports(people.carrier.taken[0], "failed")
    assert await people.fate(message.seq) == ("failed", "failed")


async def test_delivered_stands_against_a_failure_that_comes_later(people: World) -> None:
    message = await people.writes()
    await people.later()
    await people.reports(people.carrier.taken[0])
    await people.reports(people.carrier.taken[0], "failed", "30008")
    assert await people.fate(message.seq) == ("delivered", "")
    assert await people.delivered() == message.seq


async def test_delivered_corrects_a_failure_that_came_before(people: World) -> None:
    message = await people.writes()
    await people.later()
    await people.reports(people.carrier.taken[0], "undelivered", "30005")
    await people.reports(people.carrier.taken[0])
    assert await people.fate(message.seq) == ("delivered", "")
    assert await people.delivered() == message.seq


async def test_a_late_receipt_changes_nothing_after_an_ack(people: World) -> None:
    messages = [await people.writes(f"text {number}") for number in range(3)]
    await people.later()
    await people.acks(messages[-1].seq)
    people.store.heard.commits.clear()
    await people.reports(people.carrier.taken[0])
    assert await people.delivered() == 3
    assert people.store.heard.events == []


async def test_a_message_that_failed_holds_the_mark_back(people: World) -> None:
    people.carrier.script.append(rejects("content"))
    await people.writes("refused")
    second = await people.writes("fine")
    await people.later()
    await people.reports(people.carrier.taken[0])
    assert await people.fate(second.seq) == ("delivered", "")
    assert await people.delivered() == 0, "it would claim the first one too"
    await people.acks(1)
    assert await people.delivered() == 1


async def test_one_that_was_delivered_earlier_counts_once_the_one_before_it_is_too(people: World) -> None:
    await people.writes("one")
    await people.writes("two")
    await people.later()
    await people.reports(people.carrier.taken[1])
    assert await people.delivered() == 0
    await people.reports(people.carrier.taken[0])
    assert await people.delivered() == 2


async def test_one_that_still_waits_holds_the_mark_back(people: World) -> None:
    await people.writes("one")
    await people.later()
    people.carrier.script.append(is_busy(HOUR / SECOND))
    await people.writes("two")
    await people.later()
    await people.writes("three")
    await people.reports(people.carrier.taken[0])
    assert await people.delivered() == 1
    await people.later(2 * HOUR)
    for accepted in people.carrier.taken[1:]:
        await people.reports(accepted)
    assert await people.delivered() == 3


async def test_the_senders_own_view_of_the_other_side_is_not_moved_by_it(people: World) -> None:
    await people.writes("hi")
    await people.writes("hello", by=people.ben)
    await people.writes("how are you?")
    await people.later()
    for accepted in people.carrier.taken:
        await people.reports(accepted)
    assert await people.delivered() == 3
    assert await people.delivered(by=people.ana) == 2


async def test_a_receipt_for_an_sms_of_nobodys_is_taken_and_forgotten(people: World) -> None:
    await people.hears([DeliveryReport("unheard-of", "delivered")])
    await people.writes()
    await people.later()
    await people.reports(people.carrier.taken[0])
    assert await people.delivered() == 1


async def test_a_receipt_in_another_providers_name_changes_nothing(people: World) -> None:
    message = await people.writes()
    await people.later()
    await people.callbacks.receipts("impostor", receipts(people.carrier.taken[0]))
    await people.work()
    assert await people.fate(message.seq) == ("sent", "")


async def test_receipts_that_come_after_all_is_tidied_away_harm_nothing(people: World) -> None:
    message = await people.writes()
    await people.later()
    accepted = people.carrier.taken[0]
    await people.forget_outbox()
    assert await people.row(message.seq) is None
    await people.reports(accepted)
    assert await people.delivered() == 0


async def test_what_is_not_over_is_not_tidied_away(people: World) -> None:
    people.loop._valid_for = 7 * DAY
    people.carrier.script.append(is_busy(4.5 * DAY / SECOND))
    message = await people.writes()
    await people.later()
    await people.forget_outbox()
    await people.later(2 * DAY)
    assert await people.fate(message.seq) == ("sent", "")


async def test_a_receipt_for_a_deleted_account_harms_nothing(people: World) -> None:
    message = await people.writes()
    await people.later()
    await people.store.db.write(accounts.delete_user, people.ben.id, people.clock())
    await people.reports(people.carrier.taken[0])
    assert await people.fate(message.seq) == ("delivered", "")
