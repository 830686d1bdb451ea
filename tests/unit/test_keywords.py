"""STOP, START and HELP as people type them, and nothing that only looks like it."""

from __future__ import annotations

import unicodedata

import pytest

from duologue.providers.sms.keywords import KEYWORDS, Keyword, keyword_of


@pytest.mark.parametrize(
    "word",
    ["stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe", "OPT OUT", "Opt-Out", "OPTOUT"],
)
def test_the_words_that_the_law_names_are_heeded(word: str) -> None:
    """47 CFR 64.1200(a)(10)."""
    assert keyword_of(word) == "stop"


@pytest.mark.parametrize("word", ["STOPALL", "STOP ALL", "ARRET", "REMOVE", "TD", "OPTOUT"])
def test_the_words_that_carriers_require_are_heeded(word: str) -> None:
    """CTIA Messaging Principles, 5.1.3; AWS End User Messaging's required opt-out keywords."""
    assert keyword_of(word) == "stop"


@pytest.mark.parametrize(
    "text",
    [
        "  Stop!\n", "«ARRÊT»", "“stop”", "‘Stop’", "Stop.", "(stop)", "stop…", "¡BAJA!", "STOP STOP stop!!!",
        "ＳＴＯＰ", "\u200bstop\u2063", "\ufeffSTOP", "\u202bإلغاء\u202c", "st\u00adop", "🛑 STOP 🛑", "stop\ufe0f",
        "*stop*", "İPTAL", "IPTAL", "iptal", "ıptal", "Stop\xa0all", "stop_all", "opt\u2011out",
        "arre\u0302t", "ARRET", "الغاء", "إلغاء", "СТОП", "стоп", "停止。", "退订！", "수신거부", "ret", "הסר",
        "ODHLASIT", "tu choi", "Zatrzymaj", "SALIR", "Stopp!",
    ],
)  # fmt: skip
def test_a_stop_is_heeded_however_it_is_typed(text: str) -> None:
    """Width by NFKC (UAX 15), case by Unicode 3.13; signs and invisible characters don't count."""
    assert keyword_of(text) == "stop"


@pytest.mark.parametrize(
    "text",
    [
        "stop at the station", "don't stop", "stop it", "please stop", "Stop? Why?", "fin de semana", "the end",
        "basta", "ende", "koniec", "uit", "halt", "tc", "huy", "alto", "停", "berhenti", "lopeta",
        "endlich", "stopp mal", "unstoppable", "cancel dinner", "I quit my job", "end of story", "alto ahí",
        "basta così grazie", "weekend", "stopped", "s t o p", "helpful", "", " . ", "?", "🛑", "ok", "yes", "ja",
        "oui", "no", "seis", "¡Huy!", "stop " * 30,
    ],
)  # fmt: skip
def test_a_sentence_with_the_word_in_it_is_a_sentence(text: str) -> None:
    assert keyword_of(text) is None


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("START", "start"), ("unstop", "start"), ("Volver", "start"), ("NONARRET", "start"),
        ("Help", "help"), ("INFO", "help"), ("hilfe", "help"), ("помощь", "help"), ("¡Ayuda!", "help"),
    ],
)  # fmt: skip
def test_start_and_help_are_heeded_too(text: str, keyword: Keyword) -> None:
    assert keyword_of(text) == keyword


@pytest.mark.parametrize("keyword", list(KEYWORDS))
def test_every_word_means_what_its_row_says_in_any_writing(keyword: Keyword) -> None:
    for commands in KEYWORDS[keyword].values():
        for command in commands.split(","):
            for form in ("NFC", "NFD"):
                text = unicodedata.normalize(form, command)
                assert (
                    keyword_of(text)
                    == keyword_of(f" “{text.upper()}!” ")
                    == keyword_of(text.title())
                    == keyword
                )
