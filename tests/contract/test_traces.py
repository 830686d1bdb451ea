"""The trace of a message: every hop with its time, for its sender alone, with nothing in it that isn't theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest

from duologue.clock import DAY, HOUR, SECOND
from duologue.core.quiet_hours import QuietHours
from duologue.core.retention import sweep_round
from duologue.core.traces import Traces
from duologue.errors import ApiError
from duologue.model import Kind
from duologue.realtime.bus import Notice
from duologue.storage.tables.traces import Hop
from tests.contract.store import rows
from tests.support.carrier import is_broken, receipts
from tests.support.relays import DELAY, World, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


async def test_every_hop_has_its_time(people: World) -> None:
    sent_at = people.clock()
    message = await people.writes("x" * 400)
    people.traces.note(people.pair.chat_id, (message.seq, Hop.ACCEPTED, sent_at - 3))
    people.traces.note(people.pair.chat_id, (message.seq, Hop.COMMITTED, sent_at + 2))
    await people.later()
    people.clock.pass_by(4 * SECOND)
    for receipt in reversed(receipts(people.carrier.taken[0])):
        await people.callbacks.receipts("carrier", [dataclasses.replace(receipt, state="sent")])
        await people.callbacks.receipts("carrier", [receipt])
        people.clock.pass_by(SECOND)
    await people.work()
    due = sent_at + DELAY
    steps = await people.trace(message.seq)
    assert [(step.hop, step.at - due, step.detail) for step in steps[2:]] == [
        ("sms_due", 0, ""),
        ("sms_sent", 0, "carrier, 3 parts"),
        ("sms_receipt", 4000, "sent part 3"),
        ("sms_receipt", 4000, "delivered part 3"),
        ("sms_receipt", 5000, "sent part 2"),
        ("sms_receipt", 5000, "delivered part 2"),
        ("sms_receipt", 6000, "sent part 1"),
        ("sms_receipt", 6000, "delivered part 1"),
    ]
    assert [(step.hop, step.at - sent_at) for step in steps[:2]] == [("accepted", -3), ("committed", 2)]


async def test_without_any_note_it_is_known_when_it_was_committed(people: World) -> None:
    message = await people.writes()
    [step] = await people.trace(message.seq)
    assert (step.hop, step.at) == ("committed", message.sent_at)


async def test_a_device_that_was_given_it_and_acknowledged_it_shows(people: World) -> None:
    message = await people.writes()
    people.clock.pass_by(5)
    people.traces.pushed([_created(people, message.seq)])
    people.clock.pass_by(7)
    people.traces.note(people.pair.chat_id, (message.seq + 1, Hop.ACKNOWLEDGED, people.clock()))
    assert [(step.hop, step.at - message.sent_at) for step in await people.trace(message.seq)] == [
        ("committed", 0),
        ("pushed", 5),
        ("acknowledged", 12),
    ]


def _created(people: World, seq: int, *, own: int = 0) -> Notice:
    return Notice(people.ben.id, 1, Kind.MESSAGE_CREATED, people.pair.chat_id, seq, own, b"{}")


async def test_the_first_time_counts_on_whichever_node_it_was(people: World) -> None:
    message = await people.writes()
    for at in (30, 10, 20):
        people.traces.note(people.pair.chat_id, (message.seq, Hop.PUSHED, message.sent_at + at))
        await people.traces.flush()
    steps = await people.trace(message.seq)
    assert [step.at - message.sent_at for step in steps if step.hop == "pushed"] == [10]


async def test_the_senders_own_devices_are_no_hop(people: World) -> None:
    message = await people.writes()
    people.traces.pushed([_created(people, message.seq, own=1)])
    assert [step.hop for step in await people.trace(message.seq)] == ["committed"]


async def test_waiting_for_the_morning_shows_until_when(store_url: str) -> None:
    """08:00 in London, 09:00 in Paris."""
    async with world(store_url, quiet=QuietHours(8 * 60, 12 * 60)) as people:
        message = await people.writes()
        await people.later()
        steps = await people.trace(message.seq)
        assert (steps[-1].hop, steps[-1].detail) == ("sms_due", "quiet_hours")
        assert steps[-1].at == message.sent_at + 3 * HOUR


async def test_a_retry_shows_why_and_when(people: World) -> None:
    people.carrier.script.append(is_broken)
    message = await people.writes()
    await people.later()
    last = (await people.trace(message.seq))[-1]
    assert (last.hop, last.detail) == ("sms_due", "500")
    assert last.at > people.clock()


async def test_an_acknowledged_one_shows_since_when_its_sms_is_cancelled(people: World) -> None:
    people.carrier.script.append(is_broken)
    message = await people.writes()
    await people.later()
    people.clock.pass_by(SECOND)
    await people.acks(message.seq)
    people.traces.note(people.pair.chat_id, (message.seq, Hop.ACKNOWLEDGED, people.clock()))
    last = (await people.trace(message.seq))[-1]
    assert (last.hop, last.detail, last.at) == ("sms_cancelled", "acknowledged", people.clock())


async def test_only_the_sender_is_told(people: World) -> None:
    message = await people.writes()
    with pytest.raises(ApiError, match="not_sender"):
        await people.trace(message.seq, by=people.ben)


@pytest.mark.parametrize("seq", [0, 2, 999])
async def test_a_message_that_is_not_there_has_no_trace(people: World, seq: int) -> None:
    await people.writes()
    with pytest.raises(ApiError, match="not_found"):
        await people.trace(seq)


async def test_no_text_no_number_and_no_device_is_in_it(people: World) -> None:
    message = await people.writes("a secret")
    people.traces.pushed([_created(people, message.seq)])
    await people.later()
    await people.reports(people.carrier.taken[0])
    told = repr(await people.trace(message.seq))
    stored = repr(await people.store.db.read(lambda tx: tx.all("SELECT * FROM traces")))
    for secret in ("a secret", people.ben.phone or "", "+33757", "carrier-1"):
        assert secret not in told
        assert secret not in stored


async def test_traces_and_the_outbox_are_kept_for_some_days_only(people: World) -> None:
    message = await people.writes()
    people.traces.pushed([_created(people, message.seq)])
    await people.later()
    await people.trace(message.seq)
    people.clock.pass_by(3 * DAY + 1)
    await sweep_round(people.store.db, people.clock, 3 * DAY)
    assert [step.hop for step in await people.trace(message.seq)] == ["committed"]
    for table in ("traces", "sms_outbox", "sms_ids", "sms_receipts"):
        assert rows(people.store.url, f"SELECT * FROM {table}") == [[]]  # noqa: S608


async def test_switched_off_nothing_is_kept(people: World) -> None:
    quiet = Traces(people.store.db, people.clock, kept=False)
    quiet.note(people.pair.chat_id, (1, Hop.PUSHED, people.clock()))
    await quiet.flush()
    assert await people.store.db.read(lambda tx: tx.all("SELECT * FROM traces")) == []


async def test_notes_take_a_bounded_amount_of_memory(people: World) -> None:
    traces = Traces(people.store.db, people.clock, kept=True, most=30)
    for number in range(50):
        traces.note(people.pair.chat_id, (number, Hop.PUSHED, people.clock()))
    assert traces.noted == 30
    await traces.flush()
    traces.note(people.pair.chat_id, (50, Hop.PUSHED, people.clock()))
    assert traces.noted == 3


async def test_the_notes_of_a_busy_chat_are_few_rows(people: World) -> None:
    for number in range(1, 1001):
        people.traces.note(people.pair.chat_id, (number, Hop.PUSHED, people.clock()))
    await people.traces.flush()
    [found] = rows(people.store.url, "SELECT length(hops) FROM traces")
    assert len(found) == 1
    assert found[0][0] < 8_000, "some bytes a hop"
