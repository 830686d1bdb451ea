"""Limits on the cost and the destinations of codes: the defence against SMS pumping and floods."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal

import msgspec
import phonenumbers
from phonenumbers import SUPPORTED_REGIONS, PhoneNumberType

from duologue.clock import DAY, HOUR, MINUTE
from duologue.core.addresses import address_block, asker, is_local
from duologue.errors import ApiError
from duologue.providers.sms.segments import price, region_of
from duologue.storage.database import Tx
from duologue.storage.tables.quotas import Quota, QuotaExceeded, add, used

MILLION: Final = 1_000_000  # millionths in one
STRANGERS_PER_NUMBER: Final = 12
"""Codes a day to one number, for all who ask from networks that it has not signed in from lately."""
ASKER_PER_NUMBER: Final = 6
"""Of these, for one network: so that no single one can take them all."""
ACQUAINTANCES_PER_NUMBER: Final = 12
"""Codes a day to one number, for networks that it has signed in from: strangers can't use them up."""
FAILURES_PER_ASKER: Final = 20
"""Codes an hour that the provider may fail to send for one asker (an IPv4 address, an IPv6 /64)."""
CODES_SHARE: Final = 90
"""Percent of the day's money that codes may use; what is left is for confirmations of STOP and the like."""
_NUMBER_BLOCK: Final = 4  # digits at the end of a number
BUDGET: Final = "sms-budget"
"""The key of the day's money, which codes and the relay share."""
_EVERYWHERE: Final = "001"
_DEAREST: Final = 1_000  # the price of one SMS, in the operator's currency
_UNLIMITED: Final = 2**62  # more SMS than can be sent


Refusal = Literal["country_not_allowed", "premium_number", "unassigned_number"]
_HINTS: Final[dict[Refusal, str]] = {
    "premium_number": "it is a premium-rate number, to which no codes are sent",
    "unassigned_number": "no operator of any country is known to have this number, so no codes are sent to it",
}


class Threshold(msgspec.Struct, frozen=True, gc=False):
    """After `sent` codes in a day of which fewer than `share` percent were redeemed, a breaker trips."""

    sent: int
    share: int

    def tripped(self, sent: int, redeemed: int) -> bool:
        return sent >= self.sent and redeemed * 100 < sent * self.share


SLOW: Final = Threshold(20, 10)
STOP: Final = Threshold(60, 5)
SLOW_PACE: Final = 10 * MINUTE


class Spending(msgspec.Struct, frozen=True):
    """Allowed destinations and prices of SMS: codes and relay alike.

    Money is in millionths of the operator's currency; `daily_budget` 0 stands for no limit. `unassigned`: SMS may go
    to numbers of ranges that nobody is known to have, and to those of no country (satellites).
    """

    allowed: Collection[str]
    denied: Collection[str]
    daily_budget: int
    prices: Mapping[str, int]
    unassigned: bool = False

    def refusal(self, phone: str) -> Refusal | None:
        """The reason why nothing may go to this number; None if SMS may."""
        countries = _countries(phone)
        if countries & set(self.denied) or (self.allowed and not countries <= set(self.allowed)):
            return "country_not_allowed"
        number = phonenumbers.parse(phone)
        if phonenumbers.number_type(number) == PhoneNumberType.PREMIUM_RATE:
            return "premium_number"
        if self.unassigned or (_EVERYWHERE in countries and _EVERYWHERE in self.allowed):
            return None
        known = phonenumbers.is_valid_number(number) and _EVERYWHERE not in countries
        return None if known else "unassigned_number"

    def cost(self, phone: str, text: str) -> int:
        """Return the price of a text to a number, all parts together."""
        return price(text, phone, self.prices) or 0


