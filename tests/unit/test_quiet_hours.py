"""Quiet hours by the recipient's own clock."""

from __future__ import annotations

from datetime import datetime
from importlib import resources
from zoneinfo import ZoneInfo

import phonenumbers
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
    assert names_of("+882161234567") == ["UTC"]
    assert NIGHT.until("+882161234567", at("UTC", 2026, 11, 23, 12)) is None
    assert NIGHT.until("+882161234567", at("UTC", 2026, 11, 23, 23)) == at("UTC", 2026, 11, 24, 8)


def names_of(phone: str) -> list[str]:
    return [zone.key for zone in zones_of(phone)]


def regions_zones() -> dict[str, list[str]]:
    """Each region's zones by tzdata's table, read anew here."""
    found: dict[str, list[str]] = {}
    for line in (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text().splitlines():
        if not line.startswith("#"):
            region, _, zone, *_ = line.split("\t")
            found.setdefault(region, []).append(zone)
    return found


ZONES = regions_zones() | {
    # Regions of the numbering plans that ISO 3166 has no code of their own for.
    "AC": ["Atlantic/St_Helena"],
    "TA": ["Atlantic/St_Helena"],
    "XK": ["Europe/Belgrade"],
}


def examples(region: str) -> list[str]:
    """A number of each kind that the region has, if the number can be told from its neighbours' numbers."""
    numbers = [
        phonenumbers.example_number_for_type(region, kind) for kind in phonenumbers.PhoneNumberType.values()
    ]
    return [
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        for number in numbers
        if number and phonenumbers.region_code_for_number(number) == region
    ]


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_region_keeps_its_own_time(region: str) -> None:
    own = ZONES[region]
    for phone in examples(region):
        found = names_of(phone)
        assert found
        assert set(found) <= set(own), phone
        if len(own) == 1:
            assert found == own, phone


def test_only_numbers_that_are_also_a_neighbours_have_no_region_of_their_own() -> None:
    without = {region for region in phonenumbers.SUPPORTED_REGIONS if not examples(region)}
    assert without <= {"AX", "BL", "CC", "CX", "EH", "IM", "MF", "SJ", "VA"}


@pytest.mark.parametrize(
    ("phone", "zones"),
    [
        ("+18762101234", ["America/Jamaica"]),
        ("+212650123456", ["Africa/Casablanca"]),
        ("+211977123456", ["Africa/Juba"]),
        ("+213551234567", ["Africa/Algiers"]),
        ("+218912345678", ["Africa/Tripoli"]),
        ("+50581234567", ["America/Managua"]),
        ("+17875550123", ["America/Puerto_Rico"]),
        ("+970599123456", ["Asia/Gaza", "Asia/Hebron"]),
        ("+5491123456789", ["America/Argentina/Buenos_Aires"]),
        ("+8613123456789", ["Asia/Shanghai"]),
    ],
)
def test_a_country_does_not_keep_its_neighbours_time(phone: str, zones: list[str]) -> None:
    assert names_of(phone) == zones


def test_all_of_kazakhstan_keeps_one_time() -> None:
    """Since March 2024; libphonenumber gives its mobiles every zone from Bucharest to Kamchatka."""
    now = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("UTC"))
    assert {now.astimezone(zone).hour for zone in zones_of("+77710009998")} == {17}


def test_a_russian_mobile_may_be_anywhere_in_russia_and_nowhere_else() -> None:
    found = names_of("+79161234567")
    assert {"Europe/Kaliningrad", "Europe/Moscow", "Asia/Kamchatka"} <= set(found) <= set(ZONES["RU"])


def test_a_possible_number_without_a_region_may_be_in_any_that_shares_its_code() -> None:
    assert phonenumbers.region_code_for_number(phonenumbers.parse("+12222222222")) is None
    assert {"America/New_York", "America/Jamaica", "Pacific/Honolulu"} <= set(names_of("+12222222222"))


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
