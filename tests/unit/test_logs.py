"""The log: nobody fills it, and what is left out of it is counted."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from duologue.logs import AT_ONCE, MOST_KINDS, LogRateLimit


class Written(logging.Handler):
    """A log that keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.sparing = LogRateLimit(lambda: self.now)
        self.addFilter(self.sparing)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def log(written: Written) -> Iterator[logging.Logger]:
    log = logging.getLogger("tests.logs")
    log.setLevel(logging.DEBUG)
    log.addHandler(written)
    yield log
    log.removeHandler(written)


def test_a_few_lines_of_a_kind_are_written_whatever_they_name(log: logging.Logger, written: Written) -> None:
    for number in range(1_000):
        log.warning("a callback in the name of %s is not from it", number)
    assert AT_ONCE <= len(written.lines) <= AT_ONCE + 2


def test_a_later_line_says_how_many_were_left_out(log: logging.Logger, written: Written) -> None:
    for _ in range(50):
        log.warning("no %s", "luck")
    written.now += 2
    log.warning("no %s", "luck")
    assert written.lines[-1] == f"no luck ({51 - len(written.lines)} more like this were left out)"
    log.warning("no %s", "luck")
    assert written.lines[-1] == "no luck"


def test_a_line_with_a_traceback_counts_for_several(log: logging.Logger, written: Written) -> None:
    for _ in range(20):
        log.error("failed", exc_info=ValueError("x"))
    assert len(written.lines) == 2


def test_other_kinds_and_other_loggers_have_their_own_share(log: logging.Logger, written: Written) -> None:
    other = log.getChild("other")
    for _ in range(100):
        log.warning("often")
    log.warning("rarely")
    other.warning("often")
    assert written.lines[-2:] == ["rarely", "often"]


def test_what_is_less_than_a_warning_and_what_is_critical_passes(
    log: logging.Logger, written: Written
) -> None:
    for _ in range(100):
        log.info("news")
        log.critical("the end")
    assert len(written.lines) == 200


def test_the_kinds_that_are_counted_are_bounded(log: logging.Logger, written: Written) -> None:
    for number in range(2 * MOST_KINDS):
        log.warning(f"{number}".ljust(1_000))
    assert written.sparing.kinds == MOST_KINDS
