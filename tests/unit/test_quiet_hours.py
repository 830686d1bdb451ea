"""Quiet hours by the recipient's own clock."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from duologue.clock import MINUTE, SECOND
from duologue.core.quiet_hours import QuietHours, parse_quiet_hours, zones_of

FRENCH, AMERICAN, NEW_YORKER, INDIAN = "+33612345678", "+18005550123", "+12125550123", "+919812345678"
NIGHT = QuietHours(22 * 60, 8 * 60)


def at(zone: str, *when: int) -> int:
    """Epoch milliseconds of a wall clock's time."""
    return round(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp() * SECOND)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("hour", "minute", "quiet"),
    [
        (21, 59, False),
        (22, 0, True),
        (23, 30, True),
        (0, 0, True),
        (7, 59, True),
        (8, 0, False),
        (12, 0, False),
    ],
)
def test_quiet_hours_are_those_of_the_recipients_clock(hour: int, minute: int, quiet: bool) -> None:
    now = at("Europe/Paris", 2026, 11, 23, hour, minute)
    until = NIGHT.until(FRENCH, now)
    assert (until is not None) is quiet
    if until is not None:
        assert until == at("Europe/Paris", 2026, 11, 24 if hour > 12 else 23, 8, 0)


def test_quiet_hours_within_a_day() -> None:
    siesta = QuietHours(13 * 60, 15 * 60)
    assert siesta.until(FRENCH, at("Europe/Paris", 2026, 7, 1, 14)) == at("Europe/Paris", 2026, 7, 1, 15)
    assert siesta.until(FRENCH, at("Europe/Paris", 2026, 7, 1, 12, 59)) is None
    assert siesta.until(FRENCH, at("Europe/Paris", 2026, 7, 1, 15)) is None


def test_a_number_that_may_be_in_several_zones_is_left_alone_while_any_of_them_is_quiet() -> None:
    assert len(zones_of(AMERICAN)) > 1
    assert NIGHT.until(AMERICAN, at("America/New_York", 2026, 11, 23, 8)) is not None, (
        "it is night in the west"
    )
    assert NIGHT.until(AMERICAN, at("America/New_York", 2026, 11, 23, 22)) is not None, (
        "it is night in the east"
    )
    for phone in (AMERICAN, "+61412345678", "+79161234567"):
        for hour in range(24):
            now = at("UTC", 2026, 11, 23, hour)
            until = NIGHT.until(phone, now)
            assert until is None or NIGHT.until(phone, until) is None, "then it is day everywhere"


def test_a_number_that_is_in_one_zone_has_its_own_night() -> None:
    assert [zone.key for zone in zones_of(NEW_YORKER)] == ["America/New_York"]
    assert NIGHT.until(NEW_YORKER, at("America/New_York", 2026, 11, 23, 8)) is None


def test_half_an_hours_zone_is_heeded() -> None:
    now = at("Asia/Kolkata", 2026, 11, 23, 22, 0)
    assert NIGHT.until(INDIAN, now) == at("Asia/Kolkata", 2026, 11, 24, 8)
    assert NIGHT.until(INDIAN, now - MINUTE) is None


@pytest.mark.parametrize("day", [(2026, 3, 28), (2026, 10, 24)], ids=["spring", "autumn"])
def test_the_night_in_which_clocks_change_ends_at_eight_too(day: tuple[int, int, int]) -> None:
    year, month, date = day
    now = at("Europe/Paris", year, month, date, 23)
    assert NIGHT.until(FRENCH, now) == at("Europe/Paris", year, month, date + 1, 8)


def test_a_number_of_no_country_goes_by_utc() -> None:
    assert [zone.key for zone in zones_of("+882161234567")] in (["UTC"], ["Etc/UTC"]) or zones_of(
        "+882161234567"
    )
    assert NIGHT.until("+882161234567", at("UTC", 2026, 11, 23, 12)) in (
        None,
        at("UTC", 2026, 11, 24, 8),
    )


def test_zones_that_are_never_all_awake_give_up_rather_than_loop() -> None:
    always = QuietHours(8 * 60, 7 * 60 + 59)
    until = always.until(AMERICAN, at("UTC", 2026, 11, 23, 12))
    assert until is not None


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_quiet_hours_are_none(text: str) -> None:
    assert parse_quiet_hours(text) is None


def test_quiet_hours_are_written_as_a_span() -> None:
    assert parse_quiet_hours(" 22:00-08:00 ") == NIGHT
    assert parse_quiet_hours("00:00 - 23:59") == QuietHours(0, 23 * 60 + 59)


@pytest.mark.parametrize(
    "text", ["22-8", "22:00", "24:00-08:00", "22:60-08:00", "22:00-08:00-09:00", "10:00-10:00", "x"]
)
def test_quiet_hours_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="relay_quiet_hours"):
        parse_quiet_hours(text)
