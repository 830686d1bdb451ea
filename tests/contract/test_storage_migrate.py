"""Migrations: forward only, each whole or not at all, by however many nodes at once."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

import psycopg
import pytest

from duologue.storage.engine import migrate as steps
from duologue.storage.engine.engines import is_database_url, migrate, sqlite_path
from duologue.storage.engine.migrate import Migration, SchemaTooNew, migrations
from duologue_lab.servers.postgres import Postgres
from tests.contract.store import TABLES, contents, opened, rows
from tests.support.pooler import kept_backends

pytestmark = pytest.mark.anyio


def engine_of(url: str) -> str:
    return "sqlite" if sqlite_path(url) else "postgres"


def tables_of(url: str) -> set[str]:
    sqlite = "SELECT name FROM sqlite_master WHERE type = 'table'"
    postgres = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    (found,) = rows(url, sqlite if sqlite_path(url) else postgres)
    return {row[0] for row in found}


def add_step(monkeypatch: pytest.MonkeyPatch, url: str, sql: str) -> int:
    """Let this release have one more step than it has; its number."""
    known = migrations(engine_of(url))
    step = Migration(known[-1].number + 1, "next", sql)
    monkeypatch.setattr(steps, "migrations", lambda _: [*known, step])
    return step.number


def test_steps_are_numbered_and_both_engines_have_a_schema() -> None:
    for engine in ("sqlite", "postgres"):
        numbers = [step.number for step in migrations(engine)]
        assert numbers == sorted(set(numbers))
        assert numbers[0] == 1


def test_every_step_is_taken_once(database_url: str) -> None:
    assert migrate(database_url) == migrations(engine_of(database_url))
    assert migrate(database_url) == []
    assert set(TABLES) <= tables_of(database_url)


def test_several_nodes_may_migrate_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(6) as nodes:
        taken = list(nodes.map(migrate, repeat(database_url, 6)))
    assert sorted(chain(*taken)) == migrations(engine_of(database_url)), "each step once, whoever took it"
    assert set(contents(database_url)) == set(TABLES)


def test_no_lock_of_a_migration_outlives_its_transactions(postgres: Postgres, postgres_url: str) -> None:
    """Through a pooler that gives each transaction another connection, nothing could release a session's lock."""
    with kept_backends(postgres) as folder:
        pooled = postgres_url.replace(str(postgres.folder), str(folder))
        assert migrate(pooled) == migrations("postgres")
        (held,) = rows(
            postgres_url,
            "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()",
        )
        (kept,) = rows(
            postgres_url,
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        assert (held, len(kept)) == ([], 1)
        assert migrate(pooled) == []


def test_a_step_that_fails_leaves_nothing_of_itself(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables_of(store_url)
    with monkeypatch.context() as patch:
        add_step(patch, store_url, "CREATE TABLE half (a INTEGER);\nINSERT INTO nowhere VALUES (1);\n")
        with pytest.raises((sqlite3.Error, psycopg.Error)):
            migrate(store_url)
    assert tables_of(store_url) == before
    number = add_step(monkeypatch, store_url, "CREATE TABLE whole (a INTEGER);\n")
    assert [step.number for step in migrate(store_url)] == [number]
    assert tables_of(store_url) == before | {"whole"}


def test_a_newer_schema_is_refused(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        add_step(patch, store_url, "CREATE TABLE newer (a INTEGER);\n")
        migrate(store_url)
    with pytest.raises(SchemaTooNew):
        migrate(store_url)


async def test_data_outlives_a_migration(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(store_url) as store:
        pair = await store.pair()
        message = await store.send(pair, 0, "a")
        add_step(monkeypatch, store_url, "CREATE TABLE later (a INTEGER);\n")
        migrate(store_url)
        assert await store.all_messages(pair) == [message]
        assert (await store.send(pair, 1, "b")).seq == 2


def test_only_known_engines_are_database_urls() -> None:
    assert is_database_url("sqlite:///a.db")
    assert is_database_url("postgresql://localhost/a")
    assert not is_database_url("mysql://localhost/a")
