"""Numbered, forward-only schema changes, each in a transaction of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple


class Migration(NamedTuple):
    """One step: `0001_core.sql` is number 1, name `core`."""

    number: int
    name: str
    sql: str


class SchemaTooNew(Exception):
    """The database was migrated by a newer release than this one."""


class SchemaTooOld(Exception):
    """The database must be migrated before this release can use it."""


def migrations(engine: str) -> list[Migration]:
    """Every step for an engine (`sqlite` or `postgres`), in order."""
    return sorted(_read(engine))


def _read(engine: str) -> Iterator[Migration]:
    for file in (resources.files("duologue.storage") / "migrations" / engine).iterdir():
        matched = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if matched:
            yield Migration(int(matched[1]), matched[2], file.read_text())


def pending(engine: str, version: int) -> list[Migration]:
    """The steps that a database at `version` still needs. Raises `SchemaTooNew`."""
    steps = migrations(engine)
    if version > steps[-1].number:
        raise SchemaTooNew(f"the database is at schema {version}, this release knows {steps[-1].number}")
    return [step for step in steps if step.number > version]
