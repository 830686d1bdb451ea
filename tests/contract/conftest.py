"""Stores to hold to their contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from duologue.storage.engine.engines import migrate
from duologue_lab.servers.postgres import PostgresServer, postgres_server
from tests.contract.line import Line, laid
from tests.contract.store import Store, opened
from tests.support.letters import Letters, letters_of
from tests.support.sign_in import NOON, Clock

pytest.register_assert_rewrite("tests.contract.truth")


@pytest.fixture
def store_url(database_url: str) -> str:
    """A database with the schema and nothing in it, once on each engine."""
    migrate(database_url)
    return database_url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An open store, once on each engine."""
    async with opened(store_url) as store:
        yield store


@pytest.fixture
async def line(store_url: str) -> AsyncIterator[Line]:
    """An open store whose commits go over a faulty bus, once on each engine."""
    async with laid(store_url) as line:
        yield line


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of the module's own, to be stopped, paused and killed."""
    with postgres_server(in_memory=True) as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    """A database with the schema on that server."""
    with server.database() as url:
        migrate(url)
        yield url


@pytest.fixture
async def letters(store_url: str) -> AsyncIterator[Letters]:
    """A durable queue of the tests' own."""
    async with letters_of(store_url, Clock(NOON), first=True) as letters:
        yield letters


@pytest.fixture
async def elsewhere(letters: Letters, store_url: str) -> AsyncIterator[Letters]:
    """The same queue on another node."""
    async with letters_of(store_url, letters.clock, first=False) as other:
        yield other
