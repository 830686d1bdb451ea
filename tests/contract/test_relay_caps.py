"""Limits for one phone and for senders' money, and the end of every loop: on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from duologue.clock import DAY, HOUR, MINUTE, SECOND
from duologue.config import Settings
from duologue.core.loop_guard import BOUNDS
from duologue.model import Message, Pair, Relay, User
from duologue.storage.tables import quotas
from duologue.storage.tables.quotas import Pace
from duologue.storage.tables.receipts import store_acks
from tests.contract.store import Store, mark
from tests.support.carrier import Carrier, is_busy
from tests.support.relays import World, another, answers_to, world

pytestmark = pytest.mark.anyio

MOST = 5
WAITS = ("queued", "waits_for_answer")


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url, unanswered=MOST) as people:
        yield people


async def many(
    people: World, count: int, *, pair: Pair | None = None, by: User | None = None
) -> list[Message]:
    return [await people.writes(f"text {number};", pair=pair, by=by) for number in range(count)]


def numbers(people: World) -> list[int]:
    return [int(text.partition("text ")[2].partition(";")[0]) for text in people.carrier.texts()]


def test_the_default_is_the_one_that_is_tested() -> None:
    assert Settings().relay_unanswered == MOST


async def test_a_phone_that_does_not_answer_gets_five_texts_of_a_chat_and_the_rest_waits(
    people: World,
) -> None:
    messages = await many(people, 100)
    for _ in range(10):
        await people.later(MINUTE)
    assert numbers(people) == list(range(MOST))
    assert await people.fate(messages[MOST].seq) == WAITS
    assert ("sms_due", "waits_for_answer") in await people.hops(messages[MOST].seq)


async def test_an_answer_lets_five_more_go_at_once_and_in_order(people: World) -> None:
    await many(people, 12)
    await people.later()
    for answers in (1, 2):
        await people.phone_says(f"answer {answers}")
        await people.later(0)
        assert numbers(people) == list(range(min(12, MOST * (answers + 1))))


async def test_a_device_that_acknowledges_or_reads_anything_is_an_answer(people: World) -> None:
    messages = await many(people, 7)
    await people.later()
    assert len(people.carrier.phones) == MOST
    head = max(event.seq for event in people.store.heard.of(people.ben.id))
    await people.store.db.write(store_acks, {people.ben.id: head})
    await people.later(2 * MINUTE)
    assert numbers(people) == list(range(7))
    await many(people, 7)
    await people.later()
    assert len(people.carrier.phones) == 7 + MOST - 2
    side = people.pair.side_of(people.ben.id)
    await people.store.apply(mark(people.pair, side, read=messages[0].seq))
    await people.later(2 * MINUTE)
    assert len(people.carrier.phones) == 14


async def test_whoever_writes_from_the_app_has_answered(people: World) -> None:
    await many(people, 7)
    await people.later()
    await people.writes("here I am", by=people.ben)
    await people.later(2 * MINUTE)
    assert len(people.carrier.texts(people.ben.phone)) == 7


async def test_what_waits_for_an_answer_that_never_comes_ends_with_the_reason(people: World) -> None:
    messages = await many(people, MOST + 1)
    for _ in range(26):
        await people.later(HOUR)
    assert await people.fate(messages[-1].seq) == ("dead", "expired: waits_for_answer")


async def test_what_a_device_has_meanwhile_is_not_sent(people: World) -> None:
    messages = await many(people, MOST + 1)
    await people.later()
    await people.acks(messages[-1].seq)
    await people.later(2 * MINUTE)
    assert await people.fate(messages[-1].seq) == ("cancelled", "acknowledged")


async def test_what_was_surely_not_sent_does_not_count(people: World) -> None:
    people.carrier.script.extend([is_busy()] * 8)
    await many(people, MOST)
    # The eight waits between tries take 30 minutes at most, and each may end within a minute of ours.
    for _ in range(40):
        await people.later(MINUTE)
    assert numbers(people) == list(range(MOST))


async def test_one_phone_gets_twenty_of_all_chats_together(people: World) -> None:
    friends = [await people.friend_of(people.ben) for _ in range(8)]
    for friend, pair in friends:
        await many(people, 3, pair=pair, by=friend)
    await people.later()
    assert len(people.carrier.phones) == 4 * MOST
    await people.phone_says("Enough!", people.carrier.phones[-1].sender)
    await people.later(0)
    assert len(people.carrier.phones) == 24


async def test_several_nodes_keep_the_bound_together(people: World) -> None:
    for _ in range(30):
        friend, pair = await people.friend_of(people.ben)
        await people.writes(pair=pair, by=friend)
    people.clock.pass_by(MINUTE)
    async with another(people) as other:
        await asyncio.gather(people.work(), other.work())
    assert len(people.carrier.phones) == 4 * MOST


async def test_another_phone_is_not_concerned(people: World) -> None:
    await many(people, 30)
    clara = await people.store.user()
    pair = await people.store.pair_of(people.ana, clara)
    await people.writes(pair=pair)
    await people.later()
    assert len(people.carrier.texts(clara.phone)) == 1


# Money in time.


async def test_a_purse_refills_evenly(store: Store) -> None:
    """Of a day's money: half of it at once, then the other half over the day."""
    start, taken = 1_800_000_000_000, []
    for minute in range(2 * DAY // (15 * MINUTE)):
        now = start + minute * 15 * MINUTE
        while await store.db.write(quotas.try_take, [Pace("p", DAY // 5, DAY)], now) is None:
            taken.append(now)
    assert taken[:5] == [start] * 5
    assert len([at for at in taken if at < start + DAY]) <= 10
    for at in taken:
        assert len([each for each in taken if at <= each < at + DAY]) <= 10


async def test_it_is_told_when_a_purse_has_enough_again(store: Store) -> None:
    pace, now = Pace("p", DAY // 2, DAY), 1_800_000_000_000
    for _ in range(2):
        assert await store.db.write(quotas.try_take, [pace], now) is None
    short = await store.db.write(quotas.try_take, [pace], now)
    assert short
    assert (short.allowance, short.until) == (pace, now + DAY // 2)
    assert await store.db.write(quotas.try_take, [pace], short.until - 1)
    assert await store.db.write(quotas.try_take, [pace], short.until) is None


async def test_what_costs_more_than_a_purse_holds_needs_a_full_one(store: Store) -> None:
    dear, cheap, now = Pace("p", 3 * DAY, DAY), Pace("p", 1, DAY), 1_800_000_000_000
    assert await store.db.write(quotas.try_take, [cheap], now) is None
    assert await store.db.write(quotas.try_take, [dear], now)
    assert await store.db.write(quotas.try_take, [dear], now + 1) is None
    assert await store.db.write(quotas.try_take, [cheap], now + DAY)
    assert await store.db.write(quotas.try_take, [cheap], now + 2 * DAY + 2) is None


async def test_what_is_given_back_to_a_purse_can_be_used_again(store: Store) -> None:
    pace, now = Pace("p", DAY, DAY), 1_800_000_000_000
    for _ in range(5):
        assert await store.db.write(quotas.try_take, [pace], now) is None
        await store.db.write(quotas.give_back, [pace], now)


async def test_a_sender_spends_half_at_once_and_the_rest_over_the_day(store_url: str) -> None:
    async with world(store_url, sender_budget=1_000_000) as people:
        messages = await many(people, 12)
        await people.later()
        assert len(people.carrier.phones) == 5
        assert await people.fate(messages[5].seq) == ("queued", "sender_budget_spent")
        assert ("sms_due", "sender_budget_spent") in await people.hops(messages[5].seq)
        sent = []
        for _ in range(23):
            await people.later(HOUR)
            sent.append(len(people.carrier.phones))
        assert sent[4] == 6
        assert sent[-1] in (9, 10)
        assert numbers(people) == list(range(sent[-1]))
        await people.later(2 * HOUR)
        assert await people.fate(messages[-1].seq) == ("dead", "expired: sender_budget_spent")


async def test_heavy_senders_leave_something_to_those_who_have_used_little(store_url: str) -> None:
    async with world(store_url, sender_budget=2_000_000, daily_budget=10_000_000) as people:
        heavy = [await people.friend_of(people.ben) for _ in range(5)]
        for friend, pair in heavy:
            await many(people, 20, pair=pair, by=friend)
        await people.later()
        # Half of the 70 texts that messages may cost can go at once, a quarter of them is reserved.
        spent = len(people.carrier.phones)
        assert 26 <= spent < 35
        newcomer, pair = await people.friend_of(people.ana)
        message = await people.writes("may I?", pair=pair, by=newcomer)
        await people.later()
        assert await people.fate(message.seq, pair) == ("sent", "")
        assert await people.fate(20, heavy[4][1]) == ("queued", "budget_spent")
        for _ in range(23):
            await people.later(HOUR)
        assert 45 < len(people.carrier.phones) <= 70


# Loops.


async def answer_all(people: World, seen: int, text: str = "I am on holiday") -> int:
    """Every phone answers what it got since then, as an autoresponder does; how many texts there were in all."""
    got = people.carrier.phones[seen:]
    for arrival in got:
        await people.phone_says(text, arrival.sender, sender=arrival.to)
    return seen + len(got)


async def loop(people: World, steps: int, step: int) -> list[int]:
    """Two autoresponders answer each other; when texts went out."""
    times: list[int] = []
    seen = 0
    for _ in range(steps):
        await people.later(step)
        times += [people.clock()] * (len(people.carrier.phones) - len(times))
        seen = await answer_all(people, seen)
    return times


def busiest(times: list[int], span: int) -> int:
    return max(len([each for each in times if at <= each < at + span]) for at in times)


@pytest.fixture
async def impatient(store_url: str) -> AsyncIterator[World]:
    """Two people who have all messages go to their phones at once."""
    async with world(store_url, unanswered=MOST, carrier=Carrier(idempotent=True)) as people:
        for user in (people.ana, people.ben):
            await people.choose(user, Relay.ALWAYS)
        yield people


async def test_two_autoresponders_get_three_answers_a_minute_and_then_quiet(impatient: World) -> None:
    people = impatient
    await people.writes("hello")
    times = await loop(people, 60, 2 * SECOND)
    assert busiest(times[1:], MINUTE) == 3
    last = (await people.store.all_messages(people.pair))[-1]
    sender = people.ana if last.sender_id == people.ana.id else people.ben
    steps = await people.trace(last.seq, by=sender)
    assert ("sms_due", "too_many_answers") in [(step.hop, step.detail) for step in steps]


async def test_a_loop_that_goes_on_for_a_day_is_bounded(impatient: World) -> None:
    people = impatient
    await people.writes("hello")
    times = await loop(people, DAY // (10 * MINUTE), 10 * MINUTE)
    assert len(times) - 1 == BOUNDS[-1][0]


async def test_a_person_in_the_app_is_never_slowed(impatient: World) -> None:
    people = impatient
    seen = 0
    for number in range(30):
        await people.writes(f"message {number}")
        await people.later(SECOND)
        seen = await answer_all(people, seen, f"answer {number}")
        await people.later(0)
        assert len(people.carrier.texts(people.ben.phone)) == number + 1
        assert len(people.carrier.texts(people.ana.phone)) == number + 1
        seen = len(people.carrier.phones)
    assert len(await answers_to(people)) == 30


async def test_a_person_ends_the_quiet(impatient: World) -> None:
    people = impatient
    await people.writes("hello")
    await loop(people, 10, 2 * SECOND)
    before = len(people.carrier.phones)
    await people.writes("stop that, both of you")
    await people.later(SECOND)
    assert len(people.carrier.phones) > before
