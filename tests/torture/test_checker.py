"""The checker accepts a history that keeps every promise, and names what is broken in any other."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from duologue_lab.torture import checker, rules_hidden, rules_logs, rules_marks, rules_messages, rules_time
from duologue_lab.torture.book import Book
from duologue_lab.torture.checker import check
from duologue_lab.torture.history import (
    EventEntry,
    History,
    LoggedEntry,
    OddEntry,
    OverEntry,
    ViewEntry,
)
from duologue_lab.torture.selftest import FAULTS, PlantedFault
from tests.torture.ideal import Ideal, good_history


@pytest.fixture(scope="module")
def good() -> History:
    return good_history()


def test_a_history_that_keeps_every_promise_is_accepted(good: History) -> None:
    assert check(good.entries) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_planted_fault_is_called_by_its_name(good: History, fault: PlantedFault) -> None:
    bad = fault.plant(Book(good.entries))
    assert bad, "the good history has no place for it"
    found = [violation for violation in check(bad) if violation.rule == fault.rule]
    assert found
    assert all(0 <= place < len(bad) for violation in found for place in violation.evidence)


def test_every_rule_has_a_fault_that_breaks_it() -> None:
    """A rule that nothing breaks might as well not be there."""
    names = set()
    for module in (checker, rules_messages, rules_logs, rules_marks, rules_hidden, rules_time):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Violation":
                names |= {part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)}
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "rule":
                names |= {part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)} - {1}
    assert names == {fault.rule for fault in FAULTS}


def test_every_rule_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "torture.md").read_text()
    named = {
        name
        for row in re.findall(r"^\|[^|]+\|([^|]+)\|$", page, re.MULTILINE)
        for name in row.strip().split(", ")
    }
    assert {fault.rule for fault in FAULTS} <= named


def test_evidence_of_a_lost_message_is_its_attempt_and_its_acknowledgement() -> None:
    system = two_people()
    n = system.attempt(0, "chat", "lost")
    system.answer(n)
    system.messages["chat"].clear()
    history = system.end()
    violation = next(found for found in check(history.entries) if found.rule == "lost")
    attempt, answer = (history.entries[place] for place in violation.evidence)
    assert (attempt, answer) == (system.send(n), history.entries[violation.evidence[0] + 1])


def two_people() -> Ideal:
    system = Ideal()
    system.person("ana", devices=1)
    system.person("ben", devices=1)
    system.chat("chat", "ana", "ben")
    return system


def test_what_was_never_answered_may_be_there_once_or_not_at_all() -> None:
    system = two_people()
    system.store(system.attempt(0, "chat", "arrived"))
    system.attempt(0, "chat", "lost on the way")
    assert check(system.end().entries) == []


def test_messages_in_flight_over_different_ways_may_be_stored_in_any_order() -> None:
    system = two_people()
    first = system.attempt(0, "chat", "over the socket", connection=7)
    second = system.attempt(0, "chat", "over http", connection=7)
    again = system.attempt(0, "chat", "over http")
    for n in (again, first, second):
        system.answer(n)
    assert check(system.end().entries) == []


def test_what_one_connection_sent_must_stay_in_its_order() -> None:
    system = two_people()
    attempts = [system.attempt(0, "chat", name, connection=7) for name in ("first", "second")]
    for n in reversed(attempts):
        system.answer(n)
    assert {found.rule for found in check(system.end().entries)} == {"reordered"}


def test_a_view_may_be_older_than_what_was_acknowledged_after_it_was_asked_for() -> None:
    system = two_people()
    system.write(0, "chat", "one")
    system.look("ben", "chat")
    view = system.history.entries[-1]
    system.write(0, "chat", "two")
    system.add(view)
    assert check(system.end().entries) == []


def test_something_odd_is_always_a_violation() -> None:
    system = two_people()
    system.add(OddEntry("node 1", "a traceback"))
    assert [found.rule for found in check(system.end().entries)] == ["unexpected"]


def test_what_nobody_got_acknowledged_is_told_with_its_last_attempt() -> None:
    system = two_people()
    system.attempt(0, "chat", "stuck")
    entries = [*system.end().entries[:-1], OverEntry(("stuck",))]
    violation = next(found for found in check(entries) if found.rule == "never answered")
    assert [entries[place] for place in violation.evidence] == [system.send(1)]


def test_a_view_is_spoilt_where_a_whole_log_tells_of_it(good: History) -> None:
    """A log that was trimmed before any device was given all of it can't be compared with what its user sees."""
    [fault] = [fault for fault in FAULTS if fault.rule == "marks differ"]
    book = Book(good.entries)
    spoilt = fault.plant(book)
    assert spoilt
    [place] = [place for place in book.views if spoilt[place] != book.entries[place]]
    view = book.entries[place]
    assert isinstance(view, ViewEntry)
    user = view.user
    devices = book.devices_of[user]
    torn = [
        entry
        for entry in good.entries
        if not (isinstance(entry, EventEntry) and entry.device in devices and entry.seq == 2)
        and not (isinstance(entry, LoggedEntry) and entry.user == user and entry.seq == 2)
    ]
    elsewhere = fault.plant(Book(torn))
    assert elsewhere
    assert "marks differ" in {violation.rule for violation in check(elsewhere)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("trimmed", [1, 3, 8])
def test_a_fault_is_planted_where_the_log_at_the_end_can_show_it(
    good: History, fault: PlantedFault, trimmed: int
) -> None:
    """One device of each user is given events, so that nobody else knows those that were trimmed."""
    first = {devices[0] for devices in Book(good.entries).devices_of.values()}
    entries = [
        entry
        for entry in good.entries
        if not (isinstance(entry, EventEntry) and entry.device not in first)
        and not (isinstance(entry, LoggedEntry) and entry.seq <= trimmed)
    ]
    bad = fault.plant(Book(entries))
    assert bad is None or fault.rule in {violation.rule for violation in check(bad)}
