"""Durable queues: leases, retries, order, and what is kept of a job."""

from __future__ import annotations

import msgspec
import pytest

from duologue.clock import DAY, MINUTE, SECOND, SLACK
from duologue.core.jobs import LEASE, retry_at
from duologue.storage.tables import jobs
from tests.support.letters import DONE, LETTERS, Letters, names
from tests.support.sign_in import NOON

pytestmark = pytest.mark.anyio


async def test_a_job_is_queued_once(letters: Letters) -> None:
    await letters.add("a1", "a1")
    assert await letters.states() == {"a1": jobs.QUEUED}


async def test_a_leased_job_is_nobody_elses(letters: Letters, elsewhere: Letters) -> None:
    await letters.add("a1")
    [letter] = await letters.lease()
    assert (letter.state, letter.attempts) == (jobs.LEASED, 1)
    letters.clock.pass_by(LEASE - 1)
    assert await elsewhere.lease() == []


async def test_a_lease_that_has_run_out_is_taken_over_and_settles_nothing(
    letters: Letters, elsewhere: Letters
) -> None:
    await letters.add("a1")
    [older] = await letters.lease()
    letters.clock.pass_by(LEASE)
    [newer] = await elsewhere.lease()
    assert newer.attempts == older.attempts + 1
    assert not await letters.end(older)
    assert not await letters.put_off(older, 0)
    assert await letters.states() == {"a1": jobs.LEASED}
    assert await elsewhere.end(newer)
    assert await letters.states() == {"a1": DONE}


async def test_a_job_is_settled_once(letters: Letters) -> None:
    await letters.add("a1")
    [letter] = await letters.lease()
    assert await letters.end(letter)
    assert not await letters.end(letter, jobs.DEAD, "again")
    assert not await letters.put_off(letter, 0)
    assert await letters.states() == {"a1": DONE}
    letters.clock.pass_by(DAY)
    assert await letters.lease() == []


async def test_jobs_of_a_key_go_one_after_the_other_and_keys_beside_each_other(letters: Letters) -> None:
    await letters.add("a2", "b1", "a1", "b2")
    first = await letters.lease()
    assert names(first) == ["a1", "b1"]
    assert await letters.lease() == []
    await letters.end(first[0])
    assert names(await letters.lease()) == ["a2"]


async def test_no_more_are_leased_than_there_is_room_for(letters: Letters) -> None:
    await letters.add("a1", "b1", "c1")
    assert len(await letters.lease(2)) == 2
    assert len(await letters.lease(2)) == 1


async def test_what_stands_behind_a_job_waits_with_it(letters: Letters) -> None:
    await letters.add("a1", "a2", "b1")
    letter, other = await letters.lease()
    assert await letters.put_off(letter, MINUTE, "closed")
    await letters.end(other)
    await letters.add("a3")
    assert await letters.lease() == []
    assert await letters.db.read(jobs.oldest_due, LETTERS, letters.clock()) is None
    letters.clock.pass_by(MINUTE)
    assert await letters.db.read(jobs.oldest_due, LETTERS, letters.clock()) == letters.clock()
    for name in ("a1", "a2", "a3"):
        [letter] = await letters.lease()
        assert (names([letter]), letter.reason) == ([name], "closed")
        await letters.end(letter)


async def test_what_waits_for_a_reason_is_woken_when_that_is_gone(letters: Letters) -> None:
    await letters.add("a1", "a2", "b1")
    for letter in await letters.lease():
        await letters.put_off(letter, MINUTE, f"{letter.target} is closed")
    await letters.db.write(jobs.wake, LETTERS, "something else", letters.clock(), target="a")
    assert await letters.lease() == []
    await letters.db.write(jobs.wake, LETTERS, "a is closed", letters.clock(), target="a")
    [letter] = await letters.lease()
    assert names([letter]) == ["a1"]


