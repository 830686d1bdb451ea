"""Quiet hours: when the relay leaves a phone alone, by the clock of its own country."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import phonenumbers
from phonenumbers.timezone import time_zones_for_number

from duologue.clock import SECOND

_SPAN: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)")


class QuietHours(msgspec.Struct, frozen=True):
    """From one minute of the day to another, in the recipient's own time; nothing is sent then."""

    begin: int
    end: int

    def holds(self, local: datetime) -> bool:
        """Tell if it is quiet at this local time."""
        minute = local.hour * 60 + local.minute
        if self.begin <= self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def over_at(self, local: datetime) -> datetime:
        """Return the end of the quiet hours that hold at this local time."""
        end = local.replace(hour=self.end // 60, minute=self.end % 60, second=0, microsecond=0)
        return end if end > local else end + timedelta(days=1)

    def until(self, phone: str, now: int) -> int | None:
        """Return until when (epoch ms) a phone is left alone; None if it is not quiet now.

        A number that may be in several time zones is left alone while it is quiet in any of them.
        """
        until = now
        for _ in range(24):
            ends = [
                int(self.over_at(local).timestamp() * SECOND)
                for zone in zones_of(phone)
                if self.holds(local := datetime.fromtimestamp(until / SECOND, zone))
            ]
            if not ends:
                break
            until = max(ends)
        return until if until > now else None


@lru_cache(maxsize=10_000)
def zones_of(phone: str) -> tuple[ZoneInfo, ...]:
    """Return the time zones that a number may be in; UTC for one that has none."""
    zones = []
    for name in time_zones_for_number(phonenumbers.parse(phone)):
        try:
            zones.append(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return tuple(zones) or (ZoneInfo("UTC"),)


def parse_quiet_hours(text: str) -> QuietHours | None:
    """Read `22:00-08:00`; None for an empty text. Raises `ValueError` with a sentence that says what is wrong."""
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
