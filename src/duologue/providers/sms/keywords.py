"""The words by which a phone's owner says stop, start or help, as people type them.

Only a text that is such a word, or a command of two, counts: never a sentence that has the word in it. A word said
several times over counts too.

Each row says where its words are documented. A plain translation of "stop" that no law, regulator, operator or
provider names is not in the table: it may be an ordinary answer. So are some words that are documented, and they are
left out too: the Dutch uit (off), the German halt, the Vietnamese TC and HUY.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

Keyword = Literal["stop", "start", "help"]

# Words are separated by commas. They stand as people write them; `_plain` is how they are compared.
_STOP: Final[dict[str, str]] = {
    # 47 CFR 64.1200(a)(10).
    "law": "stop, quit, end, revoke, opt out, cancel, unsubscribe",
    # CTIA Messaging Principles, 5.1.3; the lists of AWS (optout, arret, remove, td), Twilio and Telnyx (stop all).
    "carriers": "stopall, stop all, optout, arret, remove, td",
    # Operators' word for ending a service in Egypt (e& Egypt, to 1666).
    "ar": "إلغاء",
    # A Czech guide to ending services by SMS (etechblog.cz).
    "cs": "odhlásit, zrušit",
    # Austria's ordinance on value-added services, from 2007 on: "Stopp" or "Stop" ends a subscription.
    "de": "stopp",
    # Movistar Spain's word (baja); the regulators of Colombia and Ecuador (salir, cancelar); Bird, Sinch (detener).
    "es": "baja, salir, cancelar, detener",
    # The word on the buttons of Israeli advertisers, as courts call it in rulings on the law against spam (30A).
    "he": "הסר",
    # Telkomsel's and other operators' words for paid services in Indonesia; Brevo's word for Norway (unsub).
    "id": "unreg, unsub",
    # Bird's list of words in other languages.
    "it": "ferma",
    # What the Network Act, article 50, has advertisers print in Korea.
    "ko": "수신거부",
    # Bird's list.
    "pl": "zatrzymaj",
    # Anatel's decision of 2012 on operators in Brazil (sair); the defaults of Sinch (parar, cancelar).
    "pt": "sair, parar, cancelar",
    # MegaFon's word (стоп), the same in Bulgarian and Ukrainian; Bird's list (остановить).
    "ru": "стоп, остановить",
    # İYS, the state's register of consent: RET by SMS; operators' short codes (iptal).
    "tr": "ret, iptal",
    # What every advertisement must offer by Decree 91/2020, article 16: to refuse.
    "vi": "từ chối",
    # What advertisers print in China: 退订回T, TD or 停止.
    "zh": "退订, 退訂, 停止",
}
_START: Final[dict[str, str]] = {
    # CTIA Messaging Principles; Twilio and Telnyx (start, unstop), Bird (resume), Sinch (subscribe).
    "carriers": "start, unstop, resume, subscribe",
    # The defaults of Sinch.
    "es": "volver, recibir",
    # Bird's list.
    "fr": "nonarret",
    # The defaults of Sinch.
    "pt": "voltar, receber",
}
_HELP: Final[dict[str, str]] = {
    # CTIA Messaging Principles, 5.1.3.
    "carriers": "help, info",
    # The others are Bird's list; aide is required in Canada too.
    "de": "hilfe",
    "es": "ayuda",
    "fr": "aide",
    "it": "aiuto",
    "nl": "hulp",
    "pl": "pomocy",
    "pt": "ajuda",
    "ru": "помощь",
}
KEYWORDS: Final[dict[Keyword, dict[str, str]]] = {"stop": _STOP, "start": _START, "help": _HELP}

# Marks that people leave out: accents of Latin, Greek and Cyrillic letters; vowel signs and hamza of Arabic ones.
_MARKS = re.compile(r"[\u0300-\u036f\u064b-\u0655]")
_INVISIBLE: Final = frozenset({"Cf", "Cc", "Cs", "Co", "Cn"})
_VARIATION = re.compile(r"[\ufe00-\ufe0f]")
_LONGEST: Final = 100
"""Characters: a longer text is no command."""


def _plain(text: str) -> list[str]:
    """The words of a text in their comparable form: no case, width, accents, signs or invisible characters.

    Case is Unicode's; the Turkish İ and ı are both an i.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("ı", "i")
    open_ = _MARKS.sub("", unicodedata.normalize("NFKD", folded))
    chars = [
        " " if char.isspace() else char
        for char in unicodedata.normalize("NFC", _VARIATION.sub("", open_))
        if char.isspace() or unicodedata.category(char) not in _INVISIBLE
    ]
    return "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in chars).split()


_COMMANDS: Final[dict[tuple[str, ...], Keyword]] = {
    tuple(_plain(command)): keyword
    for keyword, languages in KEYWORDS.items()
    for commands in languages.values()
    for command in commands.split(",")
}


def keyword_of(text: str) -> Keyword | None:
    """Return the command that a text is, alone or repeated; None if there is anything else in it."""
    if len(text) > _LONGEST:
        return None
    words = tuple(_plain(text))
    for length in (1, 2):
        command, rest = words[:length], words[length:]
        if command in _COMMANDS and rest == command * (len(rest) // length):
            return _COMMANDS[command]
    return None
