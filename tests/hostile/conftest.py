"""The servers that are attacked: one node on SQLite, and two workers on PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from duologue_lab.servers.postgres import Postgres
from duologue_lab.servers.server import DuologueServer
from tests.hostile.harness import Siege


@pytest.fixture(scope="module", params=["one node", "two workers"])
def siege(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with contextlib.ExitStack() as stack:
        options: tuple[str, ...] = ()
        if request.param == "two workers":
            postgres: Postgres = request.getfixturevalue("postgres")
            options = ("--workers", "2", "--database-url", stack.enter_context(postgres.database()))
        server = DuologueServer(tmp_path_factory.mktemp("siege"), *options)
        yield Siege(stack.enter_context(server))
