"""TypeScript's compiler finds no wrong type in the JSDoc-typed JavaScript of the SDK and the web client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duologue.web import client
from tests.support.toolchains import run

STATIC = Path(client.__file__).parent / "static"
WORKER = STATIC / "client" / "worker.js"
PAGE = [path for room in ("sdk", "client") for path in sorted((STATIC / room).glob("*.js")) if path != WORKER]
WRITTEN_BY_THE_SERVER = "declare const RELEASE: string; declare const PARTS: string[];"


@pytest.mark.parametrize(("lib", "files"), [("DOM", PAGE), ("WebWorker", [WORKER])], ids=["page", "worker"])
def test_types_are_right(npm: Path, tmp_path: Path, lib: str, files: list[Path]) -> None:
    (tmp_path / "globals.d.ts").write_text(WRITTEN_BY_THE_SERVER)
    libs = ["ES2023", lib, *(["DOM.Iterable"] if lib == "DOM" else [])]
    options = {"strict": True, "checkJs": True, "noEmit": True, "target": "ES2023", "lib": libs, "types": []}
    options |= {"module": "ESNext", "moduleResolution": "bundler"}
    settings = {"compilerOptions": options, "files": ["globals.d.ts", *map(str, files)]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings))
    run(["node", str(npm / "node_modules" / "typescript" / "bin" / "tsc"), "-p", str(tmp_path)], tmp_path)
