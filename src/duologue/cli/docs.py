"""The documents in `docs/` that are made from the code: written anew, or compared with what is there."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from msgspec import Meta

from duologue.apidocs import asyncapi
from duologue.apidocs.openapi import document
from duologue.app.node import Node
from duologue.config import ENV_PREFIX, Settings
from duologue.errors import CODES

_SHOWN_LINES: Final = 20  # lines
_MADE: Final = "<!-- Made from the code by `duologue docs`. Change it there. -->"


def make() -> dict[str, str]:
    """Every generated document by its file name."""
    api = document(Node(Settings()).asgi())
    return {
        "openapi.json": json.dumps(api, indent=2, ensure_ascii=False) + "\n",
        "asyncapi.json": json.dumps(asyncapi.document(), indent=2, ensure_ascii=False) + "\n",
        "errors.md": _errors(api),
        "settings.md": _settings(),
    }


def write(folder: Path) -> list[Path]:
    """Write the documents into a folder, made if need be; which of them changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, text in make().items():
        path = folder / name
        if _read(path) != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def drift(folder: Path) -> list[str]:
    """Return the differences between a folder and the code, as the beginnings of diffs; empty if there are none."""
    report: list[str] = []
    for name, text in make().items():
        path = folder / name
        lines = list(
            difflib.unified_diff(
                _read(path).splitlines(), text.splitlines(), str(path), "the code", lineterm="", n=1
            )
        )
        report += lines[:_SHOWN_LINES]
        if len(lines) > _SHOWN_LINES:
            report.append(f"… and {len(lines) - _SHOWN_LINES} more lines")
    return report


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _errors(api: dict[str, Any]) -> str:
    rows = [
        f'| <a id="{code}"></a>`{code}` | {int(spec.status)} | {spec.title} | {spec.advice} |'
        for code, spec in CODES.items()
    ]
    return _ERRORS.format(
        example=json.dumps(_example(api), indent=2, ensure_ascii=False), rows="\n".join(rows), made=_MADE
    )


def _example(api: dict[str, Any]) -> Any:
    (media,) = api["components"]["responses"]["invalid"]["content"].values()
    return media["examples"]["invalid"]["value"]


def _settings() -> str:
    hints = get_type_hints(Settings, include_extras=True)
    rows = []
    for name, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True):
        kind, meta = get_args(hints[name])
        rows.append(_setting(name, kind, meta, default))
    return _SETTINGS.format(prefix=ENV_PREFIX, rows="\n".join(rows), made=_MADE)


def _setting(name: str, kind: Any, meta: Meta, default: Any) -> str:
    flag = name.replace("_", "-")
    flags = f"`--{flag}`, `--no-{flag}`" if kind is bool else f"`--{flag}`"
    sentences = [str(meta.description)]
    if len(get_args(kind)) > 1:
        sentences.append(f"One of {', '.join(f'`{value}`' for value in get_args(kind))}.")
    bounds = [
        f"{word} {bound}"
        for word, bound in (("at least", meta.ge), ("at most", meta.le))
        if bound is not None
    ]
    if bounds:
        sentences.append(f"{' and '.join(bounds).capitalize()}.")
    meaning = " ".join(sentences).replace("|", "\\|")
    return f"| {flags} | `{ENV_PREFIX}{name.upper()}` | {_shown(default)} | {meaning} |"


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"`{default}`" if default != "" else "none"


_ERRORS: Final = """\
# Errors

{made}

Every failure is an `application/problem+json` document (RFC 9457). Programs go by its `code`, one of this closed
list, which a socket's `error` frames use as well. `detail` is for people, `errors` names each field that was
refused, and `type` leads to the code's entry in the server's own `/docs/errors`.

```json
{example}
```

| Code | Status | Meaning | What to do |
|---|---|---|---|
{rows}

429 and 503 carry `Retry-After` in seconds, 401 carries `WWW-Authenticate: Bearer`, 405 carries `Allow`. Which
operation answers with which code is in [openapi.json](openapi.json).
"""
_SETTINGS: Final = """\
# Settings

{made}

A flag of `duologue serve` goes before its environment variable, that before a TOML file, that before the default.
The file is named by `--config` or `{prefix}CONFIG`; its keys are the flags' names with `_` for `-`. What is wrong
stops the server before it starts, with exit code 2 and a sentence that says why.

| Flag | Variable | Default | Meaning |
|---|---|---|---|
{rows}
"""
