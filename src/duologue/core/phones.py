"""Phone numbers: E.164 in, or a refusal with a hint. Nothing is guessed."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, ValidationResult

from duologue.errors import ApiError

_FORMATTING = str.maketrans("", "", " -.()/\u00a0\u202f")
_HINTS = {
    ValidationResult.TOO_SHORT: "it is too short for its country code",
    ValidationResult.TOO_LONG: "it is too long for its country code",
    ValidationResult.INVALID_COUNTRY_CODE: "no country has that code",
    ValidationResult.INVALID_LENGTH: "no number of that country has this length",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "it lacks its area code",
}


@lru_cache(maxsize=20_000)
def parse_phone(text: str, field: str = "phone") -> str:
    """The number in E.164 (ITU-T E.164): `+`, country code, subscriber number.

    Spaces and the usual punctuation are forgiven. Raises `ApiError` `invalid_phone` with a hint for what isn't
    a possible number, by libphonenumber's metadata.
    """
    compact = text.translate(_FORMATTING)
    if not compact.startswith("+"):
        hint = f"try +{compact[2:]}" if compact.startswith("00") else "e.g. +33612345678"
        raise _refusal(field, f"It must start with + and the country code ({hint}).")
    if not (compact[1:].isascii() and compact[1:].isdigit()):
        raise _refusal(field, "After the + only digits may stand, e.g. +33612345678.")
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


def _refusal(field: str, hint: str) -> ApiError:
    return ApiError("invalid_phone", hint, errors={field: hint})
