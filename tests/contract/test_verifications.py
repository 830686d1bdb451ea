"""Verifications, quotas and their ends, as the store keeps them on both engines, whatever the clock says."""

from __future__ import annotations

import asyncio

import pytest

from duologue.clock import DAY, HOUR, MINUTE, SECOND
from duologue.storage.database import Tx
from duologue.storage.tables import quotas
from duologue.storage.tables.accounts import sessions_by_token
from duologue.storage.tables.quotas import Quota, QuotaExceeded, add, give_back, purge_quotas, remember, used
from duologue.storage.tables.verifications import (
    LIFETIME,
    MAX_ATTEMPTS,
    SHORTEST,
    WAITS,
    Redeemed,
    TooSoon,
    Try,
    Verification,
    begin,
    not_sent,
    purge_verifications,
    redeem,
)
from tests.contract.store import Store, new_phone, opened

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000_000
HERE, THERE = "198.51.100.7", "203.0.113.9"


async def start(store: Store, phone: str, now: int, address: str = HERE, *allowances: Quota) -> Verification:
    return await store.db.write(begin, phone, address, allowances, now)


async def attempt(store: Store, verification: Verification, now: int, *, right: bool = False) -> Redeemed:
    token = b"token of %d at %d" % (verification.id, now)
    return await store.db.join(redeem, Try(verification.id, right, token, "phone", HERE, now))


async def refused_until(store: Store, phone: str, now: int, address: str = HERE) -> int:
    with pytest.raises(TooSoon) as caught:
        await start(store, phone, now, address)
    return caught.value.next_send_at


