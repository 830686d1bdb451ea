"""Quiet hours: when the relay leaves a phone alone, by the clock of its own country."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
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
    """Return the time zones that a number may be in; UTC for one that has none.

    These are the zones of the number's region, of which libphonenumber may rule some out. Its own answer is not
    enough: for mobiles it names every zone of the calling code, and for some regions a neighbour's zone.
    """
    number = phonenumbers.parse(phone)
    named = time_zones_for_number(number)
    told = set(map(_canonical, named))
    sharing = phonenumbers.region_codes_for_country_code(number.country_code or 0)
    region = phonenumbers.region_code_for_number(number)
    own = _zones_in([region] if region else sharing)
    if told <= set(map(_canonical, _zones_in(sharing))):
        own = [zone for zone in own if _canonical(zone) in told] or own
    # Else a foreign zone stands for one of the region's, nobody knows which: rule none out.
    return tuple(_existing(own or named)) or (ZoneInfo("UTC"),)


def _zones_in(regions: Iterable[str]) -> list[str]:
    return [zone for region in regions for zone in _zones_by_region().get(region, ())]


def _existing(names: Iterable[str]) -> Iterator[ZoneInfo]:
    for name in names:
        # The machine's own table may be older than the one that named the zone.
        with suppress(ZoneInfoNotFoundError, ValueError):
            yield ZoneInfo(name)


@cache
def _zones_by_region() -> Mapping[str, Sequence[str]]:
    """Return the zones of each region (ISO 3166 code), by tzdata's `zone.tab`."""
    zones: dict[str, list[str]] = {}
    for line in _table("zone.tab"):
        if not line.startswith("#"):
            region, _, zone = line.split("\t")[:3]
            zones.setdefault(region, []).append(zone)
    return zones


def _canonical(zone: str) -> str:
    return _links().get(zone, zone)


@cache
def _links() -> Mapping[str, str]:
    """Return the present name of each zone that has older names, by tzdata's `L` lines: L TARGET OLD."""
    lines = (line.split() for line in _table("tzdata.zi") if line.startswith("L "))
    return {old: target for _, target, old in lines}


def _table(name: str) -> Sequence[str]:
    return (resources.files("tzdata") / "zoneinfo" / name).read_text("utf-8").splitlines()


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
