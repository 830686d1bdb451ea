"""The words by which a phone's owner says stop, start or help, as people type them.

Only a text that is such a word, or a command of two, counts: never a sentence that has the word in it. A word said
several times over counts too.

Sources. `law`: 47 CFR 64.1200(a)(10) names stop, quit, end, revoke, opt out, cancel and unsubscribe. `carriers`: CTIA
Messaging Principles, 5.1.3; the lists that AWS End User Messaging (arret, remove, td) and Telnyx (stop all) publish.
The rows of languages are the imperative that service numbers of the language's countries print (STOPP, BAJA, SAIR,
RET, הסר, 退订 …) and the plain translations of "stop", "unsubscribe" and "opt out". Left out are words that are an
ordinary answer elsewhere, such as the Finnish seis, a Spanish six.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

Wish = Literal["stop", "start", "help"]

# Words are separated by commas. They stand as people write them; `_plain` is how they are compared.
_STOP: Final[dict[str, str]] = {
    "law": "stop, quit, end, revoke, opt out, cancel, unsubscribe",
    "carriers": "stopall, stop all, optout, arret, remove, td",
    "ar": "إيقاف, إلغاء, توقف, إلغاء الاشتراك",
    "bg": "стоп, отписване",
    "cs": "odhlásit, zrušit",
    "da": "frameld, afmeld",
    "de": "stopp, abmelden, abbestellen, ende",
    "el": "σταματήστε, διαγραφή",
    "es": "baja, alto, parar, cancelar",
    "fa": "لغو",
    "fi": "lopeta, peruuta",
    "fr": "arrêt, arrêter, désabonner, désinscription",
    "he": "הסר, הסרה",
    "hi": "रोकें, बंद करें",
    "hu": "leiratkozás",
    "id": "berhenti, unreg",
    "it": "ferma, basta, disiscrivi",
    "ja": "停止, 配信停止, 解除",
    "ko": "수신거부, 중지",
    "nl": "stopt, afmelden",
    "no": "avmeld",
    "pl": "koniec, rezygnuję, wypisz",
    "pt": "sair, descadastrar",
    "ro": "dezabonare",
    "ru": "отписка, отписаться",
    "sv": "avsluta, avregistrera",
    "th": "ยกเลิก, หยุด",
    "tr": "durdur, iptal, ret",
    "uk": "відписатися",
    "vi": "từ chối",
    "zh": "退订, 退訂, 停, 停止接收",
}
_START: Final[dict[str, str]] = {
    "carriers": "start, unstop, resume, subscribe",
    "ar": "استئناف, بدء",
    "de": "weiter",
    "es": "alta, iniciar",
    "fr": "reprendre",
    "it": "avvia",
    "ru": "старт",
    "tr": "başla",
    "zh": "开始",
}
_HELP: Final[dict[str, str]] = {
    "carriers": "help, info",
    "ar": "مساعدة",
    "de": "hilfe",
    "es": "ayuda",
    "fr": "aide",
    "it": "aiuto",
    "nl": "hulp",
    "pl": "pomoc",
    "pt": "ajuda",
    "ru": "помощь, справка",
    "tr": "yardım",
    "zh": "帮助",
}
WORDS: Final[dict[Wish, dict[str, str]]] = {"stop": _STOP, "start": _START, "help": _HELP}

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


_COMMANDS: Final[dict[tuple[str, ...], Wish]] = {
    tuple(_plain(command)): wish
    for wish, languages in WORDS.items()
    for commands in languages.values()
    for command in commands.split(",")
}


def wish_of(text: str) -> Wish | None:
    """Return the command that a text is, alone or repeated; None if there is anything else in it."""
    if len(text) > _LONGEST:
        return None
    words = tuple(_plain(text))
    for length in (1, 2):
        command, rest = words[:length], words[length:]
        if command in _COMMANDS and rest == command * (len(rest) // length):
            return _COMMANDS[command]
    return None
