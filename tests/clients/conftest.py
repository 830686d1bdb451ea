"""Tools that the tests of this folder share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.toolchains import fetch, made_once, need

NPM = Path(__file__).parent / "npm"


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tools that come from npm."""
    need("node", "npm")

    def install(folder: Path) -> None:
        shutil.copytree(NPM, folder, dirs_exist_ok=True)
        fetch(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], folder)

    return made_once(tmp_path_factory, "npm", install)
