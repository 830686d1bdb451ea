"""Two servers never share one SQLite database: the second one would not hear what the first one's clients do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from duologue_lab.servers.process import environment
from duologue_lab.servers.server import DuologueServer


def serve(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "duologue.cli", "serve", "--port", "0", "--data-dir", str(folder)]
    return subprocess.run(
        command, env=environment("DUOLOGUE_"), capture_output=True, text=True, check=False, timeout=30
    )


def test_a_second_server_on_one_sqlite_directory_is_refused(tmp_path: Path) -> None:
    with DuologueServer(tmp_path) as first:
        refused = serve(tmp_path)
        assert refused.returncode == 2
        assert f"(process {first.pid}) serves" in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("kill", [True, False])
def test_the_lock_ends_with_the_server(tmp_path: Path, *, kill: bool) -> None:
    with DuologueServer(tmp_path) as server:
        for _ in range(3):
            server.restart(kill=kill)


def test_commands_may_read_what_is_being_served(tmp_path: Path) -> None:
    with DuologueServer(tmp_path):
        verified = subprocess.run(
            [sys.executable, "-m", "duologue.cli", "verify", "--data-dir", str(tmp_path)],
            env=environment("DUOLOGUE_"),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert verified.returncode == 0, verified.stderr