class SmsPolicy(msgspec.Struct, frozen=True):
    """Rules for codes: who may have them sent, to whom, and how often.

    With `trust_local` this machine's own requests are not limited: only for simulated phones, where nothing costs
    and everybody sees the codes. Else a proxy that isn't declared would make all the world local.
    """

    spending: Spending
    trust_local: bool

    def check_number(self, phone: str) -> None:
        """Raise `ApiError` `country_not_allowed`, or `invalid_phone` for a number to which no codes are sent."""
        refusal = self.spending.refusal(phone)
        if refusal == "country_not_allowed":
            raise ApiError("country_not_allowed")
        if refusal:
            hint = _HINTS[refusal]
            raise ApiError("invalid_phone", f"It can't be used: {hint}.", errors={"phone": hint})

    def is_exempt(self, address: str) -> bool:
        """Return whether requests from this address are not limited."""
        return self.trust_local and is_local(address)

    def quotas(self, phone: str, address: str, cost: int, *, acquainted: bool) -> list[Quota]:
        """The allowances that one more code to a number, on behalf of an address, is taken from.

        `acquainted`: the number has signed in from there lately.
        """
        block = address_block(address)
        allowances = [
            Quota(f"prefix:{number_block(phone)}", 1_000, HOUR),
            Quota(f"country:{region_of(phone)}", 10_000, HOUR),
            Quota(f"address-hour:{block}", 20, HOUR),
            Quota(f"address-day:{block}", 100, DAY),
        ]
        if acquainted:
            allowances.append(Quota(f"number-known:{phone}", ACQUAINTANCES_PER_NUMBER, DAY))
        else:
            allowances.append(Quota(f"number-asker:{phone} {block}", ASKER_PER_NUMBER, DAY))
            allowances.append(Quota(f"number-day:{phone}", STRANGERS_PER_NUMBER, DAY))
        if self.spending.daily_budget:
            allowances.append(Quota(BUDGET, self.spending.daily_budget * CODES_SHARE // 100, DAY, cost))
        return allowances


def _countries(phone: str) -> set[str]:
    """The number's country; if its number range is nobody's, all that share its country code."""
    region = region_of(phone)
    if region:
        return {region}
    return set(phonenumbers.region_codes_for_country_code(phonenumbers.parse(phone).country_code or 0))


def number_block(phone: str) -> str:
    """The ten thousand numbers that a number is among."""
    return phone[:-_NUMBER_BLOCK]


def _sent_key(phone: str) -> str:
    return f"codes-sent:{number_block(phone)}"


def _redeemed_key(phone: str) -> str:
    return f"codes-redeemed:{number_block(phone)}"


def sent_quota(phone: str) -> Quota:
    """Counts one more code to this block of numbers, without a limit."""
    return Quota(_sent_key(phone), _UNLIMITED, DAY)


def count_redeemed(tx: Tx, phone: str, now: int) -> None:
    """One of the codes sent to this block of numbers was redeemed."""
    sent, ends_at = used(tx, _sent_key(phone), DAY, now)
    if sent:
        # In the window of what was sent: two windows of their own would be compared out of step.
        add(tx, _redeemed_key(phone), 1, ends_at - now, now)


def conversion_quotas(tx: Tx, phone: str, now: int) -> list[Quota]:
    """Quotas of a number block whose codes are hardly ever redeemed: a slow pace, then nothing.

    Raises `QuotaExceeded`.
    """
    sent, ends_at = used(tx, _sent_key(phone), DAY, now)
    redeemed, _ = used(tx, _redeemed_key(phone), DAY, now)
    if STOP.tripped(sent, redeemed):
        raise QuotaExceeded(Quota(f"breaker:{number_block(phone)}", 0, DAY), ends_at)
    if SLOW.tripped(sent, redeemed):
        return [Quota(f"breaker-pace:{number_block(phone)}", 1, SLOW_PACE)]
    return []


def is_budget(quota: Quota) -> bool:
    """Return whether a quota is one of money."""
    return quota.key == BUDGET


def is_given_back(quota: Quota, *, surely_not_sent: bool) -> bool:
    """Tell whether a failure of the provider gives this allowance back: its trouble must not lock anybody out.

    A code that may have gone counts as one for the network that asked, and is paid for.
    """
    return surely_not_sent or not (is_budget(quota) or quota.key.startswith("address-"))


def failures(address: str) -> Quota:
    """The codes for one asker that the provider failed to send: what bounds how often it is asked in vain."""
    return Quota(f"asker-failed:{asker(address)}", FAILURES_PER_ASKER, HOUR)


def parse_prices(text: str) -> dict[str, int]:
    """`FR=0.06,*=0.10` as millionths for each country. Raises `ValueError` with what is wrong."""
    prices = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        country, _, amount = item.partition("=")
        try:
            price_of_one = float(amount)
        except ValueError:
            price_of_one = -1
        if not 0 <= price_of_one <= _DEAREST:
            raise ValueError(f"sms_prices: {item} is not of the form FR=0.06")
        prices[country.strip().upper()] = round(price_of_one * MILLION)
    _check_countries(prices.keys() - {"*", _EVERYWHERE})
    if "*" not in prices:
        raise ValueError("sms_prices must say what a text to any other country costs, e.g. *=0.10")
    return prices


def parse_countries(text: str) -> frozenset[str]:
    """`FR, be` as countries. Raises `ValueError` for what is none."""
    countries = frozenset(item.strip().upper() for item in text.split(",") if item.strip())
    _check_countries(countries - {_EVERYWHERE})
    return countries


def _check_countries(codes: Collection[str]) -> None:
    unknown = set(codes) - SUPPORTED_REGIONS
    if unknown:
        raise ValueError(
            f"no country has the code {', '.join(sorted(unknown))}: give ISO 3166 codes such as FR"
        )
