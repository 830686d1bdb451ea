"""Suspended users: they keep everything and may do nothing, and no SMS goes to them or on their behalf."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from duologue.clock import MINUTE
from duologue.core import suspensions
from duologue.core.secret import code_for
from duologue.core.suspensions import SuspensionWatch
from duologue.errors import ApiError
from duologue.model import Kind, encode_id
from duologue.realtime.hub import Hub, Waiter
from duologue.storage.tables.accounts import live_sessions, user_by_phone
from duologue.storage.tables.replay import event_page
from tests.contract.store import Store, new_phone, opened
from tests.contract.truth import assert_sound
from tests.support.relays import World, answers_to, world
from tests.support.sign_in import SECRET, Clock, Desk, Phones

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


async def suspend(store: Store, phone: str | None) -> bool:
    assert phone
    return (await suspensions.suspend(store.db, phone, store.clock))[1]


async def lift(store: Store, phone: str | None) -> bool:
    assert phone
    return (await suspensions.lift(store.db, phone))[1]


async def test_a_suspension_is_an_event_in_the_users_own_log_and_no_peer_hears_of_it(store: Store) -> None:
    ana, ben = await store.user(), await store.user()
    await store.pair_of(ana, ben)
    before, bens = await store.log_span(ana.id), await store.log_span(ben.id)
    assert await suspend(store, ana.phone)
    _, [event] = await store.db.read(event_page, ana.id, before[0], 10)
    assert (event.kind, event.ref) == (Kind.USER_UPDATED, ana.id)
    assert not await suspend(store, ana.phone), "once is enough"
    await store.finish_chores()
    assert (await store.log_span(ana.id))[0] == before[0] + 1
    assert await store.log_span(ben.id) == bens
    assert len(await store.db.read(live_sessions, ana.id)) == 1, "its devices are kept"
    assert await lift(store, ana.phone)
    assert not await lift(store, ana.phone)
    assert_sound(store.url)


async def test_a_user_is_found_by_number_or_id_and_nobody_else_is(store: Store) -> None:
    ana = await store.user()
    assert ana.phone
    assert await suspensions.find(store.db, ana.phone) == ana
    assert await suspensions.find(store.db, encode_id("usr", ana.id)) == ana
    for who, code in (
        (new_phone(), "not_found"),
        ("usr_0123456789abcdef", "not_found"),
        ("Ana", "invalid_phone"),
    ):
        with pytest.raises(ApiError, match=code):
            await suspensions.find(store.db, who)


async def test_a_node_notices_whom_another_process_has_suspended(store: Store, store_url: str) -> None:
    ana, hub, waiter = await store.user(), Hub(), Waiter()
    watch = SuspensionWatch(store.db, hub, store.clock)
    hub.attach(ana.id, waiter)
    waiter.seen = (await store.log_span(ana.id))[0]
    await watch.look()
    assert not await waiter.wait(0)
    async with opened(store_url) as command:
        assert await suspend(command, ana.phone)
    await watch.look()
    assert await waiter.wait(0)


async def test_a_suspended_number_gets_no_code_and_the_answer_is_as_ever(store: Store) -> None:
    clock = Clock()
    desk, phone, other = Desk(store.db, clock, Phones()), new_phone(), new_phone()
    await desk.sign_in(phone)
    await desk.sign_in(other)
    assert await suspend(store, phone)
    sent = desk.phones.sent
    clock.pass_by(MINUTE)
    for number, due in ((phone, 0), (other, 1)):
        verification = await desk.start(number)
        assert (verification.sends, verification.next_send_at) == (1, clock() + MINUTE)
        assert isinstance(await desk.ask(number), ApiError), "it is too soon for both"
        assert desk.phones.sent == sent + due
        sent = desk.phones.sent
    assert await lift(store, phone)
    clock.pass_by(2 * MINUTE)
    assert (await desk.sign_in(phone)).session


async def test_the_right_code_of_a_suspended_user_opens_nothing_and_is_not_used_up(store: Store) -> None:
    desk, phone = Desk(store.db, Clock(), Phones()), new_phone()
    await desk.sign_in(phone)
    verification = await desk.start(phone)
    code = code_for(SECRET, verification.id)
    await suspend(store, phone)
    user = await store.db.read(user_by_phone, phone)
    assert user
    for _ in range(2):
        with pytest.raises(ApiError, match="suspended"):
            await desk.redeem(verification, code)
    assert (await desk.guess(verification)).code == "code_wrong"
    assert len(await store.db.read(live_sessions, user.id)) == 1
    await lift(store, phone)
    assert (await desk.redeem(verification, code)).user.id == user.id


async def test_what_is_written_to_a_suspended_user_is_stored_and_goes_by_no_sms(people: World) -> None:
    await people.writes("before")
    await suspend(people.store, people.ben.phone)
    await people.writes("after")
    await people.later()
    assert people.carrier.asked == []
    await lift(people.store, people.ben.phone)
    await people.later()
    assert people.carrier.asked == [], "they are old by now"
    message = await people.writes("again")
    await people.later()
    assert await people.fate(message.seq) == ("sent", "")
    assert [each.text for each in await people.store.all_messages(people.pair)] == [
        "before",
        "after",
        "again",
    ]


async def test_what_a_suspended_user_wrote_goes_by_no_sms_any_more(people: World) -> None:
    message = await people.writes()
    await suspend(people.store, people.ana.phone)
    await people.later()
    assert people.carrier.asked == []
    assert await people.fate(message.seq) == ("cancelled", "sender_suspended")


async def test_a_text_from_a_suspended_users_phone_is_in_no_chat_and_stop_is_heeded(people: World) -> None:
    await people.writes()
    await people.later()
    await suspend(people.store, people.ben.phone)
    asked = len(people.carrier.asked)
    await people.phone_says("let me in")
    await people.phone_says("help", id="help")
    assert await answers_to(people) == []
    assert len(people.carrier.asked) == asked + 1, "only the answer to HELP"
