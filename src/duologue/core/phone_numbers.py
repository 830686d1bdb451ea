"""Phone numbers: E.164 in, or a refusal with a hint. Nothing is guessed."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, ValidationResult

from duologue.errors import ApiError

_FORMATTING: Final = re.compile(
    r"[ \-.()/\u2010-\u2015\u2212\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
"""Punctuation, and the invisible marks that address books put around a number when it is copied."""
RESPELLINGS: Final = (
    # Benin put 01 in front of all its numbers of eight digits in November 2024.
    (r"\+229(\d{8})", r"+22901\1"),
    # Mexico gave up the 1 of its mobiles in August 2019.
    (r"\+521(\d{10})", r"+52\1"),
    # Argentine mobiles have a 9 behind the country code, which many networks and people leave out.
    (r"\+54([1-3]\d{9})", r"+549\1"),
    # Brazilian mobiles got a ninth digit, a 9 behind the area code. A 7 there may be of a network that kept eight.
    (r"\+55([1-9]{2})([689]\d{7})", r"+55\g<1>9\2"),
)
"""Old spellings as patterns, and what they became. Migration 0009 applies the same to what is stored."""
_RESPELLINGS: Final = [(re.compile(old), new) for old, new in RESPELLINGS]
_SHOWN: Final = 4, 2
"""Characters of a masked number that show, at its beginning and its end."""
_LONGEST_SENDER: Final = 40
"""Characters: a provider may write anything for a sender."""
_HINTS = {
    ValidationResult.TOO_SHORT: "it is too short for its country code",
    ValidationResult.TOO_LONG: "it is too long for its country code",
    ValidationResult.INVALID_COUNTRY_CODE: "no country has that code",
    ValidationResult.INVALID_LENGTH: "no number of that country has this length",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "it lacks its area code",
}


@lru_cache(maxsize=20_000)
def parse_phone(text: str, field: str = "phone", *, respell: bool = True) -> str:
    """Return the number in E.164 (ITU-T E.164): `+`, country code, subscriber number.

    Spaces, the usual punctuation and full-width characters are forgiven. Two spellings of one number become one,
    unless `respell` is false. Raises `ApiError` `invalid_phone` with a hint for what isn't a possible number, by
    libphonenumber's metadata.
    """
    compact = _FORMATTING.sub("", unicodedata.normalize("NFKC", text))
    if not compact.startswith("+"):
        hint = f"try +{compact[2:]}" if compact.startswith("00") else "e.g. +33612345678"
        raise _refusal(field, f"It must start with + and the country code ({hint}).")
    if not (compact[1:].isascii() and compact[1:].isdigit()):
        raise _refusal(field, "After the + only digits may stand, e.g. +33612345678.")
    if respell:
        compact = _respelt(compact)
    try:
        number = phonenumbers.parse(compact)
    except NumberParseException as fault:
        no_country = fault.error_type == NumberParseException.INVALID_COUNTRY_CODE
        reason = "no country has that code" if no_country else "it has too few or too many digits"
        raise _refusal(field, f"It is not a phone number: {reason}.") from fault
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible in _HINTS:
        raise _refusal(field, f"It is not a possible phone number: {_HINTS[possible]}.")
    canonical = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if canonical != compact:
        raise _refusal(field, f"It is not in its international form: try {canonical}.")
    return canonical


def masked(sender: str) -> str:
    """Return a sender of which only the beginning and the end show: `+336••••••78`. A short code or name shows whole.

    What terminals don't print shows as a dot.
    """
    shown = "".join(char if char.isprintable() else "•" for char in sender[:_LONGEST_SENDER])
    first, last = _SHOWN
    hidden = len(shown) - first - last
    return shown if hidden < 1 else shown[:first] + "•" * hidden + shown[-last:]


def _respelt(number: str) -> str:
    for old, new in _RESPELLINGS:
        if matched := old.fullmatch(number):
            return matched.expand(new)
    return number


def _refusal(field: str, hint: str) -> ApiError:
    return ApiError("invalid_phone", hint, errors={field: hint})
