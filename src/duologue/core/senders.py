"""From a sender's number, in whatever spelling a network has it, to the phone.

Networks write one phone as +33612345678, 0033612345678, 33612345678 or 0612345678. The first two say what they are.
The others are taken for a phone only where there is a reason to: the operator named the region, or the phone is one
that texts go to from the very service number that was answered. An answer whose phone isn't found is counted and
logged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Final

import msgspec
import phonenumbers
from prometheus_client import Counter

from duologue.clock import Clock
from duologue.core.delivery.relay_policy import RelayPolicy, storable
from duologue.core.phone_numbers import masked, parse_phone
from duologue.errors import ApiError
from duologue.providers.sms.keywords import keyword_of
from duologue.providers.sms.provider import InboundSms
from duologue.providers.sms.rate_limited_logger import RateLimitedLogger
from duologue.storage.database import Database, Tx
from duologue.storage.tables import service_numbers, unplaced
from duologue.storage.tables.accounts import user_by_phone

_log = logging.getLogger(__name__)

_UNKNOWN: Final = Counter(
    "duologue_sms_unknown_senders_total",
    "Texts that nobody got: from a number that is no phone we know in this spelling, from a name or a short code, or"
    " from a number of our own.",
    ["provider", "reason"],
)
_SIGNS = re.compile(r"[\s().\-/]")
_DIGITS = re.compile(r"\+?([0-9]{4,20})", re.ASCII)
_SHOWN: Final = 3
"""Digits of an unknown sender's number at its start that the log shows, and how many digits it has."""


class Reading(msgspec.Struct, frozen=True):
    """Meanings of a spelling: one phone for certain; or perhaps a national number, or an international one."""

    certain: str | None = None
    at_home: str | None = None
    with_plus: str | None = None


def reading(spelled: str, region: str | None, *, respell: bool = True) -> Reading:
    """Return the meanings of a number; none for a name or a short code. `respell` is that of `parse_phone`."""
    compact = _SIGNS.sub("", spelled)
    found = _DIGITS.fullmatch(compact)
    if found is None:
        return Reading()
    digits = found[1]
    international = "+" + digits.removeprefix("00")
    if compact.startswith(("+", "00")) and (phone := _possible(international, respell=respell)):
        return Reading(certain=phone)
    at_home = _at_home(digits, region)
    return Reading(
        at_home=_possible(at_home, respell=respell) if at_home else None,
        with_plus=_possible("+" + digits, respell=respell),
    )


def _possible(number: str, *, respell: bool) -> str | None:
    try:
        return parse_phone(number, respell=respell)
    except ApiError:
        return None


def _at_home(digits: str, region: str | None) -> str | None:
    """A number as it is dialled, or written, within its own region."""
    if region is None:
        return None
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _phones(spelled: str, region: str | None) -> list[str]:
    """The number as it stands, and all phones that it may mean. Our own keep the operator's spelling."""
    found = [spelled]
    for means in (reading(spelled, region, respell=False), reading(spelled, region)):
        found += filter(None, (means.certain, means.at_home, means.with_plus))
    return found


class Senders:
    """Finds the phones that texts come from."""

    def __init__(self, db: Database, policy: RelayPolicy, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._policy = policy
        self._complaints = RateLimitedLogger(_log)

    def service_of(self, sms: InboundSms) -> str | None:
        """The service number that a text came to, spelled as the operator did if it is one of the operator's."""
        if sms.to is None:
            return None
        spelled = (phone for phone in _phones(sms.to, sms.region) if phone in self._policy.services)
        return next(spelled, storable(sms.to))

    async def phone_of(self, provider: str, sms: InboundSms, service: str | None) -> str | None:
        """The phone in E.164 that a text comes from; None if that is nobody's, which is counted.

        Raises `ApiError` `overloaded`.
        """
        if any(map(self._policy.is_own, _phones(sms.sender, sms.region))):
            self._complaints.warning(
                "%s delivered a text from one of our own numbers, and it is dropped", provider
            )
            await self._note(provider, sms.sender, "own_number")
            return None
        means = reading(sms.sender, sms.region)
        phone = means.certain
        if phone is None and (means.at_home or means.with_plus):
            phone = await self._db.directory().read(
                self._choose, means, service, keyword_of(sms.text) == "stop"
            )
        if phone is None:
            await self._complain(provider, sms.sender)
        return phone

    def _choose(self, tx: Tx, means: Reading, service: str | None, stop: bool) -> str | None:  # noqa: FBT001 - from `read`
        guess = self._policy.may_guess(service)
        candidates = [phone for phone in (means.at_home, means.with_plus) if phone]
        for phone in candidates:
            if service_numbers.has_number(tx, phone, service, guess=guess):
                return phone
        if means.at_home:
            return means.at_home
        # Who was sent a code from here has no line, but may want no more of it.
        return _first_known(tx, candidates) if stop else None

    async def _complain(self, provider: str, sender: str) -> None:
        found = _DIGITS.fullmatch(_SIGNS.sub("", sender))
        await self._note(provider, sender, "number" if found else "name")
        if found:
            self._complaints.warning(
                "%s delivered a text from a number of %d digits (%s…) that is no phone we know; if it lacks its"
                " country code, set region= in the provider's URL",
                provider,
                len(found[1]),
                found[1][:_SHOWN],
            )

    async def _note(self, provider: str, sender: str, reason: str) -> None:
        """Count a text that nobody gets, and show it to the operator."""
        _UNKNOWN.labels(provider, reason).inc()
        await self._db.directory().write(
            unplaced.note, provider, masked(storable(sender)), reason, self._clock()
        )


def _first_known(tx: Tx, phones: Sequence[str]) -> str | None:
    return next((phone for phone in phones if user_by_phone(tx, phone)), None)