async def test_each_send_must_wait_longer_and_keeps_the_same_verification(store: Store) -> None:
    phone, now = new_phone(), NOW
    first = await start(store, phone, now)
    for sends, wait in enumerate(WAITS[:-1], 1):
        assert await refused_until(store, phone, now + wait - 1) == now + wait
        now += wait
        again = await start(store, phone, now)
        if now - first.created_at <= LIFETIME - SHORTEST:
            assert (again.id, again.expires_at) == (first.id, first.expires_at)
        assert again.sends == sends + 1
        assert again.expires_at == again.created_at + LIFETIME
    assert [wait // SECOND for wait in WAITS] == [60, 120, 300, 600, 3600]
    assert await refused_until(store, phone, now + HOUR - 1) == now + HOUR
    assert (await start(store, phone, now + HOUR)).sends == 1


async def test_a_code_with_less_than_two_minutes_to_live_is_followed_by_another_one(store: Store) -> None:
    for late, same in ((LIFETIME - SHORTEST, True), (LIFETIME - SHORTEST + 1, False)):
        phone = new_phone()
        first = await start(store, phone, NOW)
        again = await start(store, phone, NOW + late)
        assert (again.id == first.id) is same
        assert again.sends == 2
        assert again.expires_at == (first.expires_at if same else NOW + late + LIFETIME)
        assert (await attempt(store, first, NOW + late, right=True)).signed_in, "the first one still holds"


async def test_the_waits_hold_however_slowly_one_asks(store: Store) -> None:
    phone, now = new_phone(), NOW
    first = await start(store, phone, now)
    for _ in range(4):
        now += LIFETIME - 1 * SECOND if _ < 3 else LIFETIME
        last = await start(store, phone, now)
    assert (last.sends, first.id != last.id) == (5, True)
    for minutes in (11, 30, 45, 59):
        assert await refused_until(store, phone, now + minutes * MINUTE) == now + HOUR


async def test_an_exhausted_verification_is_followed_by_another_one_after_the_same_wait(store: Store) -> None:
    phone = new_phone()
    first = await start(store, phone, NOW)
    for _ in range(MAX_ATTEMPTS):
        await attempt(store, first, NOW)
    assert await refused_until(store, phone, NOW + 59 * SECOND) == NOW + 60 * SECOND
    second = await start(store, phone, NOW + 60 * SECOND)
    assert (second.id != first.id, second.sends, second.attempts) == (True, 2, 0)
    assert second.next_send_at == NOW + 3 * MINUTE


async def test_an_expired_verification_is_followed_by_another_one(store: Store) -> None:
    phone = new_phone()
    first = await start(store, phone, NOW)
    assert (await start(store, phone, NOW + LIFETIME)).id != first.id


async def test_a_redeemed_verification_is_followed_by_another_one_at_once(store: Store) -> None:
    phone = new_phone()
    first = await start(store, phone, NOW)
    await attempt(store, first, NOW, right=True)
    second = await start(store, phone, NOW)
    assert (second.id != first.id, second.sends) == (True, 1)


async def test_whoever_asks_from_elsewhere_has_a_verification_of_their_own(store: Store) -> None:
    phone = new_phone()
    mine, theirs = await start(store, phone, NOW, HERE), await start(store, phone, NOW, THERE)
    assert mine.id != theirs.id
    for _ in range(MAX_ATTEMPTS + 1):
        await attempt(store, theirs, NOW)
    assert (await attempt(store, mine, NOW, right=True)).signed_in
    assert await refused_until(store, phone, NOW + SECOND, THERE) == NOW + 60 * SECOND


async def test_tries_are_counted_down_and_the_last_one_still_counts(store: Store) -> None:
    verification = await start(store, new_phone(), NOW)
    left = [(await attempt(store, verification, NOW)).attempts_left for _ in range(7)]
    assert left == [4, 3, 2, 1, 0, None, None]
    assert await attempt(store, verification, NOW, right=True) == Redeemed(None, None)


async def test_the_right_code_is_taken_at_the_last_try(store: Store) -> None:
    verification = await start(store, new_phone(), NOW)
    for _ in range(MAX_ATTEMPTS - 1):
        await attempt(store, verification, NOW)
    assert (await attempt(store, verification, NOW, right=True)).signed_in


async def test_a_code_is_good_for_one_session(store: Store) -> None:
    verification = await start(store, new_phone(), NOW)
    first = await attempt(store, verification, NOW + 1, right=True)
    assert first.signed_in
    user, session, is_new = first.signed_in
    assert (user.phone, session.created_at, is_new) == (verification.phone, NOW + 1, True)
    token = b"token of %d at %d" % (verification.id, NOW + 1)
    assert await store.db.find(sessions_by_token, token) == (session, user)
    assert await attempt(store, verification, NOW + 2, right=True) == Redeemed(None, None)
    assert store.count("sessions") == 1


async def test_the_same_call_again_gives_the_same_session(store: Store) -> None:
    """As after a commit of which nobody could tell whether it came through."""
    verification = await start(store, new_phone(), NOW)
    first = await attempt(store, verification, NOW, right=True)
    again = await attempt(store, verification, NOW, right=True)
    assert first.signed_in == again.signed_in
    assert store.count("sessions") == 1


async def test_a_code_is_good_until_it_expires_and_not_a_moment_longer(store: Store) -> None:
    late, in_time = await start(store, new_phone(), NOW), await start(store, new_phone(), NOW)
    assert await attempt(store, late, NOW + LIFETIME, right=True) == Redeemed(None, None)
    assert (await attempt(store, in_time, NOW + LIFETIME - 1, right=True)).signed_in


async def test_an_unknown_verification_is_like_an_exhausted_one(store: Store) -> None:
    verification = await start(store, new_phone(), NOW)
    for number in (0, verification.id ^ 1, 2**63 - 1):
        found = await store.db.join(redeem, Try(number, True, b"t", "", HERE, NOW))
        assert found == Redeemed(None, None)


async def test_of_many_tries_at_once_one_succeeds(store_url: str) -> None:
    async with opened(store_url) as one, opened(store_url) as other:
        verification = await start(one, new_phone(), NOW)
        results = await asyncio.gather(
            *(attempt((one, other)[n % 2], verification, NOW + n, right=True) for n in range(20))
        )
        assert [result.signed_in is not None for result in results].count(True) == 1
        assert one.count("sessions") == 1


async def test_of_many_tries_at_once_five_count(store_url: str) -> None:
    async with opened(store_url) as one, opened(store_url) as other:
        verification = await start(one, new_phone(), NOW)
        results = await asyncio.gather(*(attempt((one, other)[n % 2], verification, NOW) for n in range(20)))
        left = sorted(result.attempts_left for result in results if result.attempts_left is not None)
        assert left == [0, 1, 2, 3, 4]


async def test_of_many_wishes_at_once_one_is_granted(store_url: str) -> None:
    phone = new_phone()
    async with opened(store_url) as one, opened(store_url) as other:
        counted = Quota(f"number:{phone}", 100, DAY)
        results = await asyncio.gather(
            *(start((one, other)[n % 2], phone, NOW, HERE, counted) for n in range(20)),
            return_exceptions=True,
        )
        granted = [result for result in results if isinstance(result, Verification)]
        assert len(granted) == 1
        assert [type(result) for result in results].count(TooSoon) == 19
        assert await one.db.read(used, counted.key, DAY, NOW) == (1, NOW + DAY)


async def test_a_send_that_failed_is_none(store: Store) -> None:
    phone = new_phone()
    for _ in range(8):
        failed = await start(store, phone, NOW)
        await store.db.write(not_sent, failed, NOW)
    done = await start(store, phone, NOW + 1)
    assert (done.id, done.sends) == (failed.id, 1)
    assert await refused_until(store, phone, NOW + 2) == NOW + 1 + 60 * SECOND


async def test_news_of_a_failure_that_come_late_undo_no_later_send(store: Store) -> None:
    phone = new_phone()
    slow = await start(store, phone, NOW)
    later = await start(store, phone, NOW + 60 * SECOND)
    await store.db.write(not_sent, slow, NOW + 61 * SECOND)
    assert await refused_until(store, phone, NOW + 62 * SECOND) == later.next_send_at


async def test_what_is_over_is_forgotten_and_nothing_else(store: Store) -> None:
    old, new = await start(store, new_phone(), NOW), await start(store, new_phone(), NOW + HOUR)
    end = NOW + LIFETIME + HOUR
    assert await store.db.write(purge_verifications, end - 1) == 0
    assert await store.db.write(purge_verifications, end) == 1
    assert (await attempt(store, old, NOW)).attempts_left is None
    assert (await attempt(store, new, NOW + HOUR)).attempts_left == 4


async def test_a_quota_is_used_up_and_then_begins_anew(store: Store) -> None:
    quota = Quota("q", 3, HOUR)
    for _ in range(3):
        await store.db.write(quotas.take, [quota], NOW)
    with pytest.raises(QuotaExceeded) as caught:
        await store.db.write(quotas.take, [quota], NOW + HOUR - 1)
    assert (caught.value.quota, caught.value.ends_at) == (quota, NOW + HOUR)
    await store.db.write(quotas.take, [quota], NOW + HOUR)
    assert await store.db.read(used, "q", HOUR, NOW + HOUR) == (1, NOW + 2 * HOUR)


async def test_quotas_are_taken_all_or_none(store: Store) -> None:
    plenty, none = Quota("a", 100, DAY), Quota("z", 0, DAY)
    with pytest.raises(QuotaExceeded):
        await store.db.write(quotas.take, [plenty, none], NOW)
    assert await store.db.read(used, "a", HOUR, NOW) == (0, NOW)


async def test_a_quota_is_common_to_all_nodes(store_url: str) -> None:
    quota = Quota("shared", 10, DAY)
    async with opened(store_url) as one, opened(store_url) as other:
        results = await asyncio.gather(
            *((one, other)[n % 2].db.write(quotas.take, [quota], NOW) for n in range(30)),
            return_exceptions=True,
        )
        assert results.count(None) == 10


async def test_a_refused_wish_counts_against_nothing(store: Store) -> None:
    phone, quota = new_phone(), Quota("q", 5, DAY)
    await start(store, phone, NOW, HERE, quota)
    for _ in range(10):
        with pytest.raises(TooSoon):
            await start(store, phone, NOW + 1, HERE, quota)
    assert (await store.db.read(used, "q", DAY, NOW))[0] == 1


async def test_what_is_given_back_can_be_used_again_in_the_same_window_only(store: Store) -> None:
    money = Quota("money", 100, DAY, cost=60)
    await store.db.write(quotas.take, [money], NOW)
    await store.db.write(give_back, [money], NOW + DAY - 1)
    assert (await store.db.read(used, "money", DAY, NOW))[0] == 0
    await store.db.write(give_back, [money], NOW)
    assert (await store.db.read(used, "money", DAY, NOW))[0] == 0
    await store.db.write(quotas.take, [money], NOW)
    await store.db.write(give_back, [money], NOW + DAY)
    assert (await store.db.read(used, "money", DAY, NOW))[0] == 60


async def test_what_is_remembered_lasts_from_the_last_time(store: Store) -> None:
    await store.db.write(remember, "k", NOW + DAY)
    await store.db.write(remember, "k", NOW + 2 * DAY)
    assert (await store.db.read(used, "k", 2 * DAY, NOW + 2 * DAY - 1))[0] == 1
    assert (await store.db.read(used, "k", 2 * DAY, NOW + 2 * DAY))[0] == 0


async def test_windows_that_are_over_are_forgotten_step_by_step(store: Store) -> None:
    def fill(tx: Tx) -> None:
        for number in range(1_200):
            add(tx, f"q{number}", 1, HOUR, NOW)
        add(tx, "fresh", 1, DAY, NOW)

    await store.db.write(fill)
    assert await store.db.write(purge_quotas, NOW + HOUR - 1) == 0
    assert await store.db.write(purge_quotas, NOW + HOUR) == 1_000
    assert await store.db.write(purge_quotas, NOW + HOUR) == 200
    assert await store.db.write(purge_quotas, NOW + HOUR) == 0
    assert (await store.db.read(used, "fresh", DAY, NOW + HOUR))[0] == 1
