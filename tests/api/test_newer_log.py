"""During an upgrade servers of two releases share a store: the older one serves logs that the newer one writes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from duologue.clock import now_ms
from duologue.model import decode_id
from duologue.protocol.events import EventPage
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, api_of
from tests.support.newer import write_newer

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path / "server", "--database-url", database_url) as server:
        yield server


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(server.url) as api:
        yield api


def write(url: str, device: Device) -> int:
    """Have a newer release write an event to a device's log."""
    user_id = decode_id("usr", device.user_id)
    assert user_id is not None
    return write_newer(url, user_id, now_ms())


async def test_every_way_to_read_a_log_tells_of_an_unknown_event(
    api: Api, server: DuologueServer, database_url: str, protocol: str
) -> None:
    ana, ben, chat_id = await api.friends()
    async with ben.online(protocol=protocol) as live:
        await ana.post(chat_id, "before")
        await live.event("message.created")
        kind = write(database_url, ben)
        await ana.post(chat_id, "after")
        assert await live.event("unknown") == {}
        assert (await live.event("message.created"))["text"] == "after"
    log = await ben.log()
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    assert [event["type"] for event in log[-3:]] == ["message.created", "unknown", "message.created"]
    place = log[-2]["seq"]
    async with ben.online(place - 1, protocol) as resumed:
        assert await resumed.event("unknown") == {}
    answer = await ben.ask("GET", f"/v1/events?after={place - 1}&wait=5")
    assert [type(event).__name__ for event in msgspec.json.decode(answer.content, type=EventPage).items] == [
        "UnknownEvent",
        "MessageCreated",
    ]
    async with (
        asyncio.timeout(30),
        api.http.stream("GET", f"/v1/events/stream?after={place - 1}", headers=ben.authorization) as stream,
    ):
        async for line in stream.aiter_lines():
            if line == "event: unknown":
                break
    await ben.call("POST", "/v1/events/ack", {"seq": log[-1]["seq"]})
    assert (await ana.chat(chat_id))["marks"]["peer_delivered"] == 2
    export = await ben.call("GET", "/v1/me/export")
    assert [message["text"] for message in export["chats"][0]["messages"]] == ["before", "after"]
    assert server.log.count(f"of kind {kind} ") == 1
