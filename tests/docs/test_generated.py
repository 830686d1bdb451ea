"""The generated documents say what the code says, and nothing that a user can meet is left out of them."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from duologue.app.node import Node
from duologue.cli import docs
from duologue.config import ENV_PREFIX, Settings
from duologue.errors import CODES
from duologue.protocol.render import EVENT_TYPES, UNKNOWN

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "duologue"
# The rest is pages to look at, and what only Prometheus reads.
API = ("/v1/", "/healthz", "/readyz")


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "duologue.cli", "docs", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def api() -> Any:
    return json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def app() -> Litestar:
    return Node(Settings()).asgi()


def calls(name: str) -> Iterator[ast.Call]:
    """Every call of a function of this name in the source."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield node


def texts(node: ast.AST) -> set[str]:
    return {
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def test_the_committed_documents_are_what_the_code_says() -> None:
    assert docs.drift(DOCS) == []


def test_check_passes_on_what_was_written(tmp_path: Path) -> None:
    wrote = run("--to", str(tmp_path / "new"))
    assert wrote.returncode == 0, wrote.stderr
    assert {path.name for path in (tmp_path / "new").iterdir()} >= {
        "openapi.json",
        "errors.md",
        "settings.md",
    }
    assert run("--check", "--to", str(tmp_path / "new")).returncode == 0
    assert run("--to", str(tmp_path / "new")).stdout == ""


def test_check_shows_what_differs_and_changes_nothing(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    settings = tmp_path / "docs" / "settings.md"
    changed = settings.read_text(encoding="utf-8").replace("--port", "--harbour")
    settings.write_text(changed, encoding="utf-8")
    checked = run("--check", cwd=tmp_path)
    assert checked.returncode == 1
    assert "--harbour" in checked.stderr
    assert "duologue docs" in checked.stderr
    assert settings.read_text(encoding="utf-8") == changed


def test_a_missing_document_is_drift(tmp_path: Path) -> None:
    assert any("errors.md" in line for line in docs.drift(tmp_path))


def test_every_route_is_in_the_openapi_document(app: Litestar, api: Any) -> None:
    routes = {
        (route.path_format, method.lower())
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path_format.startswith(API)
        for method in route.methods
        if method != "OPTIONS"
    }
    routes.remove(("/v1/socket", "get"))  # it says to upgrade: the socket stands in asyncapi.json
    documented = {(path, method) for path, methods in api["paths"].items() for method in methods}
    assert documented == routes


def test_every_error_that_is_raised_is_on_the_list() -> None:
    raised = {call.args[0].value for call in calls("ApiError") if isinstance(call.args[0], ast.Constant)}
    assert raised <= set(CODES)
    assert len(raised) > 10


def test_every_error_on_the_list_is_raised_somewhere() -> None:
    raised = set[str]().union(*(texts(call.args[0]) for call in calls("ApiError")))
    by_status = ast.parse((SOURCE / "edge" / "problems.py").read_text(encoding="utf-8"))
    assert set(CODES) - raised - texts(by_status) == set()


def test_every_error_is_documented(api: Any) -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert [code for code in CODES if f'<a id="{code}"></a>`{code}`' not in text] == []
    assert api["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(CODES)


def test_every_error_that_a_route_may_raise_is_documented_with_it(api: Any) -> None:
    declared = set[str]().union(*(texts(argument) for call in calls("errors") for argument in call.args))
    documented = set(_codes(api))
    assert declared <= documented <= set(CODES)


def _codes(api: Any) -> Iterator[str]:
    shared = api["components"]["responses"]
    for methods in api["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                found = shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
                yield from found.get("content", {}).get("application/problem+json", {}).get("examples", {})


def test_every_setting_is_documented() -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    for name in Settings.__struct_fields__:
        assert f"`--{name.replace('_', '-')}`" in text
        assert f"`{ENV_PREFIX}{name.upper()}`" in text


def test_every_type_of_event_is_documented(api: Any) -> None:
    union = api["components"]["schemas"]["Event"]
    assert set(union["discriminator"]["mapping"]) == {*EVENT_TYPES.values(), UNKNOWN}
