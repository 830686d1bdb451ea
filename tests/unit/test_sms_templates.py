"""The text that carries a code: short, in the right language, and readable by a browser."""

from __future__ import annotations

import re

import pytest

from duologue.providers.sms.segments import measure
from duologue.providers.sms.templates import LANGUAGES, code_text

WANTED = {"en", "fr", "de", "es", "it", "pt", "nl", "pl", "tr", "ar"}


def webotp(text: str) -> tuple[str, str] | None:
    """The host and code of a message, read as WICG's sms-one-time-codes says (section 3.2)."""
    found = re.match(r"@(\S+) #(\S+)(?: |$)", re.split(r"\r\n|\r|\n", text)[-1])
    return (found[1], found[2]) if found else None


def test_the_common_languages_are_spoken() -> None:
    assert WANTED <= LANGUAGES


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_a_code_fits_in_one_part_in_every_language(language: str) -> None:
    text = code_text("123456", app="Duologue", to="+33612345678", language=language)
    assert "123456" in text
    assert measure(text).parts == 1


@pytest.mark.parametrize("language", sorted(LANGUAGES - {"ar"}))
def test_it_fits_with_a_domain_too_where_the_gsm_alphabet_does(language: str) -> None:
    domain = "a-rather-long-name.chat.example.org"
    text = code_text("123456", app="Duologue", to="+33612345678", language=language, domain=domain)
    assert measure(text).encoding == "GSM-7"
    assert measure(text).parts == 1


def test_arabic_fits_with_a_short_domain() -> None:
    text = code_text("123456", app="Chat", to="+201001234567", domain="chat.example")
    assert "رمز" in text
    assert measure(text).parts == 1


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_the_last_line_binds_the_code_to_the_domain(language: str) -> None:
    text = code_text("123456", app="Duologue", to="+33612345678", language=language, domain="chat.example")
    assert webotp(text) == ("chat.example", "123456")
    assert webotp(code_text("123456", app="Duologue", to="+33612345678", language=language)) is None


@pytest.mark.parametrize("domain", ["chat.example:8000", "https://chat.example", "Chat.example", "a b", ""])
def test_a_domain_that_would_bind_to_nothing_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="host name"):
        code_text("123456", app="Duologue", to="+33612345678", domain=domain)


@pytest.mark.parametrize(
    ("to", "language", "word"),
    [
        ("+33612345678", None, "personne"),
        ("+4915112345678", None, "weiter"),
        ("+34612345678", None, "clave"),
        ("+5511961234567", None, "entrar"),
        ("+905321234567", None, "kodunuz"),
        ("+48512345678", None, "nikomu"),
        ("+12025550100", None, "share"),
        ("+81312345678", None, "share"),
        ("+12025550100", "fr-CA", "personne"),
        ("+12025550100", "pt_BR", "entrar"),
        ("+33612345678", "xx", "personne"),
    ],
)
def test_the_language_asked_for_is_used_else_the_countrys(to: str, language: str | None, word: str) -> None:
    assert word in code_text("123456", app="Duologue", to=to, language=language)
