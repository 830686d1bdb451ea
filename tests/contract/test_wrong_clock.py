"""Every stored time that the clock is compared with, after that was wrong for a while: on both engines.

Here the clock is believed, as it is when it was wrong at the start or for long; a node follows no jump at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from duologue.clock import DAY, HOUR, MINUTE, SECOND
from duologue.core.jobs import LEASE
from duologue.core.retention import expire_round, sweep_round, trim_round
from duologue.core.sessions import Sessions, new_token
from duologue.providers.sms.provider import SegmentHeader
from duologue.storage.database import Tx
from duologue.storage.tables import quotas
from duologue.storage.tables.accounts import delete_user, live_sessions, touch_sessions
from duologue.storage.tables.chats import open_chat
from duologue.storage.tables.clock import mend_future, newest_use, note_settled, settled_time
from duologue.storage.tables.quotas import Allowance, Pace, Quota
from duologue.storage.tables.sign_in import NewSession, sign_in
from tests.contract.store import Store, new_phone, opened, rows
from tests.support.carrier import is_busy, waits_for
from tests.support.relays import DELAY, World, answers_to, world
from tests.support.sign_in import Clock, Desk, Phones

pytestmark = pytest.mark.anyio

WRONG = pytest.mark.parametrize("off", [40 * DAY, -40 * DAY], ids=["ahead", "behind"])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


async def mend(people: World) -> int:
    """Do what a node does each minute."""
    return await people.store.db.write(mend_future, people.clock(), DELAY, LEASE)


@WRONG
async def test_a_code_asked_for_by_a_wrong_clock_blocks_nobody(store: Store, clock: Clock, off: int) -> None:
    desk, phone = Desk(store.db, clock, Phones()), new_phone()
    clock.pass_by(off)
    wrong = await desk.start(phone)
    clock.pass_by(-off)
    code = desk.code_of(wrong)
    right = await desk.start(phone)
    assert right.id != wrong.id
    assert (await desk.guess(wrong)).code == "code_expired", "it would be good for weeks"
    with pytest.raises(Exception, match="code_expired"):
        await desk.redeem(wrong, code)
    assert (await desk.redeem(right, desk.code_of(right))).token
    clock.pass_by(2 * HOUR)
    assert (await desk.sign_in(phone)).token


@WRONG
async def test_windows_and_purses_of_a_wrong_clock_are_over(store: Store, clock: Clock, off: int) -> None:
    taken: list[Allowance] = [Quota("window", 2, HOUR // 4), Pace("purse", DAY // 2, DAY)]
    clock.pass_by(off)
    for _ in range(2):
        assert await store.db.write(quotas.try_take, taken, clock()) is None
    assert await store.db.write(quotas.try_take, taken, clock())
    clock.pass_by(-off)
    for _ in range(2):
        assert await store.db.write(quotas.try_take, taken, clock()) is None
    assert await store.db.write(quotas.try_take, taken, clock())
    assert (await store.db.read(quotas.used, "window", HOUR // 4, clock()))[0] == 2
    assert await store.db.read(quotas.lacks, "purse", clock()) == DAY


async def test_nodes_whose_clocks_differ_by_a_second_count_together(store: Store, clock: Clock) -> None:
    taken: list[Allowance] = [Quota("window", 3, HOUR), Pace("purse", DAY // 3, DAY)]
    granted = 0
    for number in range(8):
        late = SECOND * (number % 2)
        granted += await store.db.write(quotas.try_take, taken, clock() + late) is None
    assert granted == 3


async def test_an_alarm_of_a_wrong_clock_silences_no_chat(people: World) -> None:
    people.clock.pass_by(10 * DAY)
    await people.writes("of a time to come")
    people.clock.pass_by(-10 * DAY)
    await people.writes("of this time")
    assert await mend(people)
    await people.later(DELAY - 1)
    assert people.carrier.phones == []
    await people.later(1)
    assert [text.split(": ")[-1].split("\n")[0] for text in people.carrier.texts()] == [
        "of a time to come",
        "of this time",
    ]
    assert await mend(people) == 0


async def test_an_sms_that_waits_for_a_time_to_come_is_tried_again(people: World) -> None:
    people.clock.pass_by(10 * DAY)
    people.carrier.script.append(is_busy(60))
    message = await people.writes()
    await people.later()
    assert await people.fate(message.seq) == ("queued", "429")
    people.clock.pass_by(-10 * DAY)
    assert await mend(people) == 1
    await people.work()
    assert await people.fate(message.seq) == ("sent", "")


async def test_a_lease_of_a_wrong_clock_ends(people: World) -> None:
    people.carrier.script += [is_busy(60), waits_for(asyncio.Event())]
    message = await people.writes()
    await people.later()
    people.clock.pass_by(20 * HOUR)
    await people.round()
    await people.carrier.was_asked(2)
    await people.die()
    people.carrier.script.clear()
    people.clock.pass_by(-20 * HOUR)
    assert await people.fate(message.seq) == ("leased", "429")
    assert await mend(people) == 1
    await people.work()
    assert await people.fate(message.seq) == ("sent", "")


async def test_nothing_expires_by_a_clock_in_doubt(people: World) -> None:
    people.carrier.script.append(is_busy(60))
    message = await people.writes()
    await people.later()
    people.loop._doubtful = lambda: True
    await people.later(40 * DAY)
    assert await people.fate(message.seq) == ("queued", "429")
    people.clock.pass_by(-40 * DAY)
    await people.later(2 * MINUTE)
    assert await people.fate(message.seq) == ("sent", "")


async def test_answers_of_a_time_to_come_count_in_no_span(people: World) -> None:
    await people.writes()
    await people.later()
    people.clock.pass_by(10 * DAY)
    for number in range(5):
        await people.phone_says(f"answer {number}")
    await people.later()
    people.clock.pass_by(-10 * DAY)
    await mend(people)
    await people.phone_says("an answer of this time")
    await people.later()
    assert "an answer of this time" in people.carrier.texts(people.ana.phone)[-1]


async def test_pieces_of_a_time_to_come_are_put_together(people: World) -> None:
    await people.writes()
    await people.later()
    people.clock.pass_by(10 * DAY)
    await people.phone_says("half of it", part=SegmentHeader(7, 1, 2))
    people.clock.pass_by(-10 * DAY)
    await mend(people)
    people.clock.pass_by(11 * MINUTE)
    await people.replies.sweep()
    assert len(await answers_to(people)) == 1


async def test_a_deleted_user_is_erased_in_this_time(store_url: str, clock: Clock) -> None:
    async with opened(store_url, clock) as store:
        one, other = await store.user(), await store.user()
        await store.pair_of(one, other)
        clock.pass_by(40 * DAY)
        await store.db.write(delete_user, one.id, clock())
        clock.pass_by(-40 * DAY)
        assert await store.db.write(mend_future, clock(), DELAY, LEASE) == 2
        await store.finish_chores()
        assert [row[0] for row in rows(store_url, "SELECT user_id FROM erasures")[0]] == []
        assert not [row for row in store.table("events") if row[0] == one.id]


async def test_a_session_used_in_a_time_to_come_is_idle_in_this_one(store: Store, clock: Clock) -> None:
    kept, unused = [
        (await store.db.join(sign_in, NewSession(new_phone(), new_token()[1], "", "", clock())))[1]
        for _ in range(2)
    ]
    clock.pass_by(100 * DAY)
    await store.db.write(touch_sessions, {kept.id: clock(), unused.id: clock()})
    clock.pass_by(-100 * DAY)
    await store.db.write(touch_sessions, {kept.id: clock()})
    assert [each.last_seen_at for each in await store.db.read(live_sessions, kept.user_id)] == [clock()]
    assert await expire_round(store.db, clock, 90 * DAY) == 0
    assert [each.last_seen_at for each in await store.db.read(live_sessions, unused.user_id)] == [clock()]
    clock.pass_by(90 * DAY + 1)
    assert await expire_round(store.db, clock, 90 * DAY) == 2


async def test_who_comes_back_by_a_clock_that_jumped_is_still_signed_in(store: Store, clock: Clock) -> None:
    token, token_hash = new_token()
    await store.db.join(sign_in, NewSession(new_phone(), token_hash, "", "", clock()))
    settled = Clock(clock())
    sessions = Sessions(store.db, clock, 90 * DAY, settled)
    clock.pass_by(100 * DAY)
    assert await expire_round(store.db, settled, 90 * DAY) == 0
    caller = await sessions.authenticate(token)
    await sessions.flush()
    settled.pass_by(100 * DAY)
    await sessions.check(caller)


async def test_an_event_behind_one_that_is_to_stay_is_not_trimmed(store_url: str, clock: Clock) -> None:
    async with opened(store_url, clock) as store:
        user = await store.user()
        clock.pass_by(-40 * DAY)
        await store.db.write(open_chat, user.id, new_phone(), clock())
        clock.pass_by(40 * DAY)
        await store.db.write(open_chat, user.id, new_phone(), clock())
        before = await store.log_span(user.id)
        clock.pass_by(DAY)
        await trim_round(store.db, clock, 30 * DAY)
        assert await store.log_span(user.id) == before
        clock.pass_by(30 * DAY)
        assert await trim_round(store.db, clock, 30 * DAY) > 0
        assert (await store.log_span(user.id))[1] == before[0]


async def test_allowances_in_use_outlive_a_clock_that_jumped(store: Store, clock: Clock) -> None:
    await store.db.write(quotas.add, "money", 1, DAY, clock())
    settled = Clock(clock())
    clock.pass_by(40 * DAY)
    assert await sweep_round(store.db, settled, DAY) == 0
    clock.pass_by(-40 * DAY)
    assert (await store.db.read(quotas.used, "money", DAY, clock()))[0] == 1


async def test_the_store_keeps_the_settled_time(store: Store, clock: Clock) -> None:
    def both(tx: Tx) -> tuple[int | None, int | None]:
        return settled_time(tx), newest_use(tx)

    assert await store.db.read(both) == (None, None)
    await store.db.join(sign_in, NewSession(new_phone(), b"t", "", "", clock()))
    for at in (clock(), clock() - DAY):
        await store.db.write(note_settled, at)
        assert await store.db.read(both) == (at, clock())
