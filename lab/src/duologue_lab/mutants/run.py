"""Plants each fault into a copy of the source, and tells what caught it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from duologue_lab.mutants.mutant import TORTURE, Mutant

_WITHIN: Final = 180
"""Seconds for the tests of one fault. A test that hangs has caught it."""
_PLUGINS: Final = ("-p", "no:cacheprovider", "-p", "anyio.pytest_plugin")
"""Only what these tests need: to load the others takes longer than most tests do."""
_PATIENCE: Final = "15"
"""Seconds that a test waits for something that, with a fault, may never happen."""
_BROKEN: Final = "promises were broken"
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_RULE: Final = re.compile(r"^([a-z ]+): ", re.MULTILINE)


class CannotTry(Exception):
    """The run makes no sense; the message says why."""


class Copy:
    """A copy of the source in which one file at a time is changed."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._source = folder / "src"
        shutil.copytree(root / "src", self._source)
        for shown in ("clients", "webapp"):  # the server looks for them beside its source
            (folder / shown).symlink_to(root / shown)
        self._env = {
            **os.environ,
            "PYTHONPATH": str(self._source),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "TEST_PATIENCE": _PATIENCE,
        }

    def catch(self, mutant: Mutant) -> str:
        """Return what caught a fault; empty if it lives. Raises `CannotTry` when the source has changed."""
        path = self._source / "duologue" / mutant.file
        text = path.read_text()
        if text.count(mutant.old) != 1:
            raise CannotTry(f"{mutant.name}: its text stands in {mutant.file} {text.count(mutant.old)} times")
        try:
            _write(path, text.replace(mutant.old, mutant.new))
            if mutant.caught_by[0] == TORTURE:
                return self._torture(mutant.caught_by[1:])
            return self.failing(mutant.caught_by)
        finally:
            _write(path, text)

    def failing(self, tests: Sequence[str]) -> str:
        """Return the first of these tests that fails; empty if none does. Raises `CannotTry`."""
        if not tests:
            return ""
        try:
            done = self._run("pytest", "-x", "-q", *_PLUGINS, *tests)
        except subprocess.TimeoutExpired:
            return f"{tests[0]} (it hung)"
        if done.returncode not in {0, 1, 2}:
            raise CannotTry(done.stdout + done.stderr)
        found = _FAILED.search(done.stdout)
        return "" if done.returncode == 0 else found[1] if found else f"{tests[0]} (it could not be read)"

    def _torture(self, args: Sequence[str]) -> str:
        done = self._run("duologue.cli", "torture", *args, "--history", str(self._source / "history.jsonl"))
        if done.returncode not in {0, 1}:
            raise CannotTry(done.stdout + done.stderr)
        if done.returncode == 0:
            return ""
        if _BROKEN not in done.stdout:
            raise CannotTry(done.stdout + done.stderr)
        found = _RULE.search(done.stdout)
        return f"torture: {found[1] if found else _BROKEN}"

    def _run(self, module: str, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", module, *args),
            cwd=self._root,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
            timeout=_WITHIN,
        )


def _write(path: Path, text: str) -> None:
    """Change a file, and delete its compiled form: that is told apart by second and size only."""
    path.write_text(text)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def _tests_of(mutants: Sequence[Mutant]) -> list[str]:
    return sorted({test for mutant in mutants if mutant.caught_by[0] != TORTURE for test in mutant.caught_by})


def run(root: Path, mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, str, float]]:
    """Plant each; what caught it, and in how many seconds. Raises `CannotTry`."""
    with tempfile.TemporaryDirectory(prefix="duologue-mutants-") as folder:
        copy = Copy(root, Path(folder))
        if failing := copy.failing(_tests_of(mutants)):
            raise CannotTry(f"{failing} fails without any fault")
        for mutant in mutants:
            began = time.monotonic()
            yield mutant, copy.catch(mutant), time.monotonic() - began
