"""The row "an event type" of CONTRIBUTING.md, followed with a toy kind: what it names is all that is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
GUARD = "tests/unit/test_event_kinds.py"
ROW = next(
    line
    for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines()
    if line.startswith("| an event type |")
)


class Step(NamedTuple):
    """One place that the row names: a name in a file, the line behind which the toy kind stands, and its own."""

    name: str
    file: str
    after: str
    line: str


STEPS = (
    Step("Kind", "src/duologue/model.py", "    MESSAGE_UPDATED = 8\n", "    CHAT_TOYED_WITH = 9\n"),
    Step(
        "SUBJECTS",
        "src/duologue/model.py",
        "    Kind.MESSAGE_UPDATED: Subject.MESSAGE,\n",
        "    Kind.CHAT_TOYED_WITH: Subject.CHAT,\n",
    ),
    Step(
        "LOADERS",
        "src/duologue/storage/tables/replay.py",
        "    Kind.MESSAGE_UPDATED: _message,\n",
        "    Kind.CHAT_TOYED_WITH: lambda tx, entry: chat_view(tx, entry.user_id, entry.ref),\n",
    ),
    Step(
        "EVENT_TYPES",
        "src/duologue/protocol/render.py",
        '    Kind.MESSAGE_UPDATED: "message.updated",\n',
        '    Kind.CHAT_TOYED_WITH: "chat.toyed_with",\n',
    ),
)
RED_AFTER = {
    "Kind": {"every_kind_is_known[subjects]", "every_kind_is_known[loaders]", "every_kind_is_known[types]"}
    | {"each_kind_is_about_one_record"},
    "SUBJECTS": {"every_kind_is_known[loaders]", "every_kind_is_known[types]"},
    "LOADERS": {"every_kind_is_known[types]"},
    "EVENT_TYPES": set(),
}


def test_the_row_names_each_place_and_the_test_that_guards_them() -> None:
    for step in STEPS:
        assert f"`{step.name}`" in ROW
        assert f"`{step.file}`" in ROW
    assert f"`{GUARD}`" in ROW


def test_a_new_kind_is_red_until_each_place_of_the_row_knows_it(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "src" / "duologue",
        tmp_path / "src" / "duologue",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / GUARD, tmp_path)
    assert red(tmp_path) == set()
    for step in STEPS:
        path = tmp_path / step.file
        text = path.read_text()
        assert text.count(step.after) == 1, step.name
        path.write_text(text.replace(step.after, step.after + step.line))
        assert red(tmp_path) == RED_AFTER[step.name], step.name


def red(copy: Path) -> set[str]:
    """Return the tests of the guard that fail over a copy of the source."""
    options = [
        "-q",
        "-rf",
        "--noconftest",
        "-c",
        os.devnull,
        "--rootdir",
        str(copy),
        "-p",
        "no:cacheprovider",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, Path(GUARD).name],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"\d+ (passed|failed)", run.stdout), run.stdout + run.stderr
    return set(re.findall(r"^FAILED \S+::test_(\S+)", run.stdout, re.MULTILINE))
