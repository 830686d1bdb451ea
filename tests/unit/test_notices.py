"""What the service says to phones, and the words that it heeds."""

from __future__ import annotations

from typing import get_args

import pytest

from duologue.sms.notices import _HELP, _START, _STOP, _TEXTS, _WORDS, Notice, notice, wish_of
from duologue.sms.segments import encoding_of, measure
from duologue.sms.templates import language_of

KINDS = get_args(Notice)
GSM = sorted(set(_TEXTS) - {"ar"})


@pytest.mark.parametrize("language", sorted(_TEXTS))
@pytest.mark.parametrize("kind", KINDS)
def test_every_notice_is_there_in_every_language_and_short(language: str, kind: Notice) -> None:
    text = notice(kind, "+33612345678", "Duologue", language)
    assert text
    assert "{" not in text
    assert measure(text).parts <= (2 if language == "ar" else 1)


@pytest.mark.parametrize("language", GSM)
@pytest.mark.parametrize("kind", KINDS)
def test_a_notice_does_not_double_the_price_by_its_letters(language: str, kind: Notice) -> None:
    assert encoding_of(notice(kind, "+33612345678", "Duologue", language)) == "GSM-7"


@pytest.mark.parametrize("language", sorted(_TEXTS))
@pytest.mark.parametrize("kind", ["hint", "started", "help"])
def test_it_always_says_how_to_stop_it(language: str, kind: Notice) -> None:
    assert "STOP" in notice(kind, "+33612345678", "Duologue", language)


@pytest.mark.parametrize("language", sorted(_TEXTS))
def test_whoever_stopped_it_is_told_how_to_start_it(language: str) -> None:
    assert "START" in notice("stopped", "+33612345678", "Duologue", language)


def test_the_language_is_that_of_the_numbers_country_unless_the_operator_says() -> None:
    assert notice("hint", "+33612345678", "Duologue") == _TEXTS["fr"]["hint"]
    assert notice("hint", "+4915112345678", "Duologue") == _TEXTS["de"]["hint"]
    assert notice("hint", "+33612345678", "Duologue", "it") == _TEXTS["it"]["hint"]


def test_notices_speak_every_language_that_codes_do() -> None:
    assert {language_of(phone, None) for phone in ("+33612345678", "+12025550123", "+905012345678")} <= set(
        _TEXTS
    )


@pytest.mark.parametrize(
    "word", ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"]
)
def test_the_words_that_carriers_require_are_heeded(word: str) -> None:
    """CTIA Messaging Principles, 5.1.3."""
    assert wish_of(word) == "stop"


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("stop", "stop"), ("  Stop!\n", "stop"), ("«ARRÊT»", "stop"), ("“stop”", "stop"), ("Stop.", "stop"),
        ("إيقاف", "stop"), ("退订", "stop"), ("СТОП", "stop"), ("STOPP", "stop"),
        ("START", "start"), ("unstop", "start"), ("Başla", "start"), ("старт", "start"),
        ("Help", "help"), ("INFO", "help"), ("hilfe", "help"), ("помощь", "help"), ("帮助", "help"),
        ("stop it", None), ("don't stop", None), ("", None), (" . ", None), ("stopp mal", None), ("helpful", None),
        ("?", None), ("ok", None), ("yes", None), ("ja", None), ("oui", None), ("no", None),
    ],
)  # fmt: skip
def test_a_word_of_its_own_is_a_wish_and_anything_else_is_not(text: str, wish: str | None) -> None:
    assert wish_of(text) == wish


def test_no_word_means_two_things() -> None:
    words = [word for words in (_STOP, _START, _HELP) for word in words.split()]
    assert len(words) == len(set(words)) == len(_WORDS)


def test_every_word_is_found_however_it_is_written() -> None:
    for word, wish in _WORDS.items():
        assert wish_of(word.upper()) == wish_of(f" {word.title()}! ") == wish
