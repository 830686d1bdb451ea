"""A fresh store of either engine, in a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from duologue.lab.postgres import postgres_server
from duologue.storage.engine.engines import migrate

ENGINES = ("sqlite", "postgresql")


@contextmanager
def fresh_store(engine: str) -> Iterator[str]:
    """The URL of a new, migrated database with the durability that operators get: fsync on."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'duologue.db'}"
            migrate(url)
            yield url
        return
    with postgres_server() as server:
        server.run("CREATE DATABASE bench")
        url = server.url("bench")
        migrate(url)
        yield url
