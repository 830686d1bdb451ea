"""What the relay may send, when, and at what cost."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import phonenumbers
from phonenumbers.timezone import time_zones_for_number

from duologue.clock import DAY, SECOND
from duologue.core.phones import parse_phone
from duologue.core.sms_policy import BUDGET, Spending
from duologue.errors import ApiError
from duologue.model import User
from duologue.sms.notices import notice
from duologue.sms.segments import measure
from duologue.storage.pairs import Line
from duologue.storage.quotas import Quota

MAX_PARTS: Final = 10
"""A longer text is cut: the rest is in the app. Carriers and providers take no more."""
_CUT: Final = " [...]"
"""In letters of GSM-7: others would make more parts of what is left."""
_SHARE: Final = 80
"""Percent of the day's money that the relay may use: the rest is for codes, or nobody could sign in any more."""
_SPAN: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)")
_SENDER: Final = "relay-sender"


class QuietHours(msgspec.Struct, frozen=True):
    """From one minute of the day to another, in the recipient's own time; nothing is sent then."""

    begin: int
    end: int

    def holds(self, local: datetime) -> bool:
        minute = local.hour * 60 + local.minute
        if self.begin <= self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def over_at(self, local: datetime) -> datetime:
        """When the quiet hours that hold now will be over."""
        end = local.replace(hour=self.end // 60, minute=self.end % 60, second=0, microsecond=0)
        return end if end > local else end + timedelta(days=1)


class RelayPolicy(msgspec.Struct, frozen=True):
    """The operator's choices. `sender_budget` is in millionths of the operator's currency, per day; 0: no limit.

    `services` are the numbers that texts come from and answers go to; empty stands for the provider's own.
    `invite_once`: a number that nobody has signed in with gets one text, and more once it has answered.
    """

    app: str
    language: str | None
    services: Sequence[str]
    quiet: QuietHours | None
    spending: Spending
    sender_budget: int
    invite_once: bool

    def quiet_until(self, phone: str, now: int) -> int | None:
        """Until when (epoch ms) a phone is to be left in peace; None if it needn't be.

        A number whose country has several time zones is left in peace while any of them is quiet.
        """
        if self.quiet is None:
            return None
        until = now
        for _ in range(24):
            ends = [
                int(self.quiet.over_at(local).timestamp() * SECOND)
                for zone in zones_of(phone)
                if self.quiet.holds(local := datetime.fromtimestamp(until / SECOND, zone))
            ]
            if not ends:
                break
            until = max(ends)
        return until if until > now else None

    def text(self, sender: User, recipient: User, text: str, line: Line) -> str:
        """What the phone shows. The first text from a service number says who writes, and how to stop it."""
        assert recipient.phone is not None
        if line.introduced:
            return _fit("", text, "")
        name = sender.phone or ""
        if sender.display_name:
            name = f"{sender.display_name} ({name})" if name else sender.display_name
        hint = notice("hint", recipient.phone, self.app, self.language)
        return _fit(f"{name or self.app}: ", text, f"\n{hint}")

    def quotas(self, sender_id: int, phone: str, text: str) -> list[Quota]:
        """The allowances that an SMS is taken from."""
        cost = self.spending.cost(phone, text)
        taken = []
        if self.sender_budget:
            taken.append(Quota(f"{_SENDER}:{sender_id}", self.sender_budget, DAY, cost))
        if budget := self.spending.daily_budget:
            taken.append(Quota(BUDGET, budget * _SHARE // 100, DAY, cost))
        return taken

    def service_of(self, to: str | None) -> str | None:
        """The service number that a text came to, as `services` has it if it is one of them; None: nobody knows."""
        if not self.services:
            return ""
        if to is None or to in self.services:
            return to
        try:
            return parse_phone(to)
        except ApiError:
            return to

    def may_guess(self, service: str | None) -> bool:
        """Whether a text to this number may be taken for an answer in whichever chat was last active.

        Where there are several it must not: the number may have been another chat's.
        """
        return service is None or len(self.services) == 1

    @property
    def lines(self) -> Sequence[str]:
        """The service numbers; the empty one is the provider's own."""
        return self.services or ("",)


def _fit(before: str, text: str, after: str) -> str:
    """The three together, with so much of the middle one as fits into the parts that a text may have."""
    whole = f"{before}{text}{after}"
    if measure(whole).parts <= MAX_PARTS:
        return whole

    def cut(length: int) -> str:
        return f"{before}{text[:length]}{_CUT}{after}"

    # Measured as a whole: one character beyond GSM-7 anywhere makes all of it longer.
    fitting = bisect_right(range(len(text)), MAX_PARTS, key=lambda length: measure(cut(length)).parts)
    return cut(max(0, fitting - 1))


@lru_cache(maxsize=10_000)
def zones_of(phone: str) -> tuple[ZoneInfo, ...]:
    """The time zones that a number may be in; UTC for one that has none."""
    zones = []
    for name in time_zones_for_number(phonenumbers.parse(phone)):
        try:
            zones.append(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return tuple(zones) or (ZoneInfo("UTC"),)


def spent_reason(quota: Quota) -> str:
    """Why an SMS is not sent: whose money is spent."""
    return "sender_budget_spent" if quota.key.startswith(_SENDER) else "budget_spent"


def parse_quiet_hours(text: str) -> QuietHours | None:
    """`22:00-08:00`, or nothing. Raises `ValueError` with what is wrong."""
    if not text.strip():
        return None
    matched = _SPAN.fullmatch(text.strip())
    if not matched:
        raise ValueError("relay_quiet_hours is not of the form 22:00-08:00")
    hours = [int(part) for part in matched.groups()]
    span = QuietHours(hours[0] * 60 + hours[1], hours[2] * 60 + hours[3])
    if span.begin == span.end:
        raise ValueError("relay_quiet_hours begin when they end: leave it empty for none")
    return span


def parse_numbers(text: str) -> list[str]:
    """`+33612345678, +33612345679` as service numbers. Raises `ValueError` for what is none."""
    numbers = []
    for item in filter(None, (item.strip() for item in text.split(","))):
        try:
            numbers.append(item if item.isdigit() and len(item) <= 6 else parse_phone(item))
        except ApiError as fault:
            raise ValueError(f"sms_numbers: {item}: {fault.detail}") from None
    if len(set(numbers)) < len(numbers):
        raise ValueError("sms_numbers names a number twice")
    return numbers


def storable(text: str) -> str:
    """What a provider said, in characters that every database takes: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
