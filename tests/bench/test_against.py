"""Figures of two builds that were measured in turns are compared turn by turn."""

from __future__ import annotations

from duologue_lab.bench.against import OTHER, THIS, compare
from duologue_lab.bench.result import Result


def result(build: str, rate: float, case: str = "a") -> Result:
    return Result(scenario="chat", case=case, engine="sqlite", build=build, figures={"messages/s": rate})


def test_each_turn_is_compared_with_its_own() -> None:
    # The machine is twice as fast at the second turn.
    runs = [result(OTHER, 100), result(THIS, 110), result(THIS, 220), result(OTHER, 200)]
    (found,) = compare(runs)
    assert (found.engine, found.case, found.figure) == ("sqlite", "chat, a", "messages/s")
    assert list(found.ratios) == [1.1, 1.1]


def test_cases_are_kept_apart() -> None:
    runs = [result(OTHER, 100), result(OTHER, 10, "b"), result(THIS, 50), result(THIS, 20, "b")]
    assert {each.case: list(each.ratios) for each in compare(runs)} == {"chat, a": [0.5], "chat, b": [2.0]}


def test_a_figure_that_only_one_build_has_is_passed_over() -> None:
    mine = result(THIS, 100)
    mine.figures["new"] = 1.0
    assert [each.figure for each in compare([result(OTHER, 100), mine])] == ["messages/s"]
