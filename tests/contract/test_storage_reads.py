"""Reads: of those that wait several are done at once, and each has its own outcome."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain

import psycopg
import pytest

from duologue.errors import ApiError
from duologue.storage.database import Tx
from tests.contract.store import Store

pytestmark = pytest.mark.anyio


def answers(tx: Tx, number: int) -> int:
    row = tx.one("SELECT CAST(:number AS INTEGER)", number=number)
    assert row
    return int(row[0])


def refuses(tx: Tx, number: int) -> int:
    answers(tx, number)
    raise ApiError("not_found", f"{number}")


def is_broken(tx: Tx, number: int) -> int:
    tx.one("SELECT nothing FROM nowhere")
    return number


async def test_of_many_reads_at_once_each_has_its_own_outcome(store: Store) -> None:
    kinds = [answers, answers, refuses, answers, is_broken, answers]
    calls = [store.db.read(kinds[number % len(kinds)], number) for number in range(120)]
    for number, outcome in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
        kind = kinds[number % len(kinds)]
        if kind is answers:
            assert outcome == number
        elif kind is refuses:
            assert isinstance(outcome, ApiError)
            assert outcome.detail == f"{number}"
        else:
            assert isinstance(outcome, sqlite3.Error | psycopg.Error)


async def test_a_read_whose_caller_gave_up_harms_no_other(store: Store) -> None:
    calls = [asyncio.create_task(store.db.read(answers, number)) for number in range(40)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[1::2] == list(range(1, 40, 2))


async def test_a_read_sees_what_was_committed_before_it_was_asked_for(store: Store) -> None:
    pair = await store.pair()

    async def look() -> None:
        message = await store.send(pair, 0, f"c{id(asyncio.current_task())}")
        rows = await store.db.read(
            lambda tx: tx.all("SELECT seq FROM messages WHERE chat_id = :chat_id", chat_id=pair.chat_id)
        )
        assert (message.seq,) in [tuple(row) for row in rows]

    await asyncio.gather(*(look() for _ in range(60)))


async def test_keys_that_wait_together_are_found_by_one_call(store: Store) -> None:
    calls: list[list[int]] = []

    def squares(tx: Tx, numbers: Sequence[int]) -> dict[int, int]:
        calls.append(list(numbers))
        return {number: answers(tx, number * number) for number in numbers if number % 10}

    wanted = [*range(100), 7, 7]
    outcomes = await asyncio.gather(*(store.db.find(squares, number) for number in wanted))
    assert outcomes == [number * number if number % 10 else None for number in wanted]
    assert sorted(chain.from_iterable(calls)) == sorted(wanted)
    assert len(calls) < len(wanted) / 2


@pytest.mark.parametrize("broken", [refuses, is_broken])
async def test_a_call_that_fails_fails_for_those_alone_whose_key_it_was_to_find(
    store: Store, broken: Callable[[Tx, int], int]
) -> None:
    def fails(tx: Tx, numbers: Sequence[int]) -> dict[int, int]:
        return {number: broken(tx, number) for number in numbers}

    def succeeds(tx: Tx, numbers: Sequence[int]) -> dict[int, int]:
        return {number: answers(tx, number) for number in numbers}

    calls = [store.db.find(fails if number % 2 else succeeds, number) for number in range(60)]
    for number, outcome in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
        if number % 2:
            assert isinstance(outcome, ApiError | sqlite3.Error | psycopg.Error)
        else:
            assert outcome == number
