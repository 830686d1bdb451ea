"""Codes from the wish to the session, over a real store on both engines."""

from __future__ import annotations

import asyncio
import logging

import pytest

from duologue.clock import DAY, MINUTE, SECOND
from duologue.core.accounts import SignedIn
from duologue.core.secret import code_for
from duologue.core.sms_policy import (
    ACQUAINTANCES_PER_NUMBER,
    ASKER_PER_NUMBER,
    FAILURES_PER_ASKER,
    STRANGERS_PER_NUMBER,
)
from duologue.core.verifications import ACQUAINTED_FOR, LONGEST_PAUSE, Verifications, Wording
from duologue.errors import ApiError
from duologue.providers.sms.provider import Rejected, SmsError, Unavailable
from duologue.storage.tables.accounts import user_by_phone
from duologue.storage.tables.quotas import used
from tests.contract.store import Store, new_phone, opened
from tests.support.sign_in import OWNER, SECRET, STRANGER, Clock, Desk, Phones, apart, elsewhere, wrong

pytestmark = pytest.mark.anyio

DOWN = Unavailable("outside: no connection", retry_after=60)
LOST = Unavailable("outside: no answer", outcome_unknown=True)
REFUSED = Rejected("outside refused it", code="21610", cause="opted_out")
each_failure = pytest.mark.parametrize("fault", [DOWN, LOST, REFUSED], ids=["down", "lost", "refused"])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(store: Store, clock: Clock) -> Desk:
    return Desk(store.db, clock, Phones())


async def expect_expired(desk: Desk, verification_id: int, code: str) -> None:
    with pytest.raises(ApiError, match="code_expired") as caught:
        await desk.rules.redeem(verification_id, code, "", OWNER)
    assert caught.value.extra == {}


async def test_a_code_signs_its_number_in(desk: Desk, clock: Clock) -> None:
    verification = await desk.start(new_phone())
    assert verification.expires_at == clock() + 10 * MINUTE
    assert verification.next_send_at == clock() + MINUTE
    signed_in = await desk.redeem(verification, desk.code_of(verification))
    assert signed_in.new_user
    assert signed_in.user.phone == verification.phone
    assert signed_in.session.ip == OWNER
    assert not (await desk.sign_in(verification.phone)).new_user


async def test_a_resend_brings_the_same_code_while_it_can_be_redeemed(desk: Desk, clock: Clock) -> None:
    phone = new_phone()
    first = await desk.start(phone)
    codes = {desk.code_of(first)}
    assert (await desk.refusal(phone)).retry_after == 60
    for wait in (60, 120, 300):
        clock.pass_by(wait * SECOND)
        codes.add(desk.code_of(await desk.start(phone)))
    assert len(codes) == 1
    assert desk.phones.sent == 4
    assert await desk.redeem(first, codes.pop())


async def test_a_code_ends_ten_minutes_after_it_was_first_sent_however_often_it_is_sent_again(
    desk: Desk, clock: Clock
) -> None:
    phone = new_phone()
    first = await desk.start(phone)
    for wait in (60, 120, 300):
        clock.pass_by(wait * SECOND)
        assert (await desk.start(phone)).expires_at == first.expires_at
        assert desk.phones.inbox[phone][-1].valid_for == (first.expires_at - clock()) / SECOND
    clock.pass_by(2 * MINUTE)
    await expect_expired(desk, first.id, code_for(SECRET, first.id))


async def test_another_code_comes_after_exhaustion_and_after_expiry(desk: Desk, clock: Clock) -> None:
    phone = new_phone()
    exhausted = await desk.start(phone)
    told = [(await desk.guess(exhausted)).extra for _ in range(5)]
    assert told == [{"attempts_left": left} for left in (4, 3, 2, 1, 0)]
    await expect_expired(desk, exhausted.id, desk.code_of(exhausted))
    clock.pass_by(MINUTE)
    expired = await desk.start(phone)
    clock.pass_by(10 * MINUTE)
    await expect_expired(desk, expired.id, desk.code_of(expired))
    last = await desk.start(phone)
    assert len({each.id for each in (exhausted, expired, last)}) == 3
    assert await desk.redeem(last, desk.code_of(last))


