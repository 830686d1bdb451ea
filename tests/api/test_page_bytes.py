"""Pages of long messages: at most 1 MiB, with all that there is on one of them, on every way to read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from duologue.core.limits import MAX_PAGE_BYTES
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, api_of

pytestmark = pytest.mark.anyio

COUNT = 150
LONGEST = "\u0001" * 4096
"""A text whose JSON is six times as long."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path_factory.mktemp("server"), "--rate-limits", "off") as server:
        yield server


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(server.url) as api:
        yield api


async def fill(device: Device, chat_id: str, text: str) -> None:
    async with device.online() as socket:
        for number in range(COUNT):
            await socket.say("send", chat_id=chat_id, text=text, client_id=('"' * 60) + f"{number:04}")
            await socket.hear("sent")


async def get(device: Device, path: str, **query: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=device.api.url, trust_env=False, timeout=60) as http:
        answer = await http.get(path, params=query, headers=device.authorization)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) <= MAX_PAGE_BYTES
    page: dict[str, Any] = answer.json()
    assert page["items"]
    return page


@pytest.mark.parametrize("text", [LONGEST, "😀" * 4096], ids=["escapes", "astral"])
async def test_pages_of_long_messages_are_bounded_and_hold_them_all(api: Api, text: str) -> None:
    ana, ben, chat_id = await api.friends()
    await fill(ana, chat_id, text)
    path = f"/v1/chats/{chat_id}/messages"

    newest = await get(ben, path, limit=200)
    assert newest["items"][-1]["seq"] == COUNT
    seqs = [item["seq"] for item in newest["items"]]
    while newest["has_more_before"]:
        newest = await get(ben, path, limit=200, before=seqs[0])
        seqs = [item["seq"] for item in newest["items"]] + seqs
    assert seqs == list(range(1, COUNT + 1))

    seqs, more = [], True
    while more:
        page = await get(ben, path, limit=200, after=seqs[-1] if seqs else 0)
        seqs += [item["seq"] for item in page["items"]]
        more = page["has_more_after"]
    assert seqs == list(range(1, COUNT + 1))

    around = await get(ben, path, limit=200, around=COUNT // 2)
    assert COUNT // 2 in [item["seq"] for item in around["items"]]
    assert around["has_more_before"]
    assert around["has_more_after"]

    events, more, position = 0, True, 0
    while more:
        page = await get(ben, "/v1/events", after=position, limit=500)
        events += sum(item["type"] == "message.created" for item in page["items"])
        position, more = page["next"], page["has_more"]
    assert events == COUNT

    async with ben.online(after=0) as socket:
        assert sum(event["type"] == "message.created" for event in socket.applied) == COUNT


async def test_an_event_stream_of_long_messages_holds_them_all(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await fill(ana, chat_id, LONGEST)
    seqs = []
    async with (
        asyncio.timeout(60),
        httpx.AsyncClient(base_url=ben.api.url, trust_env=False, timeout=60) as http,
        http.stream("GET", "/v1/events/stream?after=0", headers=ben.authorization) as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                if event["type"] == "message.created":
                    seqs.append(event["data"]["seq"])
            if len(seqs) == COUNT:
                break
    assert seqs == list(range(1, COUNT + 1))


async def test_a_list_of_chats_with_long_messages_is_bounded_and_holds_them_all(api: Api) -> None:
    ana = await api.device()
    peers = [await api.device() for _ in range(70)]
    chats = set()
    for peer in peers:
        message = await ana.call(
            "POST", "/v1/messages", {"to": peer.phone, "text": LONGEST, "client_id": "1"}
        )
        chats.add(message["chat_id"])
    listed: list[str] = []
    page = await get(ana, "/v1/chats", limit=100)
    assert page["next"], "70 such chats are more than 1 MiB"
    while True:
        listed += [chat["id"] for chat in page["items"]]
        if not page["next"]:
            break
        page = await get(ana, "/v1/chats", limit=100, cursor=page["next"])
    assert len(listed) == len(chats)
    assert set(listed) == chats
    async with httpx.AsyncClient(base_url=ana.api.url, trust_env=False, timeout=60) as http:
        exported = (await http.get("/v1/me/export", headers=ana.authorization)).json()
    assert {item["chat"]["id"] for item in exported["chats"]} == chats
