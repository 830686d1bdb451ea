"""Compilers and tools of other languages: what is missing on this machine skips a test and says so."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

PATIENCE = 300.0
"""Seconds after which a tool is taken to hang."""
_OFFLINE = re.compile(
    "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT|resolve host|lookup .* (no such host|server misbehaving)"
    "|dial tcp|dns error|Unknown host|UnknownHost|Temporary failure in name resolution|network is unreachable",
    re.IGNORECASE,
)
"""How package managers say that they can't reach their registry."""


def need(*programs: str) -> None:
    """Skip the test if a program isn't on this machine."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"NOT CHECKED, since this machine has no {', '.join(missing)}")


def run(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command in `folder` and return all that it prints, errors too. Raises `AssertionError` if it fails."""
    code, told = _outcome(command, folder, env)
    assert code == 0, f"{' '.join(command)} ended with {code}:\n{told}"
    return told


def fetch(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> str:
    """Do as `run` does, for a command that needs a package registry. Skip the test if there is no network."""
    code, told = _outcome(command, folder, env)
    if code and (line := next(filter(_OFFLINE.search, told.splitlines()), None)):
        pytest.skip(f"NOT CHECKED, since {command[0]} can't reach its registry: {line.strip()}")
    assert code == 0, f"{' '.join(command)} ended with {code}:\n{told}"
    return told


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` has filled, once for all of xdist's workers."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = factory.mktemp(name)
            make(unfinished)
            unfinished.rename(folder)
    return folder


def _outcome(command: Sequence[str], folder: Path, env: Mapping[str, str] | None) -> tuple[int, str]:
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return ended.returncode, ended.stdout