async def test_every_answer_to_a_spent_code_is_the_same(desk: Desk) -> None:
    verification = await desk.start(new_phone())
    code = desk.code_of(verification)
    await desk.redeem(verification, code)
    await expect_expired(desk, verification.id, code)
    await expect_expired(desk, verification.id, wrong(code))
    await expect_expired(desk, 7, code)
    with pytest.raises(ApiError, match="code_expired"):
        await desk.rules.redeem(None, code, "", OWNER)


async def test_a_code_opens_no_other_verification(desk: Desk) -> None:
    one, other = await desk.start(new_phone()), await desk.start(new_phone())
    with pytest.raises(ApiError, match="code_wrong"):
        await desk.redeem(other, desk.code_of(one))


async def test_a_code_redeemed_from_everywhere_at_once_is_one_session(store_url: str, clock: Clock) -> None:
    async with opened(store_url) as one, opened(store_url) as other:
        desks = [Desk(each.db, clock, Phones()) for each in (one, other)]
        verification = await desks[0].start(new_phone())
        code = desks[0].code_of(verification)
        tries = [desks[n % 2].redeem(verification, code, elsewhere(n)) for n in range(24)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(result) for result in results].count(SignedIn) == 1
        assert {result.code for result in results if isinstance(result, ApiError)} == {"code_expired"}
        assert one.count("sessions") == 1


async def test_asking_creates_no_account(desk: Desk) -> None:
    phone = new_phone()
    await desk.start(phone)
    assert await desk.db.read(user_by_phone, phone) is None


@each_failure
async def test_a_failure_of_the_provider_is_told_and_lifts_the_wait(desk: Desk, fault: SmsError) -> None:
    phone = new_phone()
    desk.phones.fault = fault
    told = await desk.refusal(phone)
    assert (told.code, told.retry_after) == ("sms_unavailable", 5)
    desk.phones.fault = None
    verification = await desk.start(phone)
    assert verification.sends == 1
    assert await desk.redeem(verification, desk.code_of(verification))


@each_failure
async def test_an_outage_locks_no_number_out_and_trips_no_breaker(
    desk: Desk, clock: Clock, fault: SmsError
) -> None:
    desk.phones.fault = fault
    for number in range(70):
        assert (await desk.refusal(f"+3361234{number % 3:04d}", elsewhere(number))).code == "sms_unavailable"
    desk.phones.fault = None
    assert await desk.granted((f"+3361234{n:04d}", elsewhere(n)) for n in range(10)) == 10


@each_failure
async def test_a_provider_in_trouble_is_not_asked_without_end(desk: Desk, fault: SmsError) -> None:
    desk.phones.fault = fault
    refusals = [(await desk.refusal(new_phone(), STRANGER)).code for _ in range(40)]
    assert refusals.count("sms_unavailable") == desk.phones.asked == FAILURES_PER_ASKER == 20
    assert refusals.count("rate_limited") == 20


@pytest.mark.parametrize("fault", [DOWN, REFUSED], ids=["down", "refused"])
async def test_what_the_provider_refuses_uses_up_nothing_of_the_neighbours(
    desk: Desk, fault: SmsError
) -> None:
    desk.phones.fault = fault
    for _ in range(FAILURES_PER_ASKER + 5):
        await desk.refusal(new_phone(), STRANGER)
    desk.phones.fault = None
    neighbours = [(apart(number), f"203.0.113.{100 + number}") for number in range(25)]
    assert await desk.granted(neighbours) == 20, "all that the network may ask for in an hour"
    assert (await desk.refusal(new_phone(), STRANGER)).code == "rate_limited"


async def test_a_code_that_may_have_gone_counts_for_the_network_that_asked(desk: Desk) -> None:
    desk.phones.fault = LOST
    for _ in range(5):
        await desk.refusal(new_phone(), STRANGER)
    desk.phones.fault = None
    assert await desk.granted((apart(number), f"203.0.113.{100 + number}") for number in range(25)) == 15


async def test_a_code_that_meets_one_throttling_answer_is_sent_within_its_seconds(desk: Desk) -> None:
    desk.phones.faults.append(Unavailable("outside: throttling", code="88", retry_after=0.05))
    verification = await desk.start(new_phone())
    assert desk.phones.asked == 2
    assert await desk.redeem(verification, desk.code_of(verification))


