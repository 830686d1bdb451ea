"""Choice of the engine by the database URL."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Final

from duologue.clock import Clock
from duologue.model import Presets
from duologue.storage.database import AlarmRule, Database
from duologue.storage.engine import sqlite
from duologue.storage.engine.lock import exclusive
from duologue.storage.engine.migrate import Migration

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql://", "postgres://")
_NO_PRESETS: Final = Presets()


def sqlite_path(url: str) -> Path | None:
    """The file that `sqlite:///relative.db` or `sqlite:////absolute.db` names; None for another engine."""
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def is_database_url(url: str) -> bool:
    """Return whether some engine knows this URL."""
    return url.startswith((_SQLITE, *_POSTGRES))


def make_database(
    url: str, clock: Clock, alarms: AlarmRule | None = None, presets: Presets = _NO_PRESETS
) -> Database:
    """The store behind a URL, not yet opened. With a rule for `alarms`, messages raise them.

    `presets` are the preferences of users who chose nothing.
    """
    path = sqlite_path(url)
    if path:
        return sqlite.SqliteDatabase(path, clock, alarms, presets)
    database: Database = _postgres().PostgresDatabase(url, clock, alarms, presets)
    return database


def hold(url: str) -> AbstractContextManager[None]:
    """Keep other servers away from a store that only one may serve. Raises `StoreInUse` on entry."""
    path = sqlite_path(url)
    return exclusive(path) if path else nullcontext()


def prepare(url: str) -> None:
    """Make the schema ready for this release, as far as that may be done unasked. Blocks.

    The embedded store is always brought up to date; a shared one only when it is empty. Raises `SchemaTooOld`,
    `SchemaTooNew`.
    """
    path = sqlite_path(url)
    if path:
        sqlite.migrate(path)
    else:
        _postgres().prepare(url)


def migrate(url: str) -> list[Migration]:
    """Bring the store's schema up to date; the steps that were taken. Blocks. Raises `SchemaTooNew`."""
    path = sqlite_path(url)
    steps: list[Migration] = sqlite.migrate(path) if path else _postgres().migrate(url)
    return steps


def _postgres() -> ModuleType:
    """Loaded when it is asked for: its driver takes a quarter of the embedded default's whole start."""
    return importlib.import_module("duologue.storage.engine.postgres")
