"""An SMS whose answer is lost: its receipt has an id that nobody gave us, and must not become the phone's text."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from duologue.clock import DAY, SECOND
from duologue.core.retention import sweep_round
from tests.support.relays import World, answers_to, world
from tests.support.smpp_people import OWN, has_been_written_to, number_of, smsc

pytestmark = pytest.mark.anyio

RECEIPT = (
    "id:9f31 sub:001 dlvrd:001 submit date:2611230930 done date:2611230931 stat:DELIVRD err:000 text:Hello"
)
NOT_QUITE = [
    "id:9f31 stat:DELIVRD",
    RECEIPT.replace("sub:001 ", ""),
    RECEIPT.replace("stat:DELIVRD", "stat:done"),
    f"Look: {RECEIPT}",
]
"""Texts that a person may write about a receipt."""


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url, services=(f"+{OWN}",)) as people:
        yield people


def unanswered() -> float:
    labels = {"provider": "smpp", "oddity": "unanswered"}
    return REGISTRY.get_sample_value("duologue_smpp_odd_total", labels) or 0


async def test_a_receipt_whose_answer_was_lost_is_no_text_of_the_phone_on_any_node(
    people: World, caplog: pytest.LogCaptureFixture
) -> None:
    before = unanswered()
    async with smsc(people, timeout=0.3) as (carrier, node), smsc(people) as (other, _):
        await people.writes()
        people.clock.pass_by(31 * SECOND)
        await node.round()
        await carrier.submitted()
        await node.sent()
        sender = (1, number_of(people.ben))
        await carrier.hears(RECEIPT.encode(), sender=sender)
        await other.hears(RECEIPT.encode(), sender=sender)
        for text in NOT_QUITE:
            await carrier.hears(text.encode(), sender=sender)
        assert await answers_to(people) == NOT_QUITE
        assert unanswered() == before + 2
        assert caplog.text.count("whose answer was lost") == 2, "once for each connection"
        people.clock.pass_by(4 * DAY)
        await sweep_round(people.store.db, people.clock, 3 * DAY)
        await carrier.hears(RECEIPT.encode(), sender=sender)
        assert (await answers_to(people))[-1] == RECEIPT, "nothing is on its way any more"


async def test_a_person_whose_sms_were_all_answered_may_write_a_receipt(people: World) -> None:
    before = unanswered()
    async with smsc(people) as (carrier, node):
        await has_been_written_to(people, carrier, node)
        await carrier.hears(RECEIPT.encode(), sender=(1, number_of(people.ben)))
        assert await answers_to(people) == [RECEIPT]
        assert unanswered() == before
