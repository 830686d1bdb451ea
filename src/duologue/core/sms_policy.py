"""What sending codes may cost, and to whom they go: the defence against SMS pumping and floods."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import msgspec
from phonenumbers import SUPPORTED_REGIONS

from duologue.clock import DAY, HOUR, MINUTE
from duologue.core.addresses import address_block, is_local
from duologue.errors import ApiError
from duologue.sms.segments import price, region_of
from duologue.storage.database import Tx
from duologue.storage.quotas import Quota, QuotaExceeded, used

MILLION: Final = 1_000_000
_NUMBER_BLOCK: Final = 4
_BUDGET: Final = "sms-budget"


class Threshold(msgspec.Struct, frozen=True, gc=False):
    """After `sent` codes in a day of which fewer than `share` percent were redeemed, a breaker trips."""

    sent: int
    share: int

    def tripped(self, sent: int, redeemed: int) -> bool:
        return sent >= self.sent and redeemed * 100 < sent * self.share


SLOW: Final = Threshold(20, 10)
STOP: Final = Threshold(60, 5)
_SLOW_PACE: Final = 10 * MINUTE


class SmsPolicy(msgspec.Struct, frozen=True):
    """The operator's choices. Money is in millionths of the operator's currency."""

    allowed: Collection[str]
    denied: Collection[str]
    daily_budget: int
    prices: Mapping[str, int]

    def check_country(self, phone: str) -> None:
        """Raises `ApiError` `country_not_allowed`."""
        country = region_of(phone) or "unknown"
        if country in self.denied or (self.allowed and country not in self.allowed):
            raise ApiError("country_not_allowed")

    def cost(self, phone: str, text: str) -> int:
        """What a text to a number will cost, all parts together."""
        return price(text, phone, self.prices) or 0

    def quotas(self, phone: str, address: str, cost: int) -> list[Quota]:
        """The allowances that one more code to a number, on behalf of an address, is taken from."""
        allowances = [
            Quota(f"number-hour:{phone}", 10, HOUR),
            Quota(f"number-day:{phone}", 20, DAY),
            Quota(f"prefix:{number_block(phone)}", 1_000, HOUR),
            Quota(f"country:{region_of(phone)}", 10_000, HOUR),
        ]
        if not is_local(address):
            block = address_block(address)
            allowances += [Quota(f"address-hour:{block}", 20, HOUR), Quota(f"address-day:{block}", 100, DAY)]
        if self.daily_budget:
            allowances.append(Quota(_BUDGET, self.daily_budget, DAY, cost))
        return allowances


def number_block(phone: str) -> str:
    """The ten thousand numbers that a number is among."""
    return phone[:-_NUMBER_BLOCK]


def conversion_keys(phone: str) -> tuple[str, str]:
    """Under what the codes sent to a number's block, and those redeemed, are counted."""
    return f"codes-sent:{number_block(phone)}", f"codes-redeemed:{number_block(phone)}"


def conversion_quotas(tx: Tx, phone: str, now: int) -> list[Quota]:
    """What a number block whose codes are hardly ever redeemed is held to: a slow pace, then nothing."""
    sent_key, redeemed_key = conversion_keys(phone)
    (sent, ends_at), (redeemed, _) = used(tx, sent_key, now), used(tx, redeemed_key, now)
    if STOP.tripped(sent, redeemed):
        raise QuotaExceeded(Quota(f"breaker:{number_block(phone)}", 0, DAY), ends_at)
    if SLOW.tripped(sent, redeemed):
        return [Quota(f"breaker-pace:{number_block(phone)}", 1, _SLOW_PACE)]
    return []


def is_budget(quota: Quota) -> bool:
    """Whether it is the money that ran out."""
    return quota.key == _BUDGET


def parse_prices(text: str) -> dict[str, int]:
    """`FR=0.06,*=0.10` as millionths for each country. Raises `ValueError` with what is wrong."""
    prices = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        country, _, amount = item.partition("=")
        try:
            prices[country.strip().upper()] = round(float(amount) * MILLION)
        except ValueError:
            raise ValueError(f"sms_prices: {item} is not of the form FR=0.06") from None
    if "*" not in prices:
        raise ValueError("sms_prices must say what a text to any other country costs, e.g. *=0.10")
    return prices


def parse_countries(text: str) -> frozenset[str]:
    """`FR, be` as countries. Raises `ValueError` for what is none."""
    countries = frozenset(item.strip().upper() for item in text.split(",") if item.strip())
    unknown = countries - SUPPORTED_REGIONS
    if unknown:
        raise ValueError(
            f"no country has the code {', '.join(sorted(unknown))}: give ISO 3166 codes such as FR"
        )
    return countries
