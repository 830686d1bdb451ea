"""A running store's own connections wait for the disk; a store that would not is refused at the start."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator

import psycopg
import pytest

from duologue.storage.engine.durability import NotDurable, check_sqlite
from duologue.storage.engine.engines import prepare
from duologue.storage.engine.postgres import PostgresDatabase
from duologue_lab.servers.postgres import Postgres, postgres_server
from tests.contract.store import Store

pytestmark = pytest.mark.anyio


async def test_a_running_store_waits_for_the_disk_at_every_commit(store: Store) -> None:
    await store.pair()
    db = store.db
    if isinstance(db, PostgresDatabase):
        connection = db._link.line().connection
        settings = [connection.execute(f"SHOW {name}").fetchone() for name in ("synchronous_commit", "fsync")]
        assert settings == [("on",), ("on",)]
    else:
        pragmas = [
            db._connection.execute(f"PRAGMA {name}").fetchone() for name in ("synchronous", "journal_mode")
        ]
        assert pragmas == [(2,), ("wal",)]


def test_an_sqlite_connection_that_does_not_wait_is_refused() -> None:
    with pytest.raises(NotDurable, match="synchronous"):
        check_sqlite(sqlite3.connect(":memory:"))


def test_a_postgresql_that_does_not_wait_is_refused(postgres: Postgres, postgres_url: str) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    postgres.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(NotDurable, match="synchronous_commit"):
        prepare(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        [tables] = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() or (1,)
    assert tables == 0


@pytest.fixture(scope="module")
def careless() -> Iterator[Postgres]:
    with postgres_server({"fsync": "off"}, in_memory=True) as server:
        yield server


def test_a_postgresql_without_fsync_is_warned_of(
    careless: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    with careless.database() as url, caplog.at_level(logging.WARNING):
        prepare(url)
    assert "fsync = off" in caplog.text