@pytest.mark.parametrize(
    "fault",
    [
        Unavailable("busy for long", retry_after=LONGEST_PAUSE + 1),
        Unavailable("busy"),
        Unavailable("no answer", retry_after=0.01, outcome_unknown=True),
    ],
    ids=["long", "unsaid", "unknown"],
)
async def test_a_code_is_not_tried_again_where_waiting_is_no_use(desk: Desk, fault: SmsError) -> None:
    desk.phones.faults.append(fault)
    assert (await desk.refusal(new_phone())).code == "sms_unavailable"
    assert desk.phones.asked == 1


async def test_a_second_throttling_answer_is_told(desk: Desk) -> None:
    desk.phones.faults.extend([Unavailable("busy", retry_after=0.01)] * 2)
    assert (await desk.refusal(new_phone())).code == "sms_unavailable"
    assert desk.phones.asked == 2


async def test_money_comes_back_only_if_the_sms_surely_did_not_go(store: Store, clock: Clock) -> None:
    desk = Desk(store.db, clock, Phones(), daily_budget=1_000_000)
    spent = []
    for fault in (DOWN, REFUSED, LOST, None):
        desk.phones.fault = fault
        await desk.ask(new_phone())
        spent.append((await store.db.read(used, "sms-budget", DAY, clock()))[0])
    assert spent == [0, 0, 100_000, 200_000]


@each_failure
async def test_no_code_and_no_number_is_logged(
    desk: Desk, fault: SmsError, caplog: pytest.LogCaptureFixture
) -> None:
    phone = new_phone()
    with caplog.at_level(logging.DEBUG):
        desk.phones.fault = fault
        await desk.refusal(phone)
        desk.phones.fault = None
        verification = await desk.start(phone)
        await desk.guess(verification)
        await desk.redeem(verification, desk.code_of(verification))
    assert any("could not be sent" in record.message for record in caplog.records)
    assert phone[1:] not in caplog.text
    assert code_for(SECRET, verification.id) not in caplog.text
    assert desk.code_of(verification) not in repr(desk.phones.inbox)


async def test_strangers_cannot_use_up_the_codes_of_someone_the_number_knows(
    desk: Desk, clock: Clock
) -> None:
    phone = new_phone()
    await desk.sign_in(phone, OWNER)
    strangers = [(phone, elsewhere(number)) for number in range(60)]
    for _ in range(3):
        await desk.granted(strangers)
        assert (await desk.refusal(phone, elsewhere(99))).code == "rate_limited"
        assert await desk.sign_in(phone, "198.51.100.200"), "another address of the same network"
        clock.pass_by(DAY // 2)


async def test_a_network_is_known_for_ninety_days_after_the_last_sign_in(desk: Desk, clock: Clock) -> None:
    phone = new_phone()
    strangers = [(phone, elsewhere(number)) for number in range(60)]
    for _ in range(3):
        await desk.sign_in(phone, OWNER)
        clock.pass_by(ACQUAINTED_FOR - 1)
        await desk.granted(strangers)
    clock.pass_by(DAY)
    await desk.granted(strangers)
    assert (await desk.refusal(phone, OWNER)).code == "rate_limited"


async def test_whoever_is_known_is_limited_too(desk: Desk, clock: Clock) -> None:
    phone = new_phone()
    await desk.sign_in(phone, OWNER)
    assert await desk.granted((phone, f"198.51.100.{n}") for n in range(40)) == ACQUAINTANCES_PER_NUMBER
    assert await desk.granted((phone, STRANGER) for _ in range(3)) == 1


async def test_to_be_known_is_a_matter_of_number_and_network(desk: Desk) -> None:
    phone, other = new_phone(), new_phone()
    await desk.sign_in(phone, OWNER)
    assert await desk.granted((other, f"198.51.100.{n}") for n in range(1, 20)) == ASKER_PER_NUMBER
    assert (
        await desk.granted((other, elsewhere(n)) for n in range(40))
        == STRANGERS_PER_NUMBER - ASKER_PER_NUMBER
    )


@pytest.mark.parametrize("domain", ["Chat.example", "chat.example:8000", "::1", "chät.example", ""])
async def test_codes_that_could_not_be_worded_are_refused_at_the_start(store: Store, domain: str) -> None:
    desk = Desk(store.db, Clock(), Phones())
    with pytest.raises(ValueError, match="bare host name"):
        Verifications(store.db, Clock(), desk.phones, SECRET, desk.policy, Wording(domain=domain))
