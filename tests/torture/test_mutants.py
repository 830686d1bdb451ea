"""The table of the mutation run is up to date: what it would change is there, and so is what should catch it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import duologue
from duologue_lab.mutants.mutant import TORTURE, Mutant
from duologue_lab.mutants.run import Copy
from duologue_lab.mutants.table import MUTANTS

ROOT = Path(__file__).parents[2]
SOURCE = Path(duologue.__file__).parent
LEAST = 40


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_fault_can_be_planted_and_what_should_catch_it_is_there(mutant: Mutant) -> None:
    text = (SOURCE / mutant.file).read_text()
    assert text.count(mutant.old) == 1
    assert mutant.new != mutant.old
    for test in () if mutant.caught_by[0] == TORTURE else mutant.caught_by:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()


def test_there_are_many_faults_each_with_its_own_name_and_all_are_documented() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert max(Counter(names).values()) == 1
    assert len(names) >= LEAST
    page = (ROOT / "docs" / "torture.md").read_text()
    assert [name for name in names if f"| {name} |" not in page] == []


def test_a_fault_that_lives_is_told_from_one_that_is_caught(tmp_path: Path) -> None:
    test = tmp_path / "test_hour.py"
    test.write_text("from duologue.clock import HOUR\n\n\ndef test_hour():\n    assert HOUR == 3_600_000\n")
    copy = Copy(ROOT, tmp_path / "copy")
    caught = Mutant("a long hour", "clock.py", "HOUR = 60 * MINUTE", "HOUR = 61 * MINUTE", (str(test),))
    assert copy.catch(caught).endswith("test_hour")
    lives = Mutant("a long day", "clock.py", "DAY = 24 * HOUR", "DAY = 25 * HOUR", (str(test),))
    assert copy.catch(lives) == ""
    assert copy.failing([str(test)]) == "", "the copy is as it was"
