"""Messages that go on by SMS, and those that don't: over a real store, on both engines, by a clock set by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from duologue.clock import HOUR, MINUTE, SECOND
from duologue.model import Relay
from duologue.storage.tables import accounts
from duologue.storage.tables.sms_relay import RelayRule
from tests.support.carrier import is_busy, rejects
from tests.support.relays import DELAY, RULE, SERVICES, World, world

pytestmark = pytest.mark.anyio

ALWAYS = RelayRule(Relay.ALWAYS, Relay.OFF, DELAY)
OFF = RelayRule(Relay.OFF, Relay.OFF, DELAY)
EVERYONE = RelayRule(Relay.OFFLINE, Relay.ALWAYS, DELAY)


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


async def test_what_no_device_acknowledged_in_time_goes_by_sms_and_not_before(people: World) -> None:
    message = await people.writes("Are you there?")
    await people.later(DELAY - 1)
    assert people.carrier.asked == []
    await people.later(1)
    [sms] = people.carrier.phones
    assert (sms.to, sms.sender) == (people.ben.phone, SERVICES[0])
    assert sms.text.startswith(f"{people.ana.phone}: Are you there?\n")
    assert await people.fate(message.seq) == ("sent", "")


async def test_what_a_device_acknowledged_in_time_costs_nothing(people: World) -> None:
    message = await people.writes()
    await people.acks(message.seq)
    await people.later()
    assert people.carrier.asked == []
    assert await people.row(message.seq) is None


async def test_only_the_messages_that_nobody_acknowledged_go(people: World) -> None:
    first = await people.writes("one")
    await people.writes("two")
    await people.acks(first.seq)
    await people.later()
    assert [text.split(": ")[1].split("\n")[0] for text in people.carrier.texts()] == ["two"]


async def test_ones_own_messages_come_back_to_nobody(people: World) -> None:
    await people.writes("from Ben", by=people.ben)
    await people.later()
    assert people.carrier.texts(people.ben.phone) == []
    assert len(people.carrier.texts(people.ana.phone)) == 1


async def test_each_message_has_its_own_thirty_seconds(people: World) -> None:
    await people.writes("one")
    await people.later(20 * SECOND)
    await people.writes("two")
    await people.later(10 * SECOND)
    assert len(people.carrier.phones) == 1
    await people.later(20 * SECOND - 1)
    assert len(people.carrier.phones) == 1
    await people.later(1)
    assert people.carrier.texts()[1:] == ["two"]


async def test_an_ack_between_due_and_sent_cancels_and_the_trace_says_so(people: World) -> None:
    people.carrier.script.append(is_busy(60))
    message = await people.writes()
    await people.later()
    assert await people.fate(message.seq) == ("queued", "429")
    await people.acks(message.seq)
    hops = await people.hops(message.seq)
    assert ("sms_cancelled", "acknowledged") in hops
    await people.later(2 * MINUTE)
    assert await people.fate(message.seq) == ("cancelled", "acknowledged")
    assert people.carrier.phones == []
    assert [hop for hop, _ in await people.hops(message.seq)] == ["committed", "sms_due", "sms_cancelled"]


async def test_always_means_also_what_a_device_has(store_url: str) -> None:
    async with world(store_url) as people:
        await people.choose(people.ben, Relay.ALWAYS)
        message = await people.writes("one")
        await people.acks(message.seq)
        await people.later(0)
        assert len(people.carrier.phones) == 1


async def test_with_always_the_trace_promises_no_cancelling(store_url: str) -> None:
    async with world(store_url, rule=ALWAYS) as people:
        people.carrier.script.append(is_busy(60))
        message = await people.writes()
        await people.later(0)
        await people.acks(message.seq)
        assert "sms_cancelled" not in dict(await people.hops(message.seq))
        await people.later(2 * MINUTE)
        assert len(people.carrier.phones) == 1


@pytest.mark.parametrize(
    ("lists", "phone", "reason"),
    [
        ({"denied": ["IN"]}, "+919812345678", "country_not_allowed"),
        ({"allowed": ["FR"]}, "+447700900123", "country_not_allowed"),
        ({}, "+33899123456", "premium_number"),
    ],
)
async def test_where_no_code_goes_no_text_does(
    store_url: str, lists: dict[str, Any], phone: str, reason: str
) -> None:
    async with world(store_url, **lists) as people:
        them = await people.store.user(phone)
        pair = await people.store.pair_of(people.ana, them)
        message = await people.writes(pair=pair)
        await people.later()
        assert await people.fate(message.seq, pair=pair) == ("cancelled", reason)
        assert people.carrier.asked == []


@pytest.mark.parametrize("default", [Relay.OFF, Relay.OFFLINE, Relay.ALWAYS])
async def test_off_means_never(store_url: str, default: Relay) -> None:
    async with world(store_url, rule=RelayRule(default, Relay.OFF, DELAY)) as people:
        await people.choose(people.ben, Relay.OFF)
        await people.writes()
        await people.later(DELAY)
        assert people.carrier.asked == []


async def test_the_servers_default_is_for_those_who_chose_nothing(store_url: str) -> None:
    async with world(store_url, rule=OFF) as people:
        await people.writes()
        await people.later()
        assert people.carrier.asked == []
        await people.choose(people.ben, Relay.OFFLINE)
        await people.writes("now")
        await people.later()
        assert len(people.carrier.phones) == 1


async def test_whoever_changes_their_mind_in_time_gets_no_sms(people: World) -> None:
    await people.writes()
    await people.choose(people.ben, Relay.OFF)
    await people.later()
    assert people.carrier.asked == []


async def test_whoever_changes_their_mind_while_it_waits_gets_no_sms(people: World) -> None:
    people.carrier.script.append(is_busy(60))
    message = await people.writes()
    await people.later()
    await people.choose(people.ben, Relay.OFF)
    await people.later(2 * MINUTE)
    assert await people.fate(message.seq) == ("cancelled", "switched_off")
    assert people.carrier.phones == []


async def test_a_deleted_account_gets_no_sms(people: World) -> None:
    people.carrier.script.append(is_busy(60))
    first = await people.writes()
    await people.later()
    await people.writes()
    await people.store.db.write(accounts.delete_user, people.ben.id, people.clock())
    await people.later(2 * MINUTE)
    assert await people.fate(first.seq) == ("cancelled", "account_deleted")
    assert people.carrier.phones == []


async def test_a_number_that_nobody_signed_in_with_gets_no_sms_unless_the_operator_wants_it(
    people: World,
) -> None:
    _, pair = await people.stranger()
    await people.writes(pair=pair)
    await people.later(HOUR)
    assert people.carrier.asked == []


async def test_everyone_is_everyone_at_once(store_url: str) -> None:
    async with world(store_url, rule=EVERYONE) as people:
        _, pair = await people.stranger()
        for text in ("one", "two", "three"):
            await people.writes(text, pair=pair)
        await people.later(0)
        assert len(people.carrier.phones) == 3


async def test_an_invited_number_gets_one_sms_and_more_once_it_answered(store_url: str) -> None:
    async with world(store_url, rule=EVERYONE, invite_once=True) as people:
        user, pair = await people.stranger()
        for text in ("one", "two"):
            await people.writes(text, pair=pair)
        await people.later(0)
        await people.writes("three", pair=pair)
        await people.later(0)
        assert len(people.carrier.phones) == 1
        assert await people.fate(2, pair) == ("cancelled", "not_answered_yet")
        await people.phone_says("who is it?", sender=user.phone)
        await people.writes("it's me", pair=pair)
        await people.later(0)
        assert people.carrier.texts()[1:] == ["it's me"]


async def test_an_invitation_is_one_for_ever_not_one_in_every_few_days(store_url: str) -> None:
    async with world(store_url, rule=EVERYONE, invite_once=True) as people:
        _, pair = await people.stranger()
        await people.writes("one", pair=pair)
        await people.later(0)
        await people.forget_outbox()
        await people.writes("two", pair=pair)
        await people.later(0)
        assert len(people.carrier.phones) == 1


async def test_each_of_several_senders_may_invite(store_url: str) -> None:
    async with world(store_url, rule=EVERYONE, invite_once=True) as people:
        user, pair = await people.stranger()
        friend, other = await people.friend_of(user)
        await people.writes("one", pair=pair)
        await people.writes("two", pair=other, by=friend)
        await people.later(0)
        assert len(people.carrier.phones) == 2


async def test_an_sms_that_is_late_by_a_day_is_dead(people: World) -> None:
    people.carrier.usual = is_busy()
    message = await people.writes()
    for _ in range(60):
        await people.later(30 * MINUTE)
    state, reason = await people.fate(message.seq)
    assert (state, reason) == ("dead", "expired: 429")
    assert people.carrier.phones == []
    assert ("sms_failed", "expired: 429") in await people.hops(message.seq)


async def test_what_waited_too_long_unseen_is_dead_without_being_tried(people: World) -> None:
    message = await people.writes()
    await people.later(25 * HOUR)
    assert await people.fate(message.seq) == ("dead", "expired")
    assert people.carrier.asked == []


async def test_a_refused_number_is_dead_at_once_with_the_reason(people: World) -> None:
    people.carrier.script.append(rejects("number", "21211"))
    message = await people.writes()
    await people.later()
    assert await people.fate(message.seq) == ("dead", "number: 21211")
    await people.later(HOUR)
    assert len(people.carrier.asked) == 1


async def test_a_stop_that_only_the_carrier_knew_of_is_remembered(people: World) -> None:
    people.carrier.script.append(rejects("opted_out", "21610"))
    first = await people.writes()
    second = await people.writes()
    await people.later()
    assert await people.fate(first.seq) == ("dead", "opted_out: 21610")
    assert await people.fate(second.seq) == ("cancelled", "opted_out")
    assert len(people.carrier.asked) == 1


async def test_a_failed_message_does_not_stand_in_the_way_of_the_next(people: World) -> None:
    people.carrier.script.append(rejects("content"))
    for text in ("bad", "good"):
        await people.writes(text)
    await people.later()
    assert len(people.carrier.phones) == 1
    assert "good" in people.carrier.texts()[0]


async def test_messages_of_one_chat_keep_their_order_through_trouble(people: World) -> None:
    people.carrier.script.extend([is_busy(10), is_busy(20)])
    for number in range(6):
        await people.writes(f"text {number}")
    for _ in range(20):
        await people.later()
    assert [text.partition("text ")[2][0] for text in people.carrier.texts()] == list("012345")


async def test_chats_do_not_wait_for_each_other(people: World) -> None:
    people.carrier.script.append(is_busy(3600))
    await people.writes("stuck")
    friend, pair = await people.friend_of(people.ben)
    await people.later()
    await people.writes("free", pair=pair, by=friend)
    await people.later()
    assert len(people.carrier.phones) == 1
    assert "free" in people.carrier.texts()[0]


async def test_the_relay_of_a_message_outlives_a_sign_in_without_an_ack(people: World) -> None:
    """Being connected is not enough: what counts is the ack."""
    await people.writes()
    await people.store.user(people.ben.phone)
    await people.later()
    assert len(people.carrier.phones) == 1


async def test_a_number_that_changes_hands_takes_nothing_along(people: World) -> None:
    await people.writes("for the old owner")
    phone = people.ben.phone
    await people.store.db.write(accounts.delete_user, people.ben.id, people.clock())
    await people.store.user(phone)
    await people.later(HOUR)
    assert people.carrier.asked == []


async def test_a_reply_from_the_app_is_relayed_too(people: World) -> None:
    friend, pair = await people.friend_of(people.ben)
    await people.writes("hi", pair=pair, by=people.ben)
    await people.later()
    assert people.carrier.texts(friend.phone) != []


async def test_everything_due_at_once_is_looked_at(people: World) -> None:
    for _ in range(105):
        friend, pair = await people.friend_of(people.ben)
        await people.writes(pair=pair, by=friend)
    await people.later()
    assert len(people.carrier.phones) == 105


def test_the_default_rule_is_the_one_that_is_tested() -> None:
    assert RULE.delay == 30 * SECOND
