"""Node's own test runner finds nothing wrong with the modules that need no browser."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.toolchains import run

ROOT = Path(__file__).parents[2]
TESTS = sorted(
    path for folder in ("clients/javascript", "webapp") for path in (ROOT / folder / "test").glob("*.test.js")
)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.removesuffix(".test.js"))
def test_modules_keep_their_promises(path: Path) -> None:
    run([node(), "--test", "--test-reporter=spec", str(path)], path.parent)


def node() -> str:
    """Return where Node is: the one that comes with this environment, else the machine's."""
    own = Path(sys.executable).with_name("node")
    found = str(own) if own.exists() else shutil.which("node")
    if found is None:
        pytest.skip("NOT CHECKED, since this machine has no node")
    return found
