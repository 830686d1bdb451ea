"""The event log as server-sent events: the same events, resumable, kept open by comments, ended in good order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import msgspec
import pytest

from duologue.core.positions import Position
from duologue.http import events as web_events
from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, Api, Device, Frame, api_of
from tests.support.node import node_running

pytestmark = pytest.mark.anyio


class Stream:
    """Return the blocks of one stream (HTML Living Standard, section 9.2.6)."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.comments: list[str] = []
        self.beginning: dict[str, str] | None = None

    async def block(self) -> dict[str, str] | None:
        """The next event's fields; None at the end of the stream."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if not line and fields:
                    return fields
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    assert name not in fields
                    fields[name] = value
        assert not fields, "the stream was cut"
        return None

    async def event(self) -> Frame:
        """The next event, whose fields must agree with it."""
        block = await self.block()
        assert block
        event: Frame = msgspec.json.decode(block["data"])
        assert block == {
            "id": f"{event['seq']}@{event['at']}",
            "event": event["type"],
            "data": block["data"],
        }
        return event

    async def events(self, count: int) -> list[Frame]:
        return [await self.event() for _ in range(count)]


@asynccontextmanager
async def streaming(device: Device, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    headers |= device.authorization
    async with device.api.http.stream("GET", f"/v1/events/stream{query}", headers=headers) as answer:
        assert answer.status_code == HTTPStatus.OK, await answer.aread()
        assert answer.headers["Content-Type"].partition(";")[0] == "text/event-stream"
        stream = Stream(answer)
        if not query and "Last-Event-ID" not in headers:
            stream.beginning = await stream.block()
        yield stream


async def test_the_stream_begins_with_its_position(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ben.post(chat_id, "before")
    latest = (await ana.log())[-1]
    async with streaming(ana) as stream:
        assert stream.beginning
        assert stream.beginning["id"] == f"{latest['seq']}@{latest['at']}"
        assert stream.beginning["event"] == "ready"
        data = msgspec.json.decode(stream.beginning["data"])
        assert data == {"latest": latest["seq"], "latest_at": latest["at"]}
    message = await ben.post(chat_id, "between two connections")
    async with streaming(ana, **{"Last-Event-ID": stream.beginning["id"]}) as stream:
        assert (await stream.event())["data"] == message


async def test_the_stream_begins_now_unless_told_otherwise(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ben.post(chat_id, "before")
    async with streaming(ana) as stream:
        message = await ben.post(chat_id, "now")
        assert (await stream.event())["data"] == message


async def test_the_stream_is_the_log(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ben.online() as peer:
        await peer.talk((f"before {number}" for number in range(250)), chat_id=chat_id)
    log = await ana.log()
    async with streaming(ana, "?after=0") as stream:
        assert await stream.events(len(log)) == log
        await ben.post(chat_id, "live")
        assert (await stream.event())["seq"] == len(log) + 1


async def test_last_event_id_resumes_and_goes_before_after(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    for text in ("one", "two"):
        await ben.post(chat_id, text)
    last = len(await ana.log())
    async with streaming(ana, "?after=0", **{"Last-Event-ID": str(last - 1)}) as stream:
        assert (await stream.event())["data"]["text"] == "two"


async def test_a_reader_that_keeps_resuming_gets_each_event_once(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    last = len(await ana.log())
    texts: list[str] = []

    async def write() -> None:
        async with ben.online() as peer:
            for number in range(20):
                await peer.talk((f"{number}.{n}" for n in range(5)), chat_id=chat_id)

    writing = asyncio.create_task(write())
    while len(texts) < 100:
        async with streaming(ana, **{"Last-Event-ID": str(last)}) as stream:
            for event in await stream.events(7 if len(texts) < 90 else 1):
                assert event["seq"] == last + 1
                last = event["seq"]
                texts.append(event["data"]["text"])
    await writing
    assert texts == [f"{number}.{n}" for number in range(20) for n in range(5)]


@pytest.mark.parametrize(
    ("query", "last_event_id", "code"),
    [
        ("?after=1000", None, "seq_out_of_range"),
        ("", "1000", "seq_out_of_range"),
        ("?after=-1", None, "invalid"),
        ("", "x", "invalid"),
    ],
)
async def test_a_position_that_is_not_in_the_log_is_an_http_error(
    api: Api, query: str, last_event_id: str | None, code: str
) -> None:
    ana = await api.device()
    headers = ana.authorization | ({"Last-Event-ID": last_event_id} if last_event_id else {})
    answer = await api.http.get(f"/v1/events/stream{query}", headers=headers)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.json()["code"] == code


async def test_the_stream_needs_a_session(api: Api) -> None:
    assert (await api.http.get("/v1/events/stream")).status_code == HTTPStatus.UNAUTHORIZED


async def test_nothing_on_the_way_may_buffer_or_keep_it(api: Api) -> None:
    ana = await api.device()
    async with api.http.stream("GET", "/v1/events/stream", headers=ana.authorization) as answer:
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert "no-store" in answer.headers.get("Cache-Control", "")


async def test_a_silent_stream_is_kept_open_by_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_events, "HEARTBEAT", 0.1)
    async with node_running(tmp_path) as running, api_of(running.url) as api:
        ana = await api.device()
        async with streaming(ana) as stream:
            reading = asyncio.create_task(stream.event())
            async with asyncio.timeout(PATIENCE):
                while len(stream.comments) < 5:
                    await asyncio.sleep(0.01)
            await ana.call("PATCH", "/v1/me", {"display_name": "Ana"})
            assert (await reading)["type"] == "user.updated"


async def test_followers_get_an_empty_page_after_each_silence(tmp_path: Path) -> None:
    async with node_running(tmp_path) as running, api_of(running.url) as api:
        ana = await api.device()
        caller = await running.node.sessions.authenticate(ana.token)
        pages = running.node.services.events.follow(caller, Position(0), 1, 0.05)
        log = await ana.log()
        assert [(await anext(pages)).next.seq for _ in log] == [event["seq"] for event in log]
        for _ in range(3):
            page = await anext(pages)
            assert (page.items, page.next.seq, page.has_more) == ([], len(log), False)
        await pages.aclose()
        assert not running.node.hub.wants(caller.user_id)


@pytest.mark.parametrize("how", ["session", "account"])
async def test_the_stream_ends_with_its_session_and_says_so(api: Api, how: str) -> None:
    phone = await api.device()
    tablet = await api.device(phone.phone)
    async with streaming(tablet) as stream:
        await phone.call("DELETE", f"/v1/sessions/{tablet.session_id}" if how == "session" else "/v1/me")
        ended = monotonic()
        blocks = [block async for block in blocks_of(stream)]
        assert monotonic() - ended < 1
    assert blocks[-1]["event"] == "error"
    assert "id" not in blocks[-1]
    assert msgspec.json.decode(blocks[-1]["data"])["code"] == "not_signed_in"


async def blocks_of(stream: Stream) -> AsyncIterator[dict[str, str]]:
    while block := await stream.block():
        yield block


async def test_a_revoked_reader_of_a_long_log_gets_no_further_page(tmp_path: Path) -> None:
    """However busy the log: each page is given to a session that still is one."""
    async with node_running(tmp_path) as running, api_of(running.url) as api:
        ana = await api.device()
        thief = await api.device(ana.phone)
        for number in range(10):
            await ana.call("PATCH", "/v1/me", {"read_receipts": number % 2 > 0})
        caller = await running.node.sessions.authenticate(thief.token)
        pages = running.node.services.events.follow(caller, Position(0), 3, 5)
        assert len((await anext(pages)).items) == 3
        await ana.call("DELETE", f"/v1/sessions/{thief.session_id}")
        with pytest.raises(Exception, match="not_signed_in"):
            await anext(pages)


async def test_the_stream_ends_when_the_server_stops(tmp_path: Path) -> None:
    with DuologueServer(tmp_path) as server:
        async with api_of(server.url) as api:
            ana = await api.device()
            async with streaming(ana) as stream:
                start = monotonic()
                stopping = asyncio.create_task(asyncio.to_thread(server.stop))
                assert await stream.block() is None, "a clean end: the client resumes"
                assert await stopping == 0
                assert monotonic() - start < 10


async def test_a_reader_that_goes_away_leaves_nothing_behind(tmp_path: Path) -> None:
    async with node_running(tmp_path) as running, api_of(running.url) as api:
        ana = await api.device()
        hub: Any = running.node.hub
        async with streaming(ana):
            assert hub.followed()
        async with asyncio.timeout(PATIENCE):
            while hub.followed():
                await asyncio.sleep(0.01)
