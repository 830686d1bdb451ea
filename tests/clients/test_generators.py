"""Independent tools take the OpenAPI and the AsyncAPI document without a remark, and what they generate compiles.

Each tool has one version. A tool whose toolchain isn't on the machine, or whose registry can't be reached, is
skipped, and the reason says so. openapi-generator's Kotlin and Rust are generated, but not compiled.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.toolchains import fetch, made_once, need, run

ROOT = Path(__file__).parents[2]
OPENAPI = str(ROOT / "docs" / "openapi.json")
ASYNCAPI = str(ROOT / "docs" / "asyncapi.json")
UV = str(Path(sys.executable).parent / "uv")

PYTHON_CLIENT: Final = "openapi-python-client==0.29.1"
PYPI_AS_OF: Final = "2026-11-27"
"""The date up to which versions of what `PYTHON_CLIENT` needs are considered."""
OAPI_CODEGEN: Final = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"
GO_MODULE: Final = "module duologue\n\ngo 1.24\n\nrequire github.com/oapi-codegen/runtime v1.4.2\n"
"""What surrounds oapi-codegen's code: that version of its library needs no newer Go than this."""
GENERATOR: Final = "openapi-generator-cli-7.25.0.jar"
MAVEN_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy"
JAVA: Final = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-jar")
"""A JVM that starts soon and lives for seconds only."""
GO_ENV: Final = {"GOFLAGS": "-mod=mod -buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off"}


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program openapi-generator."""
    need("java", "mvn")
    artifact = "-Dartifact=org.openapitools:" + GENERATOR.removesuffix(".jar").replace("cli-", "cli:")

    def copy(folder: Path) -> None:
        fetch(["mvn", "-B", "-q", MAVEN_COPY, artifact, f"-DoutputDirectory={folder}"], folder)

    return made_once(tmp_path_factory, "generator", copy) / GENERATOR


def generate(generator: Path, language: str, folder: Path) -> None:
    """Write a client of the HTTP API, without tests and pages, to `folder`."""
    what = "models,apis,supportingFiles,apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"
    command = [*JAVA, str(generator), "generate", "-i", OPENAPI, "-g", language, "-o", str(folder)]
    told = run([*command, "--global-property", what], folder.parent)
    assert [line for line in told.splitlines() if "ERROR" in line or "Exception" in line] == []


def check_types(npm: Path, folder: Path) -> None:
    """Compile the TypeScript in `folder` as strictly as the compiler can."""
    shutil.copy(npm / "tsconfig.json", folder)
    run(["node", str(npm / "node_modules" / "typescript" / "bin" / "tsc"), "-p", str(folder)], folder)


def test_openapi_python_client_has_every_model(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin"
    run([UV, "venv", "--quiet", "--python", sys.executable, str(python.parent)], tmp_path)
    install = [UV, "pip", "install", "--quiet", "--python", str(python / "python")]
    fetch([*install, "--exclude-newer", PYPI_AS_OF, PYTHON_CLIENT], tmp_path)
    client = ["--path", OPENAPI, "--output-path", str(tmp_path / "client"), "--meta", "none"]
    path = {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}
    run([str(python / "openapi-python-client"), "generate", "--fail-on-warning", *client], tmp_path, path)
    listed = run(
        [str(python / "python"), "-c", "from client import models; print(*models.__all__)"], tmp_path
    )
    schemas = json.loads(Path(OPENAPI).read_text("utf-8"))["components"]["schemas"]
    objects = {name for name, schema in schemas.items() if schema.get("type") == "object"}
    assert objects - set(listed.split()) == set()


def test_openapi_typescript_compiles(npm: Path, tmp_path: Path) -> None:
    types = tmp_path / "generated" / "api.d.ts"
    command = [str(npm / "node_modules" / ".bin" / "openapi-typescript"), OPENAPI, "--output", str(types)]
    told = run(command, tmp_path)
    assert re.search(r"warn|⚠|✘", told, re.IGNORECASE) is None, told
    check_types(npm, tmp_path)


def test_oapi_codegen_compiles(tmp_path: Path) -> None:
    need("go")
    (tmp_path / "go.mod").write_text(GO_MODULE)
    options = ["-generate", "types,client", "-package", "duologue", "-o", str(tmp_path / "client.go")]
    tool = {"GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    told = fetch(["go", "run", OAPI_CODEGEN, *options, OPENAPI], tmp_path, tool)
    assert "WARN" not in told.upper()
    code = (tmp_path / "client.go").read_text("utf-8")
    assert re.findall(r"^\t(Status|Via|SmsRelay) +interface", code, re.MULTILINE) == []
    fetch(["go", "vet", "."], tmp_path, GO_ENV)


def test_openapi_generator_makes_go_that_compiles(generator: Path, tmp_path: Path) -> None:
    need("go")
    generate(generator, "go", tmp_path / "client")
    fetch(["go", "vet", "."], tmp_path / "client", GO_ENV)


def test_openapi_generator_makes_typescript_that_compiles(generator: Path, npm: Path, tmp_path: Path) -> None:
    generate(generator, "typescript-fetch", tmp_path / "generated")
    check_types(npm, tmp_path)


@pytest.mark.parametrize("language", ["kotlin", "rust"])
def test_openapi_generator_makes_other_languages(generator: Path, tmp_path: Path, language: str) -> None:
    generate(generator, language, tmp_path / "client")


def test_redocly_has_no_remark(npm: Path) -> None:
    told = run([str(npm / "node_modules" / ".bin" / "redocly"), "lint", "--format", "json", OPENAPI], npm)
    result = json.loads(told[told.index("{") : told.rindex("}") + 1])
    assert result["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, result["problems"]


def test_asyncapi_parser_has_no_remark(npm: Path) -> None:
    assert run(["node", str(npm / "parse_asyncapi.mjs"), ASYNCAPI], npm) == ""
