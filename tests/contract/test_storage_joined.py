"""Writes that wait together are one transaction, and each has an outcome of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from duologue.errors import ApiError
from duologue.model import Kind
from duologue.storage.database import Tx, UniqueViolation
from duologue.storage.engine.engines import migrate
from duologue.storage.tables.accounts import delete_user, live_sessions, user_by_phone
from duologue.storage.tables.chats import open_chat
from duologue.storage.tables.quotas import add, used
from duologue.storage.tables.sign_in import NewSession, Suspended, parts_without_twins, sign_in
from duologue.storage.tables.suspensions import suspend
from duologue.storage.tables.verifications import Redeemed, Try, begin, of_phone, redeem
from tests.contract.costs import NOW, counted
from tests.contract.store import Store, contents, new_phone, opened
from tests.contract.truth import assert_sound
from tests.contract.wire import wire_to

pytestmark = pytest.mark.anyio

WINDOW = 1_000_000  # ms


def count_each(tx: Tx, numbers: Sequence[int]) -> list[int]:
    """Count each number's tens."""
    return [add(tx, f"{number // 10}", 1, WINDOW, NOW)[0] for number in numbers]


def refuse(tx: Tx, number: int) -> None:
    raise ApiError("not_found", f"{number}")


def insert_twice(tx: Tx, number: int) -> None:
    for _ in range(2):
        tx.run("INSERT INTO logs (user_id) VALUES (:number)", number=number)


def new_session(phone: str, token: str, now: int = NOW) -> NewSession:
    return NewSession(phone, token.encode(), "phone", "::1", now)


async def test_items_that_wait_together_are_written_by_one_call(store: Store) -> None:
    calls: list[int] = []

    def count(tx: Tx, numbers: Sequence[int]) -> list[int]:
        calls.append(len(numbers))
        return count_each(tx, numbers)

    counts = await asyncio.gather(*(store.db.join(count, number) for number in range(100)))
    assert Counter(counts) == dict.fromkeys(range(1, 11), 10)
    assert sum(calls) == 100
    assert len(calls) < 50


async def test_an_exception_among_the_outcomes_is_its_items_alone(store: Store) -> None:
    calls: list[int] = []

    def count_even(tx: Tx, numbers: Sequence[int]) -> list[int | ApiError]:
        calls.append(len(numbers))
        return [
            ApiError("not_found", f"{number}") if number % 2 else count_each(tx, [number])[0]
            for number in numbers
        ]

    outcomes = await asyncio.gather(
        *(store.db.join(count_even, number) for number in range(40)), return_exceptions=True
    )
    for number, outcome in enumerate(outcomes):
        if number % 2:
            assert isinstance(outcome, ApiError)
            assert outcome.detail == f"{number}"
        else:
            assert isinstance(outcome, int)
    assert sum(calls) == 40, "nothing was tried again"


@pytest.mark.parametrize("fails", [refuse, insert_twice])
async def test_a_call_that_fails_is_undone_and_fails_only_for_those_who_make_it_fail(
    store: Store, fails: Callable[[Tx, int], None]
) -> None:
    def count(tx: Tx, numbers: Sequence[int]) -> list[int]:
        counts = count_each(tx, numbers)
        for number in numbers:
            if number % 10 == 7:
                fails(tx, number)
        return counts

    outcomes = await asyncio.gather(
        *(store.db.join(count, number) for number in range(40)), return_exceptions=True
    )
    for number, outcome in enumerate(outcomes):
        assert isinstance(outcome, ApiError | UniqueViolation) == (number % 10 == 7)
    for tens in range(4):
        assert (await store.db.read(used, f"{tens}", WINDOW, NOW))[0] == 9


@pytest.mark.parametrize("count", [1, 2, 3, 127, 128, 129, 300])
async def test_rows_that_are_inserted_together_are_all_there(store: Store, count: int) -> None:
    def insert(tx: Tx, rows: int) -> None:
        tx.many("INSERT INTO logs (user_id, last_seq) VALUES (?, ?)", ((row, row) for row in range(rows)))

    await store.db.write(insert, count)
    assert [row[:2] for row in store.table("logs")] == [(row, row) for row in range(count)]
    with pytest.raises(UniqueViolation):
        await store.db.write(insert, count)
    assert store.count("logs") == count


def test_parts_without_twins_hold_everything_in_order() -> None:
    words = ["a1", "b1", "a2", "c1", "a3", "b2"]
    parts = list(parts_without_twins(words, lambda word: word[0]))
    assert parts == [["a1", "b1", "c1"], ["a2", "b2"], ["a3"]]
    assert list(parts_without_twins([], str)) == []


