"""Texts of the service to phones."""

from __future__ import annotations

from typing import get_args

import pytest

from duologue.providers.sms.segments import encoding_of, measure
from duologue.providers.sms.service_texts import TEXTS, ServiceText, service_text
from duologue.providers.sms.templates import language_of

KINDS = get_args(ServiceText)
GSM = sorted(set(TEXTS) - {"ar"})


@pytest.mark.parametrize("language", sorted(TEXTS))
@pytest.mark.parametrize("kind", KINDS)
def test_every_notice_is_there_in_every_language_and_short(language: str, kind: ServiceText) -> None:
    text = service_text(kind, "+33612345678", "Duologue", language)
    assert text
    assert "{" not in text
    assert measure(text).parts <= (2 if language == "ar" else 1)


@pytest.mark.parametrize("language", GSM)
@pytest.mark.parametrize("kind", KINDS)
def test_a_notice_does_not_double_the_price_by_its_letters(language: str, kind: ServiceText) -> None:
    assert encoding_of(service_text(kind, "+33612345678", "Duologue", language)) == "GSM-7"


@pytest.mark.parametrize("language", sorted(TEXTS))
@pytest.mark.parametrize("kind", ["hint", "started", "help"])
def test_it_always_says_how_to_stop_it(language: str, kind: ServiceText) -> None:
    assert "STOP" in service_text(kind, "+33612345678", "Duologue", language)


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_whoever_stopped_it_is_told_how_to_start_it(language: str) -> None:
    assert "START" in service_text("stopped", "+33612345678", "Duologue", language)


def test_the_language_is_that_of_the_numbers_country_unless_the_operator_says() -> None:
    assert service_text("hint", "+33612345678", "Duologue") == TEXTS["fr"]["hint"]
    assert service_text("hint", "+4915112345678", "Duologue") == TEXTS["de"]["hint"]
    assert service_text("hint", "+33612345678", "Duologue", "it") == TEXTS["it"]["hint"]


def test_notices_speak_every_language_that_codes_do() -> None:
    assert {language_of(phone, None) for phone in ("+33612345678", "+12025550123", "+905012345678")} <= set(
        TEXTS
    )
