r"""Requests that schemathesis makes from the OpenAPI document: many that fit it, and many that don't.

All of schemathesis' checks are on, and one of ours. For longer than here, with a server on port 8000:

    SCHEMATHESIS_HOOKS=tests.api.schemathesis_hooks .venv/bin/schemathesis \
        --config-file tests/api/schemathesis.toml run http://127.0.0.1:8000/openapi.json --checks all --max-time 600
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from duologue_lab.servers.process import environment
from duologue_lab.servers.server import DuologueServer

ROOT = Path(__file__).parents[2]
SECONDS = 20


def test_no_request_meets_an_answer_that_is_not_documented(tmp_path: Path) -> None:
    with DuologueServer(tmp_path / "data") as server:
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={ROOT / 'tests' / 'api' / 'schemathesis.toml'}",
            "run",
            f"{server.url}/openapi.json",
            "--checks=all",
            f"--max-time={SECONDS}",
            "--generation-database=none",
            "--no-color",
        ]
        hooks = {"SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
        run = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment("SCHEMATHESIS_", hooks),
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert "Tested: " in run.stdout
        assert '"level": "error"' not in server.log
