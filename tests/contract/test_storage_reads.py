"""Reads: of those that wait several are done at once, and each has its own outcome."""

from __future__ import annotations

import asyncio
import sqlite3

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
