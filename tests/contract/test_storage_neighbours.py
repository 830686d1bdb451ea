"""Operations committed together stand or fall alone, and the queue is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest

from duologue.errors import ApiError
from duologue.model import User
from duologue.storage.append.batch import NoSuchChat
from duologue.storage.database import Marked, Outcome, Posted, Tx, UniqueViolation, settle
from duologue.storage.engine.engines import sqlite_path
from duologue.storage.tables.accounts import delete_user, ensure_user, update_user, user_by_id, user_by_phone
from tests.contract.store import PATIENCE, Store, mark, new_phone, opened, post
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio

POISON = "\ud800"
"""A text that no database takes: half a surrogate pair isn't Unicode."""


def seqs(outcomes: list[Outcome]) -> list[int | type[Exception]]:
    return [o.message.seq if isinstance(o, Posted) else type(o) for o in outcomes]  # type: ignore[misc]


async def test_a_post_to_an_unknown_chat_fails_alone(store: Store) -> None:
    pair = await store.pair()
    gone = await store.pair()
    await store.db.write(delete_user, gone.low, store.clock())
    await store.db.write(delete_user, gone.high, store.clock())
    unknown = type(pair)(pair.chat_id ^ 1, pair.low, pair.high)
    outcomes = await store.together(
        post(pair, 0, "a"), post(unknown, 0, "b"), post(pair, 1, "c"), post(gone, 0, "d"), post(pair, 0, "e")
    )
    assert seqs(outcomes) == [1, NoSuchChat, 2, NoSuchChat, 3]
    assert len(await store.all_messages(pair)) == 3
    assert_sound(store.url)


async def test_a_post_that_the_engine_refuses_fails_alone(store: Store) -> None:
    pair = await store.pair()
    outcomes = await store.together(post(pair, 0, "a"), post(pair, 0, "b", POISON), post(pair, 1, "c"))
    assert seqs(outcomes) == [1, UnicodeEncodeError, 2]
    assert_sound(store.url)


async def test_every_kind_of_trouble_in_one_batch_harms_nobody(store: Store) -> None:
    pair, other = await store.pair(), await store.pair()
    await store.send(pair, 0, "old", "hello")
    unknown = type(pair)(pair.chat_id ^ 1, pair.low, pair.high)
    outcomes = await store.together(
        post(pair, 0, "new"),
        post(pair, 0, "old", "hello"),
        post(pair, 0, "old", "other"),
        post(unknown, 0, "lost"),
        post(other, 1, "bad", POISON),
        post(other, 1, "good"),
        mark(pair, 1, read=1),
        mark(other, 0, read=99),
    )
    assert seqs(outcomes[:2]) == [2, 1]
    assert isinstance(outcomes[2], ApiError)
    assert seqs(outcomes[3:6]) == [NoSuchChat, UnicodeEncodeError, 1]
    assert outcomes[6] == Marked(changed=True)
    assert isinstance(outcomes[7], Exception)
    assert_sound(store.url)


async def test_nothing_of_a_refused_operation_is_told(store: Store) -> None:
    pair = await store.pair()
    told = len(store.heard.events)
    await store.together(post(pair, 0, "a", POISON), mark(pair, 1, read=5))
    assert len(store.heard.events) == told
    await store.together(post(pair, 0, "b", POISON), post(pair, 1, "c"))
    new = store.heard.events[told:]
    assert [(event.user_id, event.a) for event in new] == [(pair.low, 1), (pair.high, 1)]


def fail(tx: Tx, user_id: int, now: int, fault: Exception) -> User:
    """A storage function that comes to grief after it has written and emitted."""
    update_user(tx, user_id, "half done", now, read_receipts=None)
    raise fault


async def test_a_storage_function_that_raises_leaves_nothing(store: Store) -> None:
    user = await store.user()
    told = len(store.heard.events)
    with pytest.raises(ZeroDivisionError):
        await store.db.write(fail, user.id, store.clock(), ZeroDivisionError())
    assert await store.db.read(user_by_id, user.id) == user
    assert len(store.heard.events) == told
    assert_sound(store.url)


async def test_a_storage_function_that_raises_harms_no_neighbour(store: Store) -> None:
    pair, user, phone = await store.pair(), await store.user(), new_phone()
    with store.writer_held():
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                store.apply(post(pair, 0, "a")),
                store.db.write(fail, user.id, store.clock(), ZeroDivisionError()),
                store.db.write(ensure_user, phone, store.clock()),
                store.apply(post(pair, 1, "b")),
            )
        ]
        await asyncio.sleep(0)
    first, failed, made, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(failed, ZeroDivisionError)
    assert isinstance(first, Posted)
    assert isinstance(second, Posted)
    assert {first.message.seq, second.message.seq} == {1, 2}
    assert await store.db.read(user_by_phone, phone) == made
    assert_sound(store.url)