async def test_a_job_that_fails_is_tried_again_until_it_expires(letters: Letters) -> None:
    await letters.add("a1", valid_for=MINUTE)
    [letter] = await letters.lease()
    now = letters.clock()
    at = letter.expires_at - 1
    assert await letters.db.write(jobs.try_again, LETTERS, letter, at, "busy", now)
    letters.clock.pass_by(MINUTE - 1)
    [letter] = await letters.lease()
    assert letter.reason == "busy"
    assert not await letters.db.write(jobs.try_again, LETTERS, letter, letter.expires_at, "gone", now)
    [dead] = await letters.db.read(jobs.latest, LETTERS, [jobs.DEAD], 10)
    assert (names([dead]), dead.reason) == (["a1"], "expired: gone")


@pytest.mark.parametrize(("reason", "told"), [("", "expired"), ("busy", "expired: busy")])
async def test_a_job_that_is_too_old_dies_and_says_what_it_waited_for(
    letters: Letters, reason: str, told: str
) -> None:
    await letters.add("a1")
    [letter] = await letters.lease()
    letter = msgspec.structs.replace(letter, reason=reason)
    assert await letters.db.write(jobs.expire, LETTERS, letter, letters.clock())
    [dead] = await letters.db.read(jobs.latest, LETTERS, [jobs.DEAD], 10)
    assert dead.reason == told


async def test_dead_letters_are_kept_counted_and_listed_newest_first(letters: Letters) -> None:
    for name in ("a1", "b1", "c1"):
        await letters.add(name)
        letters.clock.pass_by(SECOND)
    done, *dead = await letters.lease()
    await letters.end(done)
    for letter in dead:
        await letters.end(letter, jobs.DEAD, "refused")
    assert await letters.db.read(jobs.counts, LETTERS) == {DONE: 1, jobs.DEAD: 2}
    listed = await letters.db.read(jobs.latest, LETTERS, [jobs.DEAD], 10)
    assert (names(listed), {letter.reason for letter in listed}) == (["c1", "b1"], {"refused"})


async def test_what_is_over_is_forgotten_once_it_is_old_and_what_waits_is_not(letters: Letters) -> None:
    await letters.add("a1", "a2")
    [letter] = await letters.lease()
    await letters.end(letter)
    assert await letters.db.write(jobs.purge, LETTERS, letters.clock(), jobs.LEASED) == []
    assert await letters.db.write(jobs.purge, LETTERS, letters.clock() + 1, jobs.LEASED) == [letter.id]
    assert await letters.states() == {"a2": jobs.QUEUED}


# Clocks.


async def test_a_clock_that_goes_back_holds_nothing_up_once_it_is_mended(letters: Letters) -> None:
    letters.clock.pass_by(30 * DAY)
    await letters.add("a1", "b1")
    await letters.lease(1)
    letters.clock.pass_by(-30 * DAY)
    assert await letters.lease() == []
    now = letters.clock()
    assert await letters.db.write(jobs.mend_future, LETTERS, now, now + SLACK, LEASE) >= 2
    assert names(await letters.lease()) == ["a1", "b1"]


async def test_a_lease_within_its_time_is_not_mended(letters: Letters, elsewhere: Letters) -> None:
    await letters.add("a1")
    await letters.lease()
    now = letters.clock()
    assert await letters.db.write(jobs.mend_future, LETTERS, now, now + SLACK, LEASE) == 0
    assert await elsewhere.lease() == []


async def test_while_the_clock_is_doubtful_nothing_expires(letters: Letters) -> None:
    await letters.add("a1", valid_for=MINUTE)
    letters.clock.pass_by(MINUTE)
    assert await letters.lease(spare_expired=True) == []
    assert names(await letters.lease()) == ["a1"]


def test_the_wait_doubles_within_bounds_and_is_spread() -> None:
    for attempts, wait in ((1, 5), (2, 10), (5, 80), (8, 600), (90, 600)):
        waits = {retry_at(attempts, NOON) - NOON for _ in range(100)}
        assert wait * SECOND <= min(waits) < max(waits) <= wait * SECOND * 5 // 4
        assert len(waits) > 50, "they don't come back together"
    assert retry_at(1, NOON, at_least=DAY) >= NOON + DAY
