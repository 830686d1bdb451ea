"""Storage is asked by key: nothing outside of `storage` reads or writes without naming whose rows it means."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import duologue
from duologue.storage.database import Database, Shard

SOURCE = Path(duologue.__file__).parent
KEYLESS = {name for name in vars(Shard) if not name.startswith("_")}
STORES = {"db", "database", "store"}
"""Names under which a `Database` is passed on, with or without an underscore before them."""


def keyless_calls(source: str) -> Iterator[str]:
    """Return the calls of a `Shard`'s methods on something that is called as a whole store is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in KEYLESS:
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if name.lstrip("_") in STORES:
                yield f"{node.lineno}: {ast.unparse(node)}"


def test_a_store_can_be_asked_by_key_only() -> None:
    assert {"read", "write", "find", "join"} == KEYLESS
    assert not KEYLESS & {*dir(Database)}


def test_nobody_asks_a_store_without_a_key() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{call}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] != "storage"
        for call in keyless_calls(path.read_text())
    ]
    assert found == []


def test_a_call_without_a_key_is_found() -> None:
    source = "await self._db.read(fn)\nawait db.of_user(1).read(fn)\nwrite = node.db.write\nfile.read()"
    assert sorted(keyless_calls(source)) == ["1: self._db.read", "3: node.db.write"]
