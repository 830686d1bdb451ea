"""Texts from phones: into the chat that they answer, once; and the words that are meant for the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from duologue.clock import MINUTE
from duologue.core.delivery.relay_policy import RelayPolicy
from duologue.errors import ApiError
from duologue.providers.sms.provider import InboundSms
from duologue.storage.tables import accounts
from tests.support.carrier import is_busy
from tests.support.relays import SERVICES, World, another, answers_to, relayed, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


# Service numbers.


async def test_an_answer_lands_in_the_chat_that_it_answers(people: World) -> None:
    await people.writes("Are you there?")
    await people.later()
    people.store.heard.commits.clear()
    await people.phone_says("Yes!")
    assert await answers_to(people) == ["Yes!"]
    assert people.store.heard.of(people.ana.id) != []


async def test_each_chat_has_a_service_number_of_its_own_on_a_phone(people: World) -> None:
    known = await relayed(people, 3)
    assert [arrival.sender for arrival in people.carrier.phones] == list(SERVICES)
    for number, service in enumerate(SERVICES):
        await people.phone_says(f"to friend {number}", service)
    for number, (_, pair) in enumerate(known):
        assert await answers_to(people, pair) == [f"to friend {number}"]


async def test_a_chat_keeps_its_number(people: World) -> None:
    [(friend, pair), *_] = await relayed(people, 3)
    for number in range(3):
        await people.writes(f"again {number}", pair=pair, by=friend)
        await people.later()
    assert [arrival.sender for arrival in people.carrier.phones[3:]] == [SERVICES[0]] * 3
    assert people.carrier.texts()[3:] == ["again 0", "again 1", "again 2"]


async def test_another_phone_has_all_the_numbers_to_itself(people: World) -> None:
    await relayed(people, 3)
    clara = await people.store.user()
    pair = await people.store.pair_of(people.ana, clara)
    await people.writes(pair=pair)
    await people.later()
    assert people.carrier.phones[-1].sender == SERVICES[0]


async def test_with_too_few_numbers_the_one_unused_for_longest_changes_hands_and_says_who_writes(
    people: World,
) -> None:
    known = await relayed(people, 3)
    await people.phone_says("still here", SERVICES[0])
    friend, pair = await people.friend_of(people.ben)
    await people.writes("new here", pair=pair, by=friend)
    await people.later()
    [newest] = [arrival for arrival in people.carrier.phones if "new here" in arrival.text]
    assert newest.sender == SERVICES[1], "the first was used by the answer"
    assert newest.text.startswith(f"{friend.phone}: new here\n")
    await people.phone_says("hello, new friend", SERVICES[1])
    assert await answers_to(people, pair) == ["hello, new friend"]
    assert await answers_to(people, known[1][1]) == []


async def test_whoever_lost_its_number_gets_another_and_says_who_writes(people: World) -> None:
    known = await relayed(people, 4)
    friend, pair = known[0]
    await people.writes("me again", pair=pair, by=friend)
    await people.later()
    assert people.carrier.phones[-1].text.startswith(f"{friend.phone}: me again\n")
    await people.phone_says("hello again", people.carrier.phones[-1].sender)
    assert await answers_to(people, pair) == ["hello again"]


async def test_who_writes_is_told_by_name_and_number(people: World) -> None:
    await people.store.db.write(accounts.update_user, people.ana.id, "Ana", people.clock())
    await people.writes("hi")
    await people.later()
    assert people.carrier.texts()[0].startswith(f"Ana ({people.ana.phone}): hi\n")


async def test_who_writes_is_told_until_a_text_has_come_through(people: World) -> None:
    people.carrier.script.append(is_busy(10))
    await people.writes("hi")
    await people.later()
    await people.later()
    assert people.carrier.texts()[0].startswith(f"{people.ana.phone}: hi\n")


async def test_without_numbers_of_ones_own_every_change_of_chat_says_who_writes(store_url: str) -> None:
    async with world(store_url, services=()) as people:
        friend, pair = await people.friend_of(people.ben)
        for text, whose, by in (
            ("1", people.pair, people.ana),
            ("2", people.pair, people.ana),
            ("3", pair, friend),
        ):
            await people.writes(text, pair=whose, by=by)
            await people.later()
        assert [arrival.sender for arrival in people.carrier.phones] == [None] * 3
        assert people.carrier.texts()[1] == "2"
        assert people.carrier.texts()[2].startswith(f"{friend.phone}: 3\n")
        await people.phone_says("to the last", "+15550001111")
        assert await answers_to(people, pair) == ["to the last"]


async def test_where_nobody_knows_the_number_it_is_the_chat_last_active(people: World) -> None:
    known = await relayed(people, 2)
    await people.phone_says("to the last", None)
    assert await answers_to(people, known[1][1]) == ["to the last"]
    people.clock.pass_by(MINUTE)
    await people.phone_says("to the first", SERVICES[0])
    people.clock.pass_by(MINUTE)
    await people.phone_says("and again", None)
    assert await answers_to(people, known[0][1]) == ["to the first", "and again"]


async def test_a_text_to_a_number_that_was_never_this_phones_is_never_guessed_into_a_chat(
    people: World,
) -> None:
    await relayed(people, 2)
    await people.phone_says("to whom?", SERVICES[2])
    await people.phone_says("to whom?", "+15550001111")
    for message in people.carrier.texts()[2:]:
        assert (
            message
            == f"{people.policy.app}: your text reached nobody. Reply to a text that you got from this number."
        )
    assert len(people.carrier.texts()) == 3, "once a day"


async def test_a_number_that_the_operator_gave_up_still_leads_to_its_chat(store_url: str) -> None:
    async with world(store_url) as people:
        known = await relayed(people, 2)
        people.policy = people.replies._policy = _with_services(people, SERVICES[1:])
        await people.phone_says("to the first", SERVICES[0])
        assert await answers_to(people, known[0][1]) == ["to the first"]
        friend, pair = known[0]
        people.loop._policy = people.policy
        await people.writes("from another number", pair=pair, by=friend)
        await people.later()
        assert people.carrier.phones[-1].sender == SERVICES[2]
        assert people.carrier.phones[-1].text.startswith(f"{friend.phone}: ")


def _with_services(people: World, services: Sequence[str]) -> RelayPolicy:
    return msgspec.structs.replace(people.policy, services=services)


# Repeats.


async def test_a_text_offered_again_is_one_message(people: World) -> None:
    await people.writes()
    await people.later()
    for _ in range(3):
        await people.phone_says("Yes!", id="sms-1")
    assert await answers_to(people) == ["Yes!"]


async def test_the_same_words_again_are_a_second_message(people: World) -> None:
    await people.writes()
    await people.later()
    for id_ in ("sms-1", "sms-2"):
        await people.phone_says("ok", id=id_)
    assert await answers_to(people) == ["ok", "ok"]


async def test_a_text_offered_to_several_nodes_at_once_is_one_message(people: World) -> None:
    await people.writes()
    await people.later()
    assert people.ben.phone
    sms = InboundSms("sms-1", people.ben.phone, SERVICES[0], "Yes!")
    async with another(people) as other:
        await asyncio.gather(
            *(node.callbacks.inbound("carrier", [sms]) for node in (people, other) for _ in range(5))
        )
    assert await answers_to(people) == ["Yes!"]


async def test_a_text_offered_again_goes_nowhere_else_although_its_number_has_changed_hands(
    people: World,
) -> None:
    known = await relayed(people, 3)
    await people.phone_says("for friend 0", SERVICES[0], id="sms-1")
    for number in range(3):
        friend, pair = await people.friend_of(people.ben)
        known.append((friend, pair))
        await people.writes(f"newcomer {number}", pair=pair, by=friend)
        await people.later(MINUTE)
    await people.phone_says("for friend 0", SERVICES[0], id="sms-1")
    found = [await answers_to(people, pair) for _, pair in known]
    assert found == [["for friend 0"], [], [], [], [], []]


async def test_an_id_given_to_another_text_stores_nothing(
    people: World, caplog: pytest.LogCaptureFixture
) -> None:
    await people.writes()
    await people.later()
    await people.phone_says("first", id="sms-1")
    await people.phone_says("another", id="sms-1")
    assert await answers_to(people) == ["first"]
    assert "gave another text the id" in caplog.text
    assert "another" not in caplog.text.replace("another text", "")


@pytest.mark.parametrize("provider_id", ["x" * 300, "id with \n line", "é" * 60, "a\0b", "\ud83d"])
async def test_any_id_of_a_providers_will_do(people: World, provider_id: str) -> None:
    await people.writes()
    await people.later()
    for _ in range(2):
        await people.phone_says("Yes!", id=provider_id)
    assert await answers_to(people) == ["Yes!"]


# Odd texts.


async def test_what_no_database_takes_is_taken_out(people: World) -> None:
    await people.writes()
    await people.later()
    await people.phone_says("a\0b \ud83d\ude00 \ud83d c\r\n")
    assert await answers_to(people) == ["ab 😀 � c"]


async def test_an_empty_text_is_no_message(people: World) -> None:
    await people.writes()
    await people.later()
    for text in ("", "\0", "\r\n"):
        await people.phone_says(text)
    assert await answers_to(people) == []
    assert len(people.carrier.asked) == 1


async def test_a_text_longer_than_a_message_becomes_several(people: World) -> None:
    await people.writes()
    await people.later()
    text = "".join(f"{number:05d}" for number in range(2000))
    for _ in range(2):
        await people.phone_says(text, id="sms-1")
    found = await answers_to(people)
    assert len(found) == 3
    assert "".join(found) == text


@pytest.mark.parametrize("sender", ["12345", "PIZZA", "", "0612345678", "+336"])
async def test_a_text_from_no_phone_is_ignored(people: World, sender: str) -> None:
    await people.callbacks.inbound("carrier", [InboundSms("sms-1", sender, SERVICES[0], "WIN!")])
    assert people.carrier.asked == []


async def test_nothing_that_phones_wrote_is_logged(people: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await people.writes("secret-one")
    await people.later()
    await people.phone_says("secret-two")
    await people.phone_says("secret-three", SERVICES[2])
    await people.phone_says("STOP")
    assert "secret" not in caplog.text
    assert (people.ben.phone or "") not in caplog.text


async def test_after_the_peer_has_left_a_text_reaches_nobody_and_says_so(people: World) -> None:
    await people.writes()
    await people.later()
    await people.store.db.write(accounts.delete_user, people.ana.id, people.clock())
    await people.phone_says("Are you there?")
    assert "reached nobody" in people.carrier.texts()[-1]


async def test_a_full_store_has_the_provider_offer_it_again(
    people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people.writes()
    await people.later()
    for queue in ("_writer", "_writers"):  # PostgreSQL has a queue of its own for what is no batch
        if hasattr(people.store.db, queue):
            monkeypatch.setattr(getattr(people.store.db, queue), "_capacity", 0)
    with pytest.raises(ApiError, match="overloaded"):
        await people.phone_says("Yes!", id="sms-1")
    monkeypatch.undo()
    await people.phone_says("Yes!", id="sms-1")
    assert await answers_to(people) == ["Yes!"]