async def test_a_taken_key_is_a_unique_violation_and_undone(store: Store) -> None:
    user = await store.user()

    def take(tx: Tx) -> None:
        tx.run("UPDATE users SET display_name = 'x' WHERE id = :user_id", user_id=user.id)
        tx.run("INSERT INTO users (id, phone, created_at) VALUES (1, :phone, 1)", phone=user.phone)

    with pytest.raises(UniqueViolation):
        await store.db.write(take)
    with pytest.raises(UniqueViolation):
        await store.db.write(take)
    assert await store.db.read(user_by_id, user.id) == user


async def test_a_caller_that_gave_up_harms_no_neighbour(store: Store) -> None:
    pair = await store.pair()
    future: asyncio.Future[Posted] = asyncio.get_running_loop().create_future()
    with store.writer_held():
        store.db.append(post(pair, 0, "a"), partial(settle, future))
        neighbour = asyncio.ensure_future(store.apply(post(pair, 0, "b")))
        await asyncio.sleep(0)
        future.cancel()
    posted = await neighbour
    assert isinstance(posted, Posted)
    assert posted.message.seq == 2
    assert len(store.heard.of(pair.low)) == 1 + 1 + 2 + 1


async def test_operations_of_one_caller_keep_their_order(store: Store) -> None:
    pair = await store.pair()
    results: list[Posted] = []
    last = asyncio.Event()
    for number in range(3000):
        store.db.append(post(pair, number % 2, f"key-{number}"), results.append)
    store.db.append(post(pair, 0, "last"), lambda _: last.set())
    async with asyncio.timeout(PATIENCE):
        await last.wait()
    assert [posted.message.seq for posted in results] == list(range(1, 3001))
    assert [posted.message.client_id for posted in results] == [f"key-{number}" for number in range(3000)]


@contextlib.contextmanager
def writers_locked_out(url: str) -> Iterator[None]:
    """Another process holds what every writer needs."""
    path = sqlite_path(url)
    if path:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
        return
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(7237961)")
        yield


async def test_a_full_queue_is_overloaded_and_takes_nothing(store: Store) -> None:
    pair = await store.pair()
    answers: list[Any] = []
    accepted = 0
    last = asyncio.Event()

    def done(outcome: Any) -> None:
        answers.append(outcome)
        if len(answers) == accepted:
            last.set()

    def fill_up() -> None:
        nonlocal accepted
        while accepted < 100_000:
            store.db.append(post(pair, 0, f"key-{accepted}"), done)
            accepted += 1

    with writers_locked_out(store.url):
        with pytest.raises(ApiError) as refused:
            fill_up()
        assert refused.value.code == "overloaded"
        assert refused.value.retry_after
        with pytest.raises(ApiError):
            await store.apply(mark(pair, 0, read=1))
        assert answers == []
    async with asyncio.timeout(PATIENCE):
        await last.wait()
    assert [posted.message.client_id for posted in answers] == [f"key-{n}" for n in range(accepted)]
    assert store.count("messages") == accepted
    after = await store.apply(post(pair, 0, "after"))
    assert isinstance(after, Posted)
    assert after.message.seq == accepted + 1


async def test_closing_finishes_what_is_queued(store_url: str) -> None:
    answers: list[Any] = []
    async with opened(store_url) as store:
        pair = await store.pair()
        for number in range(3000):
            store.db.append(post(pair, 0, f"key-{number}"), answers.append)
    assert [posted.message.seq for posted in answers] == list(range(1, 3001))
    assert len(store.heard.of(pair.high)) == 3000 + 3
    with pytest.raises(ApiError) as refused:
        store.db.append(post(pair, 0, "late"), answers.append)
    assert refused.value.code == "overloaded"
    assert_sound(store_url)


async def test_closing_finishes_storage_functions_too(store_url: str) -> None:
    async with opened(store_url) as store:
        calls = [store.db.write(ensure_user, new_phone(), 1) for _ in range(50)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
    users = await asyncio.gather(*tasks)
    assert len({user.id for user in users}) == 50


async def test_a_read_sees_one_moment(store: Store) -> None:
    """A read that looks twice must not see what another commits in between."""
    user = await store.user()
    loop = asyncio.get_running_loop()

    def look_twice(tx: Tx, change: Callable[[], None]) -> tuple[User | None, User | None]:
        before = user_by_id(tx, user.id)
        change()
        return before, user_by_id(tx, user.id)

    def rename() -> None:
        work = store.db.write(update_user, user.id, "new name", store.clock(), read_receipts=None)
        asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE)

    before, after = await store.db.read(look_twice, rename)
    assert before == after == user


async def test_reads_go_on_while_writers_wait(store: Store) -> None:
    user = await store.user()
    with writers_locked_out(store.url):
        writing = asyncio.ensure_future(
            store.db.write(update_user, user.id, "x", store.clock(), read_receipts=None)
        )
        async with asyncio.timeout(PATIENCE):
            assert await store.db.read(user_by_id, user.id) == user
        assert not writing.done()
    assert await writing
