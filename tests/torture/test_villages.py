"""A history in pieces says the same as a whole one, and each piece names the lines of the whole."""

from __future__ import annotations

from pathlib import Path

from duologue_lab.torture.checker import check
from duologue_lab.torture.history import AnyEntry, HarmEntry, History, OddEntry, StoredEntry
from duologue_lab.torture.villages import village_histories
from tests.torture.ideal import Ideal


def two_villages() -> list[AnyEntry]:
    """Four people in two villages, whose deeds alternate."""
    system = Ideal()
    for number, user in enumerate(("ana", "ben", "eve", "fay")):
        system.person(user, devices=1, village=number // 2)
    system.chat("one", "ana", "ben")
    system.chat("two", "eve", "fay")
    for number in range(5):
        system.write(0, "one", f"{number} in one")
        system.write(2, "two", f"{number} in two", connection=3)
        system.mark(3, "two", read=number + 1)
        system.look("ana", "one")
        system.look("fay", "two")
        system.give(number % 4)
    system.add(HarmEntry("kill", "node 0"))
    return list(system.end().entries)


def written(entries: list[AnyEntry], path: Path) -> Path:
    with path.open("wb") as file:
        history = History(file, keep=False)
        for entry in entries:
            history.add(entry)
    assert (len(history), history.entries) == (len(entries), [])
    return path


def test_each_village_is_a_piece_that_keeps_every_promise(tmp_path: Path) -> None:
    entries = two_villages()
    assert check(entries) == []
    found = list(village_histories(written(entries, tmp_path / "history.jsonl")))
    assert len(found) == 2
    for village in found:
        assert check(village.history.entries) == []
        assert [type(entries[place]) for place in village.places] == [
            type(each) for each in village.history.entries
        ]
    assert sum(len(village.history) for village in found) == len(entries) + 2, (
        "a harm and the end concern both"
    )


def test_what_is_wrong_in_one_piece_is_found_there_with_its_line(tmp_path: Path) -> None:
    entries = two_villages()
    place = next(
        place for place, entry in enumerate(entries) if isinstance(entry, StoredEntry) and entry.chat == "two"
    )
    del entries[place]
    one, two = village_histories(written(entries, tmp_path / "history.jsonl"))
    assert check(one.history.entries) == []
    violation = next(found for found in check(two.history.entries) if found.rule == "hole in chat")
    assert entries[two.places[violation.evidence[0]]] == two.history.entries[violation.evidence[0]]


def test_something_odd_is_told_once(tmp_path: Path) -> None:
    entries = [*two_villages(), OddEntry("node 1", "a traceback")]
    found = [
        check(village.history.entries)
        for village in village_histories(written(entries, tmp_path / "history.jsonl"))
    ]
    assert [violation.rule for violations in found for violation in violations] == ["unexpected"]
