"""Fixtures of most tests of the API: a server of their file's own, people on it, and both subprotocols.

A file whose server needs other flags has a `server` of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import JSON, MSGPACK, Api, api_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(server.url) as api:
        yield api


@pytest.fixture(params=[JSON, MSGPACK])
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
