"""Tests of the commands of duologue-lab: they are there with that package, and named without it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from duologue import __version__

WITHOUT = """
import importlib.metadata
importlib.metadata.entry_points = lambda **_: ()
from duologue.cli import main
main()
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((sys.executable, *command), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["bench", "torture"])
def test_they_take_their_own_flags(name: str) -> None:
    told = run("-m", "duologue.cli", name, "--help")
    assert told.returncode == 0
    assert f"Usage: duologue {name} " in told.stdout
    assert "--engine" in told.stdout
    refused = run("-m", "duologue.cli", name, "--no-such-flag")
    assert refused.returncode == 2
    assert "--no-such-flag" in refused.stderr


@pytest.mark.parametrize("name", ["bench", "torture"])
def test_without_the_package_a_sentence_says_how_to_get_it(name: str) -> None:
    done = run("-c", WITHOUT, name, "--engine", "sqlite")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"duologue: {name} is in the package duologue-lab: pip install duologue-lab, in a checkout ./lab\n"
    )


def test_the_lab_is_of_the_servers_version() -> None:
    assert version("duologue-lab") == __version__
