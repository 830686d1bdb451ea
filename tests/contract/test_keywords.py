"""STOP, START and HELP, and what the service answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from duologue.clock import DAY, HOUR
from duologue.core.sms_policy import BUDGET
from duologue.storage.tables import accounts
from duologue.storage.tables.quotas import add
from tests.contract.store import new_phone
from tests.support.carrier import is_busy
from tests.support.relays import SERVICES, World, answers_to, relayed, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


@pytest.mark.parametrize(
    "word",
    [
        "STOP",
        "stop",
        " Stop. ",
        "«Stop!»",
        "UNSUBSCRIBE",
        "arrêt",
        "ARRET",
        "stopp",
        "baja",
        "стоп",
        "停止",
    ],
)
async def test_stop_stops_it_in_many_languages(people: World, word: str) -> None:
    await people.writes("one")
    await people.later()
    await people.phone_says(word)
    assert people.carrier.texts()[1:] == [
        f"{people.policy.app}: you will get no more texts. Reply START to get them again."
    ]
    message = await people.writes("two")
    await people.later()
    assert await people.fate(message.seq) == ("cancelled", "opted_out")
    assert len(people.carrier.phones) == 2
    assert await answers_to(people) == []


async def test_stop_holds_for_every_chat_and_number(people: World) -> None:
    known = await relayed(people, 2)
    await people.phone_says("STOP", SERVICES[1])
    for friend, pair in known:
        await people.writes("hello?", pair=pair, by=friend)
    await people.later()
    assert len(people.carrier.phones) == 3


async def test_stop_reaches_what_is_waiting(people: World) -> None:
    await people.writes("one")
    await people.later()
    people.carrier.script.append(is_busy(60))
    message = await people.writes("two")
    await people.later()
    await people.phone_says("STOP")
    assert await people.fate(message.seq) == ("cancelled", "opted_out")


async def test_start_starts_it_again(people: World) -> None:
    await people.writes("one")
    await people.later()
    for word in ("STOP", "START"):
        await people.phone_says(word)
    assert (
        people.carrier.texts()[2] == f"{people.policy.app}: you will get texts again. Reply STOP for no more."
    )
    await people.writes("two")
    await people.later()
    assert people.carrier.texts()[3] == "two"


async def test_start_from_somebody_who_never_stopped_is_a_message(people: World) -> None:
    await people.writes("Shall we begin?")
    await people.later()
    await people.phone_says("Start", id="sms-1")
    await people.phone_says("Start", id="sms-1")
    assert await answers_to(people) == ["Start"]


async def test_a_stop_that_is_offered_again_after_a_start_stops_nothing(people: World) -> None:
    await people.writes("one")
    await people.later()
    await people.phone_says("STOP", id="sms-1")
    await people.phone_says("START", id="sms-2")
    for id_, word in (("sms-1", "STOP"), ("sms-2", "START"), ("sms-1", "STOP")):
        await people.phone_says(word, id=id_)
    await people.writes("two")
    await people.later()
    assert people.carrier.texts()[-1] == "two"
    assert await answers_to(people) == []


async def test_stop_is_remembered_for_a_number_that_nobody_signed_in_with(people: World) -> None:
    phone = new_phone()
    await people.phone_says("STOP", sender=phone)
    user = await people.store.user(phone)
    pair = await people.store.pair_of(people.ana, user)
    message = await people.writes(pair=pair)
    await people.later()
    assert await people.fate(message.seq, pair) == ("cancelled", "opted_out")


async def test_stop_outlives_the_account_and_holds_for_the_next_owner_of_the_number(people: World) -> None:
    phone = people.ben.phone
    assert phone
    await people.phone_says("STOP")
    await people.store.db.write(accounts.delete_user, people.ben.id, people.clock())
    await people.store.finish_chores()
    heir = await people.store.user(phone)
    pair = await people.store.pair_of(people.ana, heir)
    message = await people.writes(pair=pair)
    await people.later()
    assert heir.id != people.ben.id
    assert await people.fate(message.seq, pair) == ("cancelled", "opted_out")


async def test_a_word_in_a_sentence_is_a_sentence(people: World) -> None:
    await people.writes()
    await people.later()
    await people.phone_says("Stop it, I'm at the bus stop")
    assert len(await answers_to(people)) == 1


async def test_help_is_answered_three_times_a_day(people: World) -> None:
    for _ in range(5):
        await people.phone_says("HELP")
    assert [("Just reply" in text) for text in people.carrier.texts()] == [True] * 3
    people.clock.pass_by(DAY)
    await people.phone_says("AIDE")
    assert len(people.carrier.phones) == 4


async def test_who_writes_to_nobody_is_told_once_a_day(people: World) -> None:
    for _ in range(3):
        await people.phone_says("hello?")
        people.clock.pass_by(HOUR)
    [text] = people.carrier.texts()
    assert "reached nobody" in text
    people.clock.pass_by(DAY)
    await people.phone_says("hello?")
    assert len(people.carrier.phones) == 2


async def test_who_sent_stop_is_told_nothing_more(people: World) -> None:
    await people.phone_says("STOP")
    await people.phone_says("hello?")
    assert len(people.carrier.phones) == 1


async def test_who_sent_stop_may_still_write(people: World) -> None:
    await people.writes()
    await people.later()
    await people.phone_says("STOP")
    await people.phone_says("I only read on the app")
    assert await answers_to(people) == ["I only read on the app"]


async def test_answers_of_the_service_cost_from_the_days_money(store_url: str) -> None:
    async with world(store_url, daily_budget=4_000_000) as people:
        for number in range(4):
            await people.phone_says("HELP", sender=f"+3361200000{number}")
        assert len(people.carrier.phones) == 2, "5 % for strangers"


async def test_strangers_texts_silence_no_confirmation(store_url: str) -> None:
    async with world(store_url, daily_budget=8_000_000) as people:
        await people.writes()
        await people.later()
        for number in range(30):
            for text in ("hello?", "HELP", "STOP", "START"):
                await people.phone_says(text, sender=f"+336120000{number:02d}")
        before = len(people.carrier.phones)
        for word in ("STOP", "START", "HELP"):
            await people.phone_says(word)
        assert len(people.carrier.texts(people.ben.phone)) == 1 + 3
        assert len(people.carrier.phones) == before + 3


async def test_neither_do_messages_and_codes_that_have_spent_the_days_money(store_url: str) -> None:
    async with world(store_url, daily_budget=1_000_000) as people:
        await people.store.db.write(add, BUDGET, 1_000_000, DAY, people.clock())
        await people.phone_says("STOP")
        assert len(people.carrier.texts(people.ben.phone)) == 1


async def test_people_who_ask_for_help_silence_no_stop(store_url: str) -> None:
    async with world(store_url, daily_budget=4_000_000) as people:
        for _ in range(20):
            friend, _ = await people.friend_of(people.ben)
            await people.phone_says("HELP", sender=friend.phone)
        assert len(people.carrier.phones) == 2, "half of the confirmations' money"
        await people.phone_says("STOP")
        assert "no more texts" in people.carrier.texts(people.ben.phone)[0]


async def test_strangers_come_last(store_url: str) -> None:
    async with world(store_url, daily_budget=4_000_000) as people:
        await people.store.db.write(add, BUDGET, 2_000_000, DAY, people.clock())
        await people.phone_says("hello?", sender=new_phone())
        assert people.carrier.phones == []


async def test_where_no_code_goes_the_service_does_not_answer(store_url: str) -> None:
    async with world(store_url, denied=["GB"]) as people:
        await people.phone_says("HELP", sender="+447700900123")
        assert people.carrier.asked == []
        await people.phone_says("HELP", sender="+33612000000")
        assert len(people.carrier.phones) == 1


async def test_a_carrier_in_trouble_does_not_hold_up_a_word(
    people: World, caplog: pytest.LogCaptureFixture
) -> None:
    people.carrier.script.append(is_busy())
    await people.phone_says("STOP")
    assert "could not be answered" in caplog.text
    message = await people.writes()
    await people.later()
    assert await people.fate(message.seq) == ("cancelled", "opted_out")


async def test_an_answer_in_the_language_of_the_number(store_url: str) -> None:
    async with world(store_url, language=None) as people:
        await people.phone_says("STOP", sender="+33612345678")
        await people.phone_says("STOP", sender="+4915112345678")
        assert [text.split(": ")[-1].split(" : ")[-1].split()[0] for text in people.carrier.texts()] == [
            "vous",
            "Sie",
        ]