async def test_sign_ins_of_one_moment_are_each_as_if_they_were_alone(store_url: str) -> None:
    async with opened(store_url) as store, opened(store_url) as other:
        ana, gone, barred = [await store.user() for _ in range(3)]
        await store.db.write(suspend, barred.id, NOW)
        await store.db.write(delete_user, gone.id, NOW)
        written_to = new_phone()
        pair = await store.db.write(open_chat, ana.id, written_to, NOW)
        assert pair
        await store.send(pair, pair.side_of(ana.id), "a")
        fresh = [new_phone() for _ in range(20)]
        phones = [ana.phone, gone.phone, barred.phone, written_to, *fresh, *fresh, ana.phone]
        wanted = [new_session(phone or "", f"{number}") for number, phone in enumerate(phones)]
        outcomes = await asyncio.gather(
            *((store, other)[n % 2].db.join(sign_in, new) for n, new in enumerate(wanted)),
            return_exceptions=True,
        )
        assert isinstance(outcomes[2], Suspended)
        made = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
        assert len(made) == len(wanted) - 1
        assert [user.id for user, _, _ in (made[0], made[-1])] == [ana.id, ana.id]
        assert made[1][0].id != gone.id, "the number's next owner starts afresh"
        news = Counter(user.phone for user, _, is_new in made if is_new)
        assert news == dict.fromkeys([gone.phone, written_to, *fresh], 1)
        for user, session, _ in made:
            live = await store.db.read(live_sessions, user.id)
            assert session in live
            assert await store.db.read(user_by_phone, user.phone or "") == user
        heard = [*store.heard.of(made[2][0].id), *other.heard.of(made[2][0].id)]
        kinds = [event.kind for event in sorted(heard, key=lambda event: event.seq)]
        assert kinds[-2:] == [Kind.SESSION_CREATED, Kind.USER_UPDATED]
    assert_sound(store_url)


async def test_a_hundred_sign_ins_take_as_many_statements_as_two(store: Store) -> None:
    def new(count: int) -> list[NewSession]:
        return [new_session(new_phone(), f"{count} {number}") for number in range(count)]

    two, hundred = [await counted(store, sign_in, new(count)) for count in (2, 100)]
    assert two.statements == hundred.statements
    assert two.statements <= 8
    assert hundred.written == 50 * two.written


async def test_codes_redeemed_at_one_moment_are_each_as_if_they_were_alone(store: Store) -> None:
    barred = await store.user()
    phones = [barred.phone or "", *(new_phone() for _ in range(9))]
    codes = [await store.db.write(begin, phone, "::1", [], NOW) for phone in phones]
    await store.db.write(suspend, barred.id, NOW)
    tries = [
        Try(code.id, n % 3 == 0, b"%d %d" % (n, times), "phone", "::1", NOW)
        for times in range(3)
        for n, code in enumerate(codes)
    ]
    outcomes = await asyncio.gather(
        *(store.db.join(redeem, given) for given in tries), return_exceptions=True
    )
    for n, code in enumerate(codes):
        of_code = outcomes[n :: len(codes)]
        (stored,) = await store.db.read(of_phone, code.phone)
        if n == 0:
            assert all(isinstance(outcome, Suspended) for outcome in of_code)
            assert (stored.attempts, stored.consumed_at) == (0, None)
        elif n % 3:
            assert of_code == [Redeemed(None, left) for left in (4, 3, 2)]
            assert stored.consumed_at is None
        else:
            signed_in = [outcome.signed_in for outcome in of_code if isinstance(outcome, Redeemed)]
            assert signed_in[0]
            assert signed_in[1:] == [None, None]
            assert await store.db.read(live_sessions, signed_in[0][0].id) == [signed_in[0][1]]
    assert_sound(store.url)


async def test_sign_ins_whose_answer_was_lost_are_made_once(postgres_url: str) -> None:
    migrate(postgres_url)
    async with wire_to(postgres_url) as wire, opened(wire.url) as store:
        await store.user()
        wire.cut_after(b"COMMIT")
        wanted = [new_session(new_phone(), f"{number}") for number in range(20)]
        made = await asyncio.gather(*(store.db.join(sign_in, new) for new in wanted))
        assert wire.cuts == 1
        assert [user.phone for user, _, _ in made] == [new.phone for new in wanted]
        assert all(is_new for _, _, is_new in made)
        assert len(contents(postgres_url)["sessions"]) == 21
        for user, session, _ in made:
            assert await store.db.read(live_sessions, user.id) == [session]
    assert_sound(postgres_url)
