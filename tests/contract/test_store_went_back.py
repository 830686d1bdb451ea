"""The store goes back to an older state while a node runs on: the node must not act on what it remembers of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, Api, Device, api_of

pytestmark = [pytest.mark.anyio]

FORGET_ANSWERS = "UPDATE members SET known = 1"
FORGET_CHATS = "DELETE FROM members; DELETE FROM messages; DELETE FROM chats"


@pytest.fixture(params=["on", "off"])
async def api(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A server on PostgreSQL, with rate limits and without."""
    env = {"DUOLOGUE_DATABASE_URL": postgres_url, "DUOLOGUE_RATE_LIMITS": request.param}
    with DuologueServer(tmp_path, env=env) as server:
        async with api_of(server.url) as api:
            yield api


def go_back(url: str, statements: str) -> None:
    """Have the store lose something, and break all connections to it, as a failover to an older copy does."""
    with psycopg.connect(url) as connection:
        connection.execute(statements.encode())
    with psycopg.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def insist(device: Device, chat_id: str, text: str) -> httpx.Response:
    """Send a message as an outbox does: again for as long as the server says `overloaded`."""
    async with asyncio.timeout(PATIENCE):
        while True:
            body = {"text": text, "client_id": text}
            answer = await device.ask("POST", f"/v1/chats/{chat_id}/messages", body)
            if answer.is_success or answer.json()["code"] != "overloaded":
                return answer
            await asyncio.sleep(0.1)


async def test_a_node_forgets_which_chats_are_answered_and_which_are_there(
    api: Api, postgres_url: str
) -> None:
    ana, ben, chat_id = await api.friends()
    for device in (ana, ben):
        await device.post(chat_id, f"from {device.phone}")
    go_back(postgres_url, FORGET_ANSWERS)
    answers = await asyncio.gather(*(insist(ben, chat_id, f"again {number}") for number in range(5)))
    assert all(answer.is_success for answer in answers)
    with psycopg.connect(postgres_url) as connection:
        known = connection.execute(
            "SELECT m.known FROM members m JOIN users u ON u.id = m.user_id WHERE u.phone = %s", [ben.phone]
        ).fetchall()
    assert known == [(2,)]
    go_back(postgres_url, FORGET_CHATS)
    answer = await insist(ben, chat_id, "after")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
