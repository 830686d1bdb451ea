"""The text that carries a sign-in code, in the language of the phone's country."""

from __future__ import annotations

import re

from duologue.providers.sms.segments import region_of

# One part each: the words are chosen so that no letter falls outside the GSM alphabet where the language
# allows it (in Polish, Turkish, Spanish or Portuguese a single ó, ş or ã would more than halve the room).
_TEXTS = {
    "ar": "رمز {app} الخاص بك: {code}. لا تخبر به أحدا.",
    "de": "Ihr Code für {app}: {code}. Geben Sie ihn nicht weiter.",
    "en": "Your {app} code is {code}. Don't share it with anyone.",
    "es": "Su clave de {app} es {code}. No la comparta con nadie.",
    "fr": "Votre code {app} : {code}. Ne le communiquez à personne.",
    "it": "Il tuo codice {app} è {code}. Non comunicarlo a nessuno.",
    "nl": "Uw code voor {app} is {code}. Deel hem met niemand.",
    "pl": "Kod {app}: {code}. Nie podawaj go nikomu.",
    "pt": "Use {code} para entrar em {app}. Nunca o mostre a outra pessoa.",
    "tr": "{app} kodunuz: {code}. Bu kodu kimseye vermeyin.",
}

_REGIONS = {
    "ar": "AE BH DJ DZ EG EH IQ JO KM KW LB LY MA MR OM PS QA SA SD SY TN YE",
    "de": "AT CH DE LI",
    "es": "AR BO CL CO CR CU DO EC ES GQ GT HN MX NI PA PE PR PY SV UY VE",
    "fr": "BF BI BJ BL CD CF CG CI CM FR GA GF GN GP HT LU MC MF MG ML MQ NC NE PF PM RE SN TD TG WF YT",
    "it": "IT SM VA",
    "nl": "AW BE BQ CW NL SR SX",
    "pl": "PL",
    "pt": "AO BR CV GW MZ PT ST TL",
    "tr": "TR",
}
_LANGUAGE_OF = {region: language for language, regions in _REGIONS.items() for region in regions.split()}

LANGUAGES = frozenset(_TEXTS)

_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")


def code_text(code: str, *, app: str, to: str, language: str | None = None, domain: str | None = None) -> str:
    """The SMS that carries `code` to the E.164 number `to`.

    `language` is a language tag (`fr-CA`); without one, or with one that we don't speak, the country decides.
    With a `domain` the last line binds the code to that site, so that a browser fills it in there and nowhere
    else (WICG "Origin-bound one-time codes delivered via SMS"). Raises `ValueError` for a domain with a port,
    a path or a capital letter: such a line would bind to nothing.
    """
    text = _TEXTS[language_of(to, language)].format(app=app, code=code)
    if domain is None:
        return text
    if not _HOST.fullmatch(domain):
        raise ValueError("the domain of a code must be a bare host name in lower case, such as chat.example")
    return f"{text}\n@{domain} #{code}"


def language_of(to: str, language: str | None = None) -> str:
    """The one of our languages to write to a phone in: the one asked for, or that of its country, or English."""
    asked = (language or "").replace("_", "-").split("-")[0].lower()
    if asked in _TEXTS:
        return asked
    return _LANGUAGE_OF.get(region_of(to) or "", "en")
