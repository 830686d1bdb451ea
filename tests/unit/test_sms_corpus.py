"""What providers send: rows of tests/corpus/*.jsonl (its README has their fields), each with its expected effect."""

from __future__ import annotations

import pytest

from tests.support.sms_corpus import CALLBACKS, PDUS, CallbackRow, effect_of_callback, effects_of_pdus

pytestmark = pytest.mark.anyio


def test_rows_have_names_of_their_own() -> None:
    names = [*(row.name for row in PDUS), *(row.name for row in CALLBACKS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("connection", sorted({row.connection for row in PDUS}))
async def test_a_pdu_has_its_expected_effect(connection: str) -> None:
    rows = [row for row in PDUS if row.connection == connection]
    assert await effects_of_pdus(rows) == {row.name: row.expect for row in rows}


@pytest.mark.parametrize("row", CALLBACKS, ids=lambda row: row.name)
async def test_a_callback_has_its_expected_effect(row: CallbackRow) -> None:
    assert await effect_of_callback(row) == row.expect
