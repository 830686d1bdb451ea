"""Fixtures of every test: real servers, shared where that is safe, and a database of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from duologue_lab.servers.nats import nats_server
from duologue_lab.servers.postgres import Postgres, postgres_server

_shared = contextlib.ExitStack()
_address = pytest.StashKey[Postgres]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start one PostgreSQL for all of xdist's workers, in the process that outlives them."""
    if _address not in node.config.stash:
        node.config.stash[_address] = _shared.enter_context(postgres_server(in_memory=True))
    node.workerinput["postgres"] = str(node.config.stash[_address].folder)


def pytest_unconfigure() -> None:
    _shared.close()


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A PostgreSQL 18 that all tests of the run share: take a database from it, don't stop it."""
    given: dict[str, Any] | None = getattr(request.config, "workerinput", None)
    if given is not None:
        yield Postgres(Path(given["postgres"]))
        return
    with postgres_server(in_memory=True) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty PostgreSQL database of this test's own."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of this test's own, once on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/duologue.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """A NATS server that the tests of one worker share."""
    with nats_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop that the server runs on: asyncio with uvloop."""
    return "asyncio", {"use_uvloop": True}


SLOW = (
    "tests/acceptance/",
    "tests/hostile/",
    "tests/machine/",
    "tests/api/test_schemathesis.py",
    "tests/api/test_strangers.py",
    "tests/api/test_wrong_clock.py",
    "tests/clients/",
    "tests/contract/test_backup.py",
    "tests/contract/test_bus_attacks.py",
    "tests/contract/test_nodes.py",
    "tests/contract/test_nodes_in_doubt.py",
    "tests/contract/test_nodes_strangers.py",
    "tests/contract/test_readiness.py",
    "tests/contract/test_relay_callbacks.py",
    "tests/contract/test_relay_killed.py",
    "tests/contract/test_relay_load.py",
    "tests/contract/test_smpp_answers.py",
    "tests/contract/test_smpp_matrix.py",
    "tests/contract/test_sms_providers.py",
    "tests/contract/test_storage_hangs.py",
    "tests/contract/test_storage_outage.py",
    "tests/contract/test_storage_power_cut.py",
    "tests/contract/test_storage_processes.py",
    "tests/contract/test_store_went_back.py",
    "tests/contract/test_workers.py",
    "tests/unit/test_http_bounds.py",
    "tests/unit/test_handset_command.py",
    "tests/unit/test_sms_kannel.py",
    "tests/unit/test_sms_smpp.py",
    "tests/unit/test_sms_smpp_connection.py",
)
"""Whole parts that `make test` leaves to `make check`: they play days, crashes and networks."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
