"""Codes that a phone's owner sends by SMS: in no chat, and void, on both engines."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client import REGISTRY

from duologue.clock import MINUTE
from duologue.core.given_codes import digits_of
from duologue.errors import ApiError
from duologue.providers.sms.provider import SegmentHeader
from duologue.storage.tables.verifications import Verification
from tests.contract.store import new_phone
from tests.support.relays import SERVICES, World, answers_to, world
from tests.support.sign_in import OWNER, STRANGER, Desk, Phones, elsewhere

pytestmark = pytest.mark.anyio

WARNING = "Duologue: never send a code to anybody. This code is void now; ask for a new one if you need it."
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
WIDE = str.maketrans("0123456789", "０１２３４５６７８９")


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    """Ana has written to Ben, who got it by SMS."""
    async with world(store_url) as people:
        await people.writes("What code did you just get?")
        await people.later()
        yield people


@pytest.fixture
def desk(people: World) -> Desk:
    return Desk(people.store.db, people.clock, Phones())


async def code_for_ben(people: World, desk: Desk, address: str = STRANGER) -> tuple[Verification, str]:
    """A code that somebody asked for Ben's number."""
    assert people.ben.phone
    verification = await desk.start(people.ben.phone, address)
    return verification, desk.code_of(verification)


async def is_void(desk: Desk, verification: Verification, code: str) -> bool:
    try:
        await desk.redeem(verification, code)
    except ApiError as fault:
        return fault.code == "code_expired"
    return False


def warnings(people: World) -> list[str]:
    return [text for text in people.carrier.texts() if text == WARNING]


def counted() -> float:
    return REGISTRY.get_sample_value("duologue_codes_given_away_total") or 0


SPELLINGS: dict[str, Callable[[str], str]] = {
    "bare": str,
    "in a sentence": lambda code: f"It is {code}!",
    "in two groups": lambda code: f"{code[:3]} {code[3:]}",
    "with dashes": "-".join,
    "between letters": lambda code: f"x{code}y",
    "with words between": lambda code: f"first {code[:3]} and then {code[3:]}",
    "in a longer number": lambda code: f"+{code}0",
    "in Arabic digits": lambda code: code.translate(ARABIC),
    "in wide digits": lambda code: code.translate(WIDE),
    "after a word of the service": lambda code: f"STOP {code}",
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
async def test_a_reply_with_a_live_code_is_in_no_chat_and_makes_it_void(
    people: World, desk: Desk, spell: Callable[[str], str]
) -> None:
    verification, code = await code_for_ben(people, desk)
    before = counted()
    await people.phone_says(spell(code))
    assert await answers_to(people) == []
    assert await is_void(desk, verification, code)
    assert warnings(people) == [WARNING]
    assert counted() == before + 1


async def test_every_code_of_the_phone_is_looked_for_whoever_asked(people: World, desk: Desk) -> None:
    asked = [await code_for_ben(people, desk, elsewhere(number)) for number in range(4)]
    await people.phone_says(f"I got {asked[1][1]} and {asked[3][1]}")
    void = [await is_void(desk, verification, code) for verification, code in asked]
    assert void == [False, True, False, True]
    assert await answers_to(people) == []
    assert len(warnings(people)) == 1


async def test_a_code_sent_again_or_offered_again_is_answered_once(people: World, desk: Desk) -> None:
    _, code = await code_for_ben(people, desk)
    for id_ in ("sms-1", "sms-1", "sms-2"):
        await people.phone_says(f"it is {code}", id=id_)
    assert await answers_to(people) == []
    assert len(warnings(people)) == 1


async def test_after_that_another_code_can_be_asked_for(people: World, desk: Desk) -> None:
    verification, code = await code_for_ben(people, desk, OWNER)
    await people.phone_says(code)
    people.clock.pass_by(MINUTE)
    again, another = await code_for_ben(people, desk, OWNER)
    assert again.id != verification.id
    assert await desk.redeem(again, another)


async def test_other_digits_and_codes_that_open_nothing_are_messages(people: World, desk: Desk) -> None:
    used, code = await code_for_ben(people, desk, OWNER)
    await desk.redeem(used, code)
    over, expired = await code_for_ben(people, desk, STRANGER)
    people.clock.pass_by(over.expires_at - people.clock())
    other = await desk.start(new_phone())
    texts = [f"it was {code}", f"and {expired}", f"not mine: {desk.code_of(other)}", "call 0612345678", "ok"]
    for text in texts:
        await people.phone_says(text)
    assert await answers_to(people) == texts
    assert await desk.redeem(other, desk.code_of(other)), "another phone's code is not touched"


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_a_code_in_one_piece_of_a_long_text_is_void_at_once(
    people: World, desk: Desk, order: tuple[int, int]
) -> None:
    verification, code = await code_for_ben(people, desk)
    pieces = {1: f"the code is {code}", 2: "; will you send it on?"}
    await people.phone_says(pieces[order[0]], id=f"p{order[0]}", part=SegmentHeader(7, order[0], 2))
    if order[0] == 1:
        assert await is_void(desk, verification, code), "whether or not the rest ever comes"
    await people.phone_says(pieces[order[1]], id=f"p{order[1]}", part=SegmentHeader(7, order[1], 2))
    assert await is_void(desk, verification, code)
    assert await answers_to(people) == []
    assert len(warnings(people)) == 1


async def test_a_code_torn_across_pieces_is_found_in_the_whole(people: World, desk: Desk) -> None:
    verification, code = await code_for_ben(people, desk)
    for number, text in enumerate((f"it is {code[:2]}", f"{code[2:]}, see?"), 1):
        await people.phone_says(text, id=f"p{number}", part=SegmentHeader(7, number, 2))
    assert await is_void(desk, verification, code)
    assert await answers_to(people) == []


async def test_who_sent_stop_is_not_answered_and_the_code_is_void(people: World, desk: Desk) -> None:
    await people.phone_says("STOP")
    verification, code = await code_for_ben(people, desk)
    await people.phone_says(code)
    assert warnings(people) == []
    assert await is_void(desk, verification, code)


async def test_a_phone_that_is_nobodys_yet_is_warned_too(people: World, desk: Desk) -> None:
    phone = new_phone()
    verification = await desk.start(phone)
    await people.phone_says(desk.code_of(verification), sender=phone)
    assert people.carrier.texts(phone) == [WARNING]
    assert await is_void(desk, verification, desk.code_of(verification))


async def test_no_code_is_logged(people: World, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    _, code = await code_for_ben(people, desk)
    await people.phone_says(f"it is {code}")
    assert "live sign-in code" in caplog.text
    assert code not in caplog.text


async def test_a_text_from_one_of_our_own_numbers_is_dropped(people: World) -> None:
    await people.store.user(SERVICES[1])
    before = len(people.carrier.asked)
    await people.phone_says("hello", SERVICES[0], sender=SERVICES[1])
    assert len(people.carrier.asked) == before


async def test_nothing_is_sent_to_one_of_our_own_numbers(people: World) -> None:
    own = await people.store.user(SERVICES[1])
    pair = await people.store.pair_of(people.ana, own)
    message = await people.writes(pair=pair)
    await people.later()
    assert await people.fate(message.seq, pair) == ("cancelled", "own_number")


def test_digits_of_every_script_are_digits() -> None:
    assert digits_of("a1 ٢-３ ④ ５️⃣ ⁶ 七 ½ 十") == "1234567"
