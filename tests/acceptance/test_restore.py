"""A server is restored from an older backup: nobody takes the new events for those that were lost.

A client that is ahead of its log, or beside it, is told so in whatever way it resumes. It fetches its chats anew and
goes on from there, and misses nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.backups import Backup
from tests.support.client import Api, Device, Frame, Socket, api_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path / "data", env={"DUOLOGUE_DATABASE_URL": database_url}) as server:
        yield server


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(server.url) as api:
        yield api


def back_up(server: DuologueServer, url: str) -> Backup:
    server.stop()
    backup = Backup(url)
    server.start()
    return backup


def restore(server: DuologueServer, backup: Backup) -> None:
    server.stop()
    backup.put_back()
    backup.drop()
    server.start()


@asynccontextmanager
async def refused(device: Device, position: Frame, code: int) -> AsyncIterator[Frame]:
    """A hello with an event as its position is answered by an error, and a close with this code."""
    async with device.knocking(**device.authorization) as socket:
        await socket.say("hello", after=position["seq"], at=position["at"])
        error = await socket.hear("error")
        assert "ready" not in socket.ops()
        yield error
        assert (await socket.closing())[0] == code


async def assert_changed(device: Device, position: Frame, latest: int) -> Frame:
    """Each way to resume says that the log is another one. Returns the socket's error."""
    query = f"after={position['seq']}&at={position['at']}"
    event_id = {"Last-Event-ID": f"{position['seq']}@{position['at']}"}
    stream = f"/v1/events/stream?{query}"
    for answer in (
        await device.ask("GET", f"/v1/events?{query}"),
        await device.ask("GET", f"/v1/events?{query}&wait=20"),
        await device.ask("GET", stream),
        await device.api.http.get("/v1/events/stream", headers=device.authorization | event_id),
        await device.ask("POST", "/v1/events/ack", {"seq": position["seq"], "at": position["at"]}),
    ):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (HTTPStatus.CONFLICT, "log_changed")
        assert problem["latest"] == latest
    async with refused(device, position, 4012) as error:
        assert (error["code"], error["latest"]) == ("log_changed", latest)
    return error


async def texts_of(device: Device, chat_id: str) -> list[str]:
    page = await device.call("GET", f"/v1/chats/{chat_id}/messages?limit=200")
    return [message["text"] for message in page["items"]]


async def heard(socket: Socket, count: int) -> list[Any]:
    return [(await socket.event("message.created"))["text"] for _ in range(count)]


async def test_a_log_that_went_back_is_noticed_and_nothing_is_missed_afterwards(
    server: DuologueServer, api: Api, database_url: str
) -> None:
    ana, ben, chat_id = await api.friends()
    for number in range(3):
        await ben.post(chat_id, f"kept {number}")
    kept = (await ana.log())[-1]
    backup = back_up(server, database_url)
    tablet = await api.device(ana.phone)
    for number in range(3):
        await ben.post(chat_id, f"lost {number}")
    async with ana.online(after=kept["seq"]) as socket:
        position = socket.applied[-1]
        assert position["data"]["text"] == "lost 2"

    restore(server, backup)
    # The log is shorter than the position.
    error = await assert_changed(ana, position, kept["seq"])
    assert error["latest_at"] == kept["at"]
    async with refused(tablet, position, 4001) as error:
        assert error["code"] == "not_signed_in", "its session was lost, too"
    assert (await tablet.ask("GET", "/v1/me")).status_code == HTTPStatus.UNAUTHORIZED
    without = await ana.ask("GET", f"/v1/events?after={position['seq']}")
    assert without.json()["code"] == "seq_out_of_range", "as ever, for a client that knows no times"
    async with ana.online(after=kept["seq"]) as socket:
        # A position from before the backup is good: what was lost had no share in it.
        await ben.post(chat_id, "new 0")
        assert await heard(socket, 1) == ["new 0"]

    # The log has other events where the position is, and has passed it.
    for number in range(1, 8):
        await ben.post(chat_id, f"new {number}")
    newest = (await ana.log())[-1]
    assert newest["seq"] > position["seq"]
    error = await assert_changed(ana, position, newest["seq"])
    assert (await ben.chat(chat_id))["marks"]["peer_delivered"] == 0, "the old position acknowledges nothing"
    async with ana.knocking(**ana.authorization) as socket:
        await socket.hello(after=error["latest"], at=error["latest_at"])
        assert await texts_of(ana, chat_id) == [
            *(f"kept {number}" for number in range(3)),
            *(f"new {number}" for number in range(8)),
        ]
        await ben.post(chat_id, "and then")
        assert await heard(socket, 1) == ["and then"]
        # The outbox is sent again: one that was lost is stored anew, one that was kept is not.
        assert (await ben.post(chat_id, "lost 2"))["seq"] == 13
        assert (await ben.post(chat_id, "kept 2"))["seq"] == 3
        assert await heard(socket, 1) == ["lost 2"]
