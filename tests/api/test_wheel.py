"""Tests of the wheel: it holds the server and what runs in browsers, and serves the pages without a checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from duologue_lab.servers.server import DuologueServer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, and return the folder that its files are in."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_it_holds_what_the_server_serves_and_no_test(unpacked: Path) -> None:
    for folder in ("webapp/client", "webapp/phones", "clients/javascript"):
        written = {path.name: path.read_bytes() for path in (ROOT / folder).iterdir() if path.is_file()}
        copied = unpacked / "duologue" / "browser" / folder
        assert {path.name: path.read_bytes() for path in copied.iterdir()} == written
    names = {path.name for path in unpacked.rglob("*")}
    assert not names & {"bench", "lab", "mutants", "torture", "test", "tests", "node_modules", "__pycache__"}


def test_its_server_shows_the_pages(unpacked: Path, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(unpacked)}
    found = subprocess.run(
        [sys.executable, "-c", "import duologue; print(duologue.__file__)"],
        env=os.environ | environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(unpacked)
    with (
        DuologueServer(tmp_path / "data", env=environment) as server,
        httpx.Client(base_url=server.url, trust_env=False) as http,
    ):
        parts = re.findall(r'(?:href|src)="(/[^"]+)"', http.get("/").text)
        assert len(parts) > 40
        for path in (*parts, "/readyz", "/docs", "/phones", "/phones/phones.js", "/sdk/duologue.js"):
            assert http.get(path).status_code == 200, path
