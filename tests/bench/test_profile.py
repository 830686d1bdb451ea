"""The profile of the message path accounts for all CPU that was used."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from duologue_lab.bench.studies.stages import LOOP, OTHER, RULES, SAMPLING, Frame, Rule, samples, stage_of

ROOT = Path(__file__).parents[2]
WRITTEN = f"""\
7000 /x/duologue/model.py:encode_id;/x/duologue/protocol/render.py:event;/x/asyncio/runners.py:run
2000 /x/asyncio/runners.py:run
1000 /x/elsewhere.py:run
90 {SAMPLING}
"""


def test_the_innermost_known_call_decides() -> None:
    found = list(samples(WRITTEN))
    assert found[0].used == 7000
    assert found[0].stack[0] == Frame("/x/duologue/model.py", "encode_id")
    assert [stage_of(sample.stack) for sample in found] == ["encode", LOOP, OTHER, SAMPLING]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.files} {rule.functions}")
def test_each_rule_names_functions_that_there_are(rule: Rule) -> None:
    package = ROOT / "src" / "duologue"
    files = [file for file in package.rglob("*.py") if str(file.relative_to(package)).startswith(rule.files)]
    written = "\n".join(file.read_text("utf-8") for file in files)
    defined = re.findall(r"def (\w+)\(", written)
    assert defined
    defined += re.findall(r"lambda", written) and ["<lambda>"]
    assert [name for name in rule.functions.split() if not fnmatch.filter(defined, name)] == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_stages_add_up_to_all_that_was_used(engine: str) -> None:
    module = "duologue_lab.bench.studies.profile"
    command = (sys.executable, "-m", module, "--engine", engine, "--sockets", "20", "--seconds", "2")
    env = {**os.environ, "COLUMNS": "160"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=120)
    rows = re.findall(r"│ (server|postgres|all) +│ .+? │ +([\d.]+) │ +[\d.]+% │", done.stdout)
    costs = [float(cost) for process, cost in rows if process != "all"]
    assert {process for process, _ in rows} == {"server", "all"} | (
        {"postgres"} if engine == "postgresql" else set()
    )
    assert len(costs) > 5
    assert sum(costs) == pytest.approx(float(rows[-1][1]), abs=0.06 * len(costs))
