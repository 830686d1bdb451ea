"""Callbacks of providers: tests/corpus/*.jsonl (its README has their fields), each with its expected effect."""

from __future__ import annotations

import pytest

from duologue.providers.sms.gateway_presets import PRESETS
from tests.support.sms_corpus import (
    ANSWERS,
    CALLBACKS,
    PDUS,
    AnswerRow,
    CallbackRow,
    effect_of_answer,
    effect_of_callback,
    effects_of_pdus,
)

pytestmark = pytest.mark.anyio


def test_rows_have_names_of_their_own() -> None:
    names = [*(row.name for row in PDUS), *(row.name for row in CALLBACKS), *(row.name for row in ANSWERS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "provider", ["twilio:", *(f"preset={name}&" for name in PRESETS if name != "android")]
)
def test_every_provider_over_http_has_a_row_of_each_kind(provider: str) -> None:
    answers = [row.expect for row in ANSWERS if provider in row.url]
    rows = [row for row in CALLBACKS if provider in row.url]
    effects = [row.expect for row in rows]
    assert any(effect.accepted for effect in answers)
    assert any(effect.refused == "Rejected" for effect in answers)
    assert any(effect.refused == "BadSignature" for effect in effects)
    if provider == "preset=playsms&":
        return  # It only sends.
    states = {state for effect in effects for _, state, *_ in effect.receipts}
    assert {"delivered", "failed"} <= states
    assert any(effect.texts and not effect.keywords for effect in effects)
    assert any(effect.keywords == ["stop"] for effect in effects)
    assert {row.callback.kind for row in rows if row.repeat} == {"status", "inbound"}


@pytest.mark.parametrize("connection", sorted({row.connection for row in PDUS}))
async def test_a_pdu_has_its_expected_effect(connection: str) -> None:
    rows = [row for row in PDUS if row.connection == connection]
    assert await effects_of_pdus(rows) == {row.name: row.expect for row in rows}


@pytest.mark.parametrize("row", CALLBACKS, ids=lambda row: row.name)
async def test_a_callback_has_its_expected_effect(row: CallbackRow) -> None:
    assert await effect_of_callback(row) == row.expect


@pytest.mark.parametrize("row", ANSWERS, ids=lambda row: row.name)
async def test_an_answer_has_its_expected_effect(row: AnswerRow) -> None:
    assert await effect_of_answer(row) == row.expect
