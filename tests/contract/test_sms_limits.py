"""The limits on codes over a real store, on both engines, through days that pass in no time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from duologue.clock import DAY, HOUR, MINUTE, SECOND
from duologue.core.sms_policy import ASKER_PER_NUMBER, SLOW, SLOW_PACE, STOP, STRANGERS_PER_NUMBER
from duologue.core.verifications import Wording
from duologue.errors import ApiError
from duologue.storage.tables.quotas import add
from duologue.storage.tables.verifications import MAX_ATTEMPTS, Verification
from tests.contract.store import Store, new_phone, opened
from tests.support.sign_in import OWNER, STRANGER, Clock, Desk, Phones, apart, elsewhere

pytestmark = pytest.mark.anyio

MakeDesk = Callable[..., Desk]
BRITISH = "+447911123456"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(store: Store, clock: Clock) -> MakeDesk:
    """A node's rules, with some of the operator's choices changed."""

    def make(**changes: Any) -> Desk:
        return Desk(store.db, clock, Phones(), **changes)

    return make


@pytest.fixture
def desk(make: MakeDesk) -> Desk:
    return make()


async def test_a_number_gets_so_many_codes_a_day_and_no_more(desk: Desk, clock: Clock) -> None:
    phone = new_phone()
    wishes = [(phone, elsewhere(number)) for number in range(40)]
    assert await desk.granted(wishes) == STRANGERS_PER_NUMBER
    assert (await desk.refusal(phone, elsewhere(50))).retry_after == DAY / SECOND
    clock.pass_by(DAY)
    assert await desk.granted(wishes) == STRANGERS_PER_NUMBER


async def test_one_network_gets_half_of_them_however_many_addresses_it_has(desk: Desk) -> None:
    phone = new_phone()
    assert await desk.granted((phone, f"2001:db8:7:{n:x}::1") for n in range(40)) == ASKER_PER_NUMBER
    assert await desk.granted((phone, f"203.0.113.{n}") for n in range(40)) == ASKER_PER_NUMBER


async def test_a_network_gets_so_many_codes_an_hour_and_a_day(desk: Desk, clock: Clock) -> None:
    sent = []
    for hour in range(7):
        sent.append(await desk.granted((apart(100 * hour + n), f"203.0.113.{n}") for n in range(30)))
        clock.pass_by(HOUR)
    assert sent == [20, 20, 20, 20, 20, 0, 0]
    assert await desk.granted([(apart(1000), STRANGER), (apart(1001), OWNER)]) == 1
    clock.pass_by(DAY - 7 * HOUR)
    assert await desk.granted([(apart(1002), STRANGER)]) == 1


async def test_a_block_of_numbers_gets_a_thousand_codes_an_hour(desk: Desk, clock: Clock) -> None:
    await desk.db.write(add, "prefix:+3361234", 999, HOUR, clock())
    assert await desk.granted((f"+3361234{n:04d}", elsewhere(n)) for n in range(5)) == 1
    clock.pass_by(HOUR)
    assert await desk.granted([("+33612340009", elsewhere(9))]) == 1


async def test_a_country_gets_ten_thousand_codes_an_hour(desk: Desk, clock: Clock) -> None:
    await desk.db.write(add, "country:FR", 9_999, HOUR, clock())
    assert await desk.granted((apart(n), elsewhere(n)) for n in range(5)) == 1
    assert await desk.granted([(BRITISH, elsewhere(9))]) == 1


async def test_made_up_verifications_lock_nobody_out(desk: Desk) -> None:
    verification = await desk.start(new_phone(), STRANGER)
    for number in range(200):
        with pytest.raises(ApiError, match="code_expired"):
            await desk.rules.redeem(number, "000000", "", STRANGER)
    assert (await desk.guess(verification, STRANGER)).extra == {"attempts_left": 4}
    assert await desk.redeem(verification, desk.code_of(verification), STRANGER)


async def test_a_neighbours_wrong_tries_refuse_no_right_code(desk: Desk) -> None:
    """A network has five tries for each of its codes, so at most a hundred an hour."""
    mine = await desk.start(new_phone(), STRANGER)
    tries = 0
    for number in range(30):
        told = await desk.ask(apart(number), f"203.0.113.{number}")
        while isinstance(told, Verification) and (await desk.guess(told, STRANGER)).code == "code_wrong":
            tries += 1
    assert tries == 19 * MAX_ATTEMPTS
    assert await desk.redeem(mine, desk.code_of(mine), STRANGER)


async def test_this_machine_is_spared_where_phones_are_simulated_and_nowhere_else(make: MakeDesk) -> None:
    assert await make(trust_local=True).granted((apart(n), "127.0.0.1") for n in range(40)) == 40
    assert await make(trust_local=False).granted((apart(50 + n), "127.0.0.1") for n in range(40)) == 20


async def test_a_simulated_phone_still_waits_between_codes(make: MakeDesk, clock: Clock) -> None:
    desk = make(trust_local=True)
    phone = new_phone()
    assert await desk.granted((phone, "127.0.0.1") for _ in range(5)) == 1
    clock.pass_by(MINUTE)
    assert await desk.granted([(phone, "127.0.0.1")]) == 1


async def test_limits_outlast_a_restart_and_hold_on_every_node(store_url: str, clock: Clock) -> None:
    phone, phones = new_phone(), Phones()
    for number in range(STRANGERS_PER_NUMBER):
        async with opened(store_url) as store:
            assert await Desk(store.db, clock, phones).granted([(phone, elsewhere(number))]) == 1
    async with opened(store_url) as one, opened(store_url) as other:
        for store in (one, other):
            assert (await Desk(store.db, clock, phones).refusal(phone, elsewhere(99))).code == "rate_limited"


@pytest.mark.parametrize("trust_local", [False, True])
async def test_one_number_asked_for_by_many_at_once_gets_one_sms(
    store_url: str, clock: Clock, *, trust_local: bool
) -> None:
    phone, phones = new_phone(), Phones()
    async with opened(store_url) as one, opened(store_url) as other:
        desks = [Desk(each.db, clock, phones, trust_local=trust_local) for each in (one, other)]
        wishes = [desks[n % 2].start(phone, "127.0.0.1") for n in range(24)]
        results = await asyncio.gather(*wishes, return_exceptions=True)
    assert [type(result) for result in results].count(Verification) == 1
    assert phones.sent == 1


@pytest.mark.parametrize("phone", ["+4990000000", "+447700900123", "+881612345678", "+88213123456"])
async def test_a_number_that_nobody_is_known_to_have_gets_no_code(make: MakeDesk, phone: str) -> None:
    fault = await make().refusal(phone)
    assert (fault.code, "is known to have" in fault.detail) == ("invalid_phone", True)
    assert await make(unassigned=True).granted([(phone, OWNER)]) == 1


async def test_satellites_get_codes_where_the_operator_names_them(make: MakeDesk) -> None:
    assert await make(allowed=frozenset({"001", "FR"})).granted([("+881612345678", OWNER)]) == 1
    assert (await make(allowed=frozenset({"FR"})).refusal("+881612345678")).code == "country_not_allowed"


async def test_countries_are_refused_before_anything_is_sent(make: MakeDesk) -> None:
    desk = make(denied=frozenset({"FR"}))
    assert (await desk.refusal(new_phone())).code == "country_not_allowed"
    assert await desk.granted([(BRITISH, OWNER)]) == 1
    desk = make(allowed=frozenset({"FR"}))
    assert (await desk.refusal(BRITISH, STRANGER)).code == "country_not_allowed"
    assert await desk.granted([(new_phone(), STRANGER)]) == 1


async def test_the_days_money_can_be_spent_once(
    make: MakeDesk, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    desk = make(daily_budget=1_120_000, prices={"*": 100_000, "FR": 300_000})
    assert await desk.granted((new_phone(), elsewhere(n)) for n in range(3)) == 3
    with caplog.at_level(logging.ERROR):
        for number in range(5):
            fault = await desk.refusal(new_phone(), elsewhere(number))
            assert (fault.code, fault.retry_after) == ("sms_budget_spent", DAY / SECOND)
    assert len(caplog.records) == 1, "the operator is told once"
    assert REGISTRY.get_sample_value("duologue_sms_budget_exhausted") == 1
    assert await desk.granted([(BRITISH, elsewhere(9))]) == 1, "what is left is enough for a cheaper one"
    clock.pass_by(DAY)
    assert REGISTRY.get_sample_value("duologue_sms_budget_exhausted") == 0
    assert await desk.granted((new_phone(), elsewhere(n)) for n in range(3)) == 3


async def test_a_text_of_two_parts_is_paid_twice(make: MakeDesk) -> None:
    desk = make(daily_budget=300_000, wording=Wording(app="Ж" * 40))
    assert await desk.granted([(new_phone(), OWNER)]) == 1
    assert (await desk.refusal(new_phone(), OWNER)).code == "sms_budget_spent"


def block(number: int) -> str:
    """One of ten thousand numbers that have everything in common."""
    return f"+3361234{number:04d}"


async def until_refused(desk: Desk, clock: Clock, pause: int) -> int:
    """Return the number of codes that a block of numbers gets within a day of trying, each from another network."""
    sent = 0
    for number in range(DAY // pause):
        sent += await desk.granted([(block(number), elsewhere(number))])
        clock.pass_by(pause)
    return sent


async def test_a_block_that_redeems_nothing_is_slowed_and_then_stopped(desk: Desk, clock: Clock) -> None:
    assert await desk.granted((block(n), elsewhere(n)) for n in range(30)) == SLOW.sent + 1
    fault = await desk.refusal(block(99), elsewhere(99))
    assert fault.retry_after == SLOW_PACE / SECOND
    for number in range(100, 100 + STOP.sent - SLOW.sent - 1):
        clock.pass_by(SLOW_PACE)
        assert await desk.granted([(block(number), elsewhere(number)), (block(99), elsewhere(99))]) == 1
    clock.pass_by(SLOW_PACE)
    fault = await desk.refusal(block(200), elsewhere(200))
    assert fault.retry_after is not None
    assert fault.retry_after > HOUR / SECOND
    assert await desk.granted([("+33612350000", elsewhere(200))]) == 1, "its neighbours are not concerned"


async def test_pumping_costs_at_most_the_breakers_bound_a_day_and_block(desk: Desk, clock: Clock) -> None:
    assert await until_refused(desk, clock, 8 * MINUTE) == STOP.sent


async def test_a_stopped_block_is_released_after_the_day(desk: Desk, clock: Clock) -> None:
    await until_refused(desk, clock, 10 * MINUTE)
    assert await desk.granted([(block(500), elsewhere(500))]) == 1


async def test_a_slowed_block_is_released_by_those_who_redeem(desk: Desk, clock: Clock) -> None:
    started = [await desk.start(block(n), elsewhere(n)) for n in range(SLOW.sent)]
    assert await desk.granted([(block(50), elsewhere(50)), (block(51), elsewhere(51))]) == 1
    for verification in started[:3]:
        await desk.redeem(verification, desk.code_of(verification))
    assert await desk.granted((block(60 + n), elsewhere(60 + n)) for n in range(5)) == 5


async def test_what_is_redeemed_counts_in_the_window_of_what_was_sent(desk: Desk, clock: Clock) -> None:
    """Else a busy block would be stopped whenever the one window ended before the other."""
    first = await desk.start(block(0))
    clock.pass_by(9 * MINUTE)
    await desk.redeem(first, desk.code_of(first))
    clock.pass_by(DAY - 9 * MINUTE)
    for number in range(STOP.sent):
        await desk.sign_in(block(number), elsewhere(number))
    clock.pass_by(10 * MINUTE)
    assert await desk.granted((block(500 + n), elsewhere(500 + n)) for n in range(10)) == 10


async def test_an_honest_block_is_never_held_up(desk: Desk, clock: Clock) -> None:
    for number in range(120):
        verification = await desk.start(block(number), elsewhere(number))
        if number % 6 == 0:
            await desk.redeem(verification, desk.code_of(verification), elsewhere(number))
        clock.pass_by(20 * MINUTE)
