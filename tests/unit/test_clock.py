"""Times: milliseconds inside, RFC 3339 outside."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duologue.clock import DAY, HOUR, MINUTE, SECOND, from_rfc3339, now_ms, rfc3339

WRITTEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
END_OF_TIME = 253_402_300_799_999


def test_units_are_milliseconds() -> None:
    assert (SECOND, MINUTE, HOUR, DAY) == (1_000, 60_000, 3_600_000, 86_400_000)


def test_now_is_the_wall_clock() -> None:
    before, now, after = time.time(), now_ms(), time.time()
    assert int(before * 1000) <= now <= after * 1000 + 1


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1_795_426_200_123, "2026-11-23T09:30:00.123Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        (END_OF_TIME, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_is_written_in_utc_with_milliseconds(ms: int, text: str) -> None:
    assert rfc3339(ms) == text
    assert from_rfc3339(text) == ms


@given(st.integers(0, END_OF_TIME))
def test_writing_and_reading_are_inverse(ms: int) -> None:
    text = rfc3339(ms)
    assert WRITTEN.fullmatch(text)
    assert from_rfc3339(text) == ms


@given(st.integers(0, END_OF_TIME), st.integers(0, END_OF_TIME))
def test_written_times_sort_as_times_do(one: int, other: int) -> None:
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T20:30:00.250-03:30", 250),
        ("2026-11-23T09:30:00.1Z", 1_795_426_200_100),
        ("2026-11-23T09:30:00.123456Z", 1_795_426_200_123),
    ],
)
def test_any_offset_and_any_fraction_is_read(text: str, ms: int) -> None:
    assert from_rfc3339(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1795426200",
        "2026-11-23",
        "2026-11-23T09:30:00",
        "2026-11-23T09:30Z",
        "2026-11-23T09Z",
        "20261123T093000Z",
        "2026-W48-1T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-23T25:00:00Z",
        "2026-11-23T09:30:00+25:00",
        "2026-11-23T09:30:00+00:00:30",
        "2026-11-23T09:30:00Z\n",
        "２026-11-23T09:30:00Z",
    ],
)
def test_whatever_is_not_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        from_rfc3339(text)


@given(
    st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))))
)
@example(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))
@example(datetime(999, 1, 1, tzinfo=UTC))
@example(datetime(9999, 12, 31, 23, 59, 59, 999_900, tzinfo=UTC))
@example(datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12))))
def test_whatever_is_accepted_can_be_written_again(moment: datetime) -> None:
    """Else one bad time, once stored, would spoil every answer that it stands in."""
    try:
        ms = from_rfc3339(moment.isoformat())
    except ValueError:
        return
    assert WRITTEN.fullmatch(rfc3339(ms))
    assert from_rfc3339(rfc3339(ms)) == ms
