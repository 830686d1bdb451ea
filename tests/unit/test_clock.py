"""Times: milliseconds inside, RFC 3339 outside."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.clock import DAY, HOUR, MINUTE, SECOND, from_rfc3339, now_ms, rfc3339

WRITTEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


@given(st.integers(0, END_OF_TIME))
def test_what_is_written_reads_as_the_same_time(ms: int) -> None:
    text = rfc3339(ms)
    assert WRITTEN.fullmatch(text)
    assert (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1) == ms


@given(st.integers(0, END_OF_TIME), st.integers(0, END_OF_TIME))
def test_written_times_sort_as_times_do(one: int, other: int) -> None:
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


@given(st.integers(0, END_OF_TIME))
def test_a_time_is_read_as_it_was_written(ms: int) -> None:
    assert from_rfc3339(rfc3339(ms)) == ms


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T09:30:00.123Z",
        "2026-11-23t09:30:00.123z",
        "2026-11-23T09:30:00.123999999Z",
        "2026-11-23T10:30:00.123+01:00",
        "2026-11-22T23:30:00.123-10:00",
    ],
)
def test_any_spelling_of_a_time_is_read_to_the_millisecond(text: str) -> None:
    assert from_rfc3339(text) == 1_795_426_200_123


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1795426200123",
        "2026-11-23",
        "2026-11-23T09:30:00",
        "2026-11-23T09:30Z",
        "20261123T093000Z",
        "2026-W47-1T09:30:00Z",
        "2026-11-23T09:30:00,5Z",
        "2026-02-30T09:30:00Z",
        "2026-11-23T24:30:00Z",
        "2026-11-23T09:30:00.123 00:00",
        "2026-11-23T09:30:00.123Z\n",
        "٢٠٢٦-11-23T09:30:00Z",
    ],
)
def test_what_is_no_time_of_rfc_3339_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_rfc3339(text)
