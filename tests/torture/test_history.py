"""A history is what was added, in its order, in memory and in its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from duologue_lab.torture.history import BadHistory, EndedEntry, History, line, load
from tests.torture.ideal import good_history


def test_a_saved_history_is_the_same_when_it_is_loaded(tmp_path: Path) -> None:
    good = good_history()
    path = tmp_path / "history.jsonl"
    with path.open("wb") as file:
        copy = History(file)
        for at, entry in zip(good.times, good.entries, strict=True):
            copy.note(at, entry)
    loaded = load(path)
    assert loaded.entries == good.entries
    assert list(loaded.times) == pytest.approx(list(good.times), abs=0.001)


def test_an_entry_is_one_line_that_a_person_can_read() -> None:
    assert line(1.5, EndedEntry(device=7, connection=3, code=1001)) == (
        b'[1.5,{"what":"ended","device":7,"connection":3,"code":1001}]'
    )


def test_a_file_that_is_no_history_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(line(0, EndedEntry(1, 2)) + b'\n{"what":"ended"}\n')
    with pytest.raises(BadHistory, match="line 2 of"):
        load(path)
