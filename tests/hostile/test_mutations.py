"""The server answers whatever a mutated request or frame may be, and stays up and of one size."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.hostile.mutations import run

pytestmark = pytest.mark.anyio

COUNT, SEED = 6_000, 20261128
MOST_GROWTH = 32 * 2**20
"""Bytes."""


@pytest.fixture
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    folder = tmp_path_factory.mktemp("server")
    with DuologueServer(folder, "--rate-limits", "off", "--database-url", database_url) as running:
        yield running


async def test_mutated_requests_and_frames_never_fail_the_server(server: DuologueServer) -> None:
    tally = await run(server, COUNT, SEED)
    assert tally.faults == []
    assert tally.sent >= COUNT * 0.9
    assert 500 not in tally.statuses
    assert {200, 400, 401, 404, 422} <= set(tally.statuses), "the mutations reach into the handlers"
    assert tally.grown < MOST_GROWTH
