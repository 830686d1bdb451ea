"""Long texts from phones: put together from pieces that come as they please."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from duologue.clock import DAY, MINUTE
from duologue.providers.sms.provider import InboundSms, SegmentHeader
from duologue.storage.tables import text_segments
from duologue.storage.tables.text_segments import OPEN_PER_SENDER
from tests.contract.store import new_phone, rows
from tests.support.relays import SERVICES, World, another, answers_to, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


def in_pieces(*pieces: str, reference: int = 7) -> list[tuple[str, SegmentHeader]]:
    return [(text, SegmentHeader(reference, number, len(pieces))) for number, text in enumerate(pieces, 1)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 0, 2, 2, 1, 1, 0), (2, 0, 1, 2)])
async def test_a_long_text_is_put_together_whatever_order_its_pieces_come_in(
    people: World, order: Sequence[int]
) -> None:
    await people.writes()
    await people.later()
    pieces = in_pieces("one \n", "\ntwo ", "three")
    for index in order:
        text, part = pieces[index]
        await people.phone_says(text, id=f"piece-{index}", part=part)
    assert await answers_to(people) == ["one \n\ntwo three"]


async def test_a_piece_that_never_comes_is_waited_for_ten_minutes(people: World) -> None:
    await people.writes()
    await people.later()
    for index, (text, part) in enumerate(in_pieces("one ", "two ", "three")):
        if index != 1:
            await people.phone_says(text, id=f"piece-{index}", part=part)
    people.clock.pass_by(10 * MINUTE)
    await people.replies.sweep()
    assert await answers_to(people) == []
    people.clock.pass_by(1)
    await people.replies.sweep()
    await people.replies.sweep()
    assert await answers_to(people) == ["one  […] three"]


async def test_a_piece_that_comes_after_all_is_a_message_too(people: World) -> None:
    await people.writes()
    await people.later()
    one, two = in_pieces("one ", "two")
    await people.phone_says(two[0], id="piece-2", part=two[1])
    people.clock.pass_by(11 * MINUTE)
    await people.replies.sweep()
    await people.phone_says(one[0], id="piece-1", part=one[1])
    people.clock.pass_by(11 * MINUTE)
    await people.replies.sweep()
    found = await answers_to(people)
    assert len(found) == 2
    assert "two" in found[0]
    assert "one" in found[1]


async def test_pieces_of_two_texts_are_not_mixed(people: World) -> None:
    await people.writes()
    await people.later()
    first, second = in_pieces("a1 ", "a2", reference=1), in_pieces("b1 ", "b2", reference=2)
    for number, (text, part) in enumerate((first[0], second[1], second[0], first[1])):
        await people.phone_says(text, id=f"piece-{number}", part=part)
    assert sorted(await answers_to(people)) == ["a1 a2", "b1 b2"]


async def test_a_reference_used_again_begins_anew(people: World) -> None:
    await people.writes()
    await people.later()
    for round_ in range(3):
        for number, (text, part) in enumerate(in_pieces(f"{round_} one ", "two")):
            await people.phone_says(text, id=f"piece-{round_}-{number}", part=part)
    assert await answers_to(people) == ["0 one two", "1 one two", "2 one two"]


async def test_pieces_at_two_nodes_at_once_are_put_together_once(people: World) -> None:
    await people.writes()
    await people.later()
    assert people.ben.phone
    async with another(people) as other:
        nodes = [people, other]
        await asyncio.gather(
            *(
                nodes[number % 2].callbacks.inbound(
                    "carrier", [InboundSms(f"piece-{number}", people.ben.phone, SERVICES[0], text, part)]
                )
                for number, (text, part) in enumerate(in_pieces(*"abcdefgh"))
            )
        )
    assert await answers_to(people) == ["abcdefgh"]


async def test_a_piece_offered_again_after_its_text_was_taken_is_no_message(people: World) -> None:
    await people.writes()
    await people.later()
    _, *others = in_pieces("one ", "two ", "three")
    for number, (text, part) in enumerate(others):
        await people.phone_says(text, id=f"piece-{number}", part=part)
    people.clock.pass_by(11 * MINUTE)
    await people.replies.sweep()
    for number, (text, part) in enumerate(others):
        await people.phone_says(text, id=f"piece-{number}", part=part)
    people.clock.pass_by(11 * MINUTE)
    await people.replies.sweep()
    assert await answers_to(people) == [" […] two three"]


async def test_the_oldest_text_of_a_sender_with_too_many_open_is_taken_as_it_is(people: World) -> None:
    await people.writes()
    await people.later()
    count = OPEN_PER_SENDER + 3
    for reference in range(count):
        people.clock.pass_by(1)
        await people.phone_says(f"{reference}", id=f"in-{reference}", part=SegmentHeader(reference, 1, 255))
    assert await answers_to(people) == [f"{reference} […] " for reference in range(3)]
    kept, waiting = rows(
        people.store.url, "SELECT count(*) FROM sms_pieces", "SELECT count(*) FROM sms_open_texts"
    )
    assert (kept, waiting) == ([(count,)], [(OPEN_PER_SENDER,)]), "a row for each piece, none for the missing"


async def test_all_senders_together_have_a_bounded_number_of_texts_open(
    people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_segments, "OPEN_IN_ALL", 3)
    await people.writes()
    await people.later()
    senders = [people.ben.phone, *(new_phone() for _ in range(3))]
    for number, sender in enumerate(senders):
        people.clock.pass_by(1)
        await people.phone_says("one", id=f"in-{number}", sender=sender, part=SegmentHeader(1, 1, 2))
    assert await answers_to(people) == ["one […] "]
    await people.phone_says("two", id="late", sender=people.ben.phone, part=SegmentHeader(1, 2, 2))
    people.clock.pass_by(11 * MINUTE)
    await people.replies.sweep()
    assert await answers_to(people) == ["one […] ", " […] two"], "what comes later is a message too"
    assert rows(people.store.url, "SELECT count(*) FROM sms_open_texts") == [[(0,)]]


async def test_old_pieces_and_ids_are_forgotten(people: World) -> None:
    await people.writes()
    await people.later()
    for number, (text, part) in enumerate(in_pieces("one ", "two")):
        await people.phone_says(text, id=f"piece-{number}", part=part)
    people.clock.pass_by(3 * DAY)
    await people.replies.sweep()
    for table in ("sms_pieces", "sms_inbound"):
        assert rows(people.store.url, f"SELECT * FROM {table}") == [[]]  # noqa: S608
