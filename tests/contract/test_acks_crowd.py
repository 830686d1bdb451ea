"""Acks while many chats are written to: they wait a moment for those of others."""

from __future__ import annotations

import pytest

from tests.contract.test_acks import Reader, hear, reader

__all__ = ["reader"]
"""A fixture."""

pytestmark = pytest.mark.anyio


async def test_while_many_chats_are_written_to_even_the_first_ack_waits_for_others(reader: Reader) -> None:
    reader.crowded = True
    seqs = [await hear(reader, 0, str(number)) for number in range(3)]
    for seq in seqs:
        reader.ack(seq)
    assert reader.db.marks == 0
    assert await reader.delivered() == [3, 0, 0]
    assert reader.db.marks == 1
    assert reader.errors == []


async def test_acks_that_wait_for_others_are_raised_when_the_connection_ends(reader: Reader) -> None:
    reader.timer.held = 60
    reader.crowded = True
    reader.ack(await hear(reader, 0, "one"))
    reader.acks.flush()
    assert reader.db.marks == 1
    assert await reader.delivered() == [1, 0, 0]


async def test_an_ack_that_waits_for_others_does_not_wait_longer_when_the_crowd_is_gone(
    reader: Reader,
) -> None:
    reader.crowded = True
    seqs = [await hear(reader, 0, str(number)) for number in range(2)]
    reader.ack(seqs[0])
    reader.crowded = False
    reader.ack(seqs[1])
    assert await reader.delivered() == [2, 0, 0]
    assert reader.db.marks == 1
