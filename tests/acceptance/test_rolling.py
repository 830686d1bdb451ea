"""Three nodes behind a balancer are restarted one after the other while people go on talking."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, WebSocketException

from duologue_lab.servers.server import DuologueServer
from tests.support.balancer import Balancer, balancer
from tests.support.client import Device, api_of, opened

pytestmark = pytest.mark.anyio

SECRET = "3c9f0b51d0a4e87726c1f5b29d8e4a63"
NODES = 3
PAIRS = 10
TRIES = 4
LOST = (httpx.TransportError, OSError)


class Talk:
    """Record of a sender's messages and a reader's events, through any number of nodes."""

    def __init__(self, sender: Device, reader: Device, chat_id: str) -> None:
        self.sender, self.reader, self.chat_id = sender, reader, chat_id
        self.said: list[str] = []
        self.refused: list[str] = []
        self.retried = 0
        self.closed: list[int] = []
        self.heard: list[str] = []
        self.applied = 0

    async def say(self, until: asyncio.Event) -> None:
        while not until.is_set():
            await self._send(f"message {len(self.said)}")
            await asyncio.sleep(0.02)

    async def _send(self, text: str) -> None:
        for attempt in range(TRIES):
            try:
                answer = await self.sender.ask(
                    "POST", f"/v1/chats/{self.chat_id}/messages", {"text": text, "client_id": text}
                )
            except LOST:
                self.retried += 1
                await asyncio.sleep(0.05 * attempt)
                continue
            if not answer.is_success:
                self.refused.append(f"{answer.status_code} {answer.text}")
            self.said.append(text)
            return
        self.refused.append(f"{text} was lost on {TRIES} connections")

    async def read(self) -> None:
        while True:
            try:
                async with opened(self.reader.api.url, **self.reader.authorization) as socket:
                    await socket.hello(after=self.applied)
                    while True:
                        event = await socket.event("message.created")
                        self.applied = socket.applied[-1]["seq"]
                        self.heard.append(event["text"])
            except ConnectionClosed as end:
                self.closed.append(end.rcvd.code if end.rcvd else 0)
            except (OSError, WebSocketException, EOFError):
                self.retried += 1
            await asyncio.sleep(0.02)


async def test_a_rolling_restart_fails_nobody(postgres_url: str, nats_url: str, tmp_path: Path) -> None:
    env = {
        "DUOLOGUE_DATABASE_URL": postgres_url,
        "DUOLOGUE_BUS_URL": f"{nats_url}?prefix=rolling",
        "DUOLOGUE_SECRET": SECRET,
        "DUOLOGUE_RATE_LIMITS": "off",
        "DUOLOGUE_DRAIN_SECONDS": "2",
    }
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(DuologueServer(tmp_path / str(number), env=env)) for number in range(NODES)
        ]
        async with balancer([node.url for node in nodes]) as front, api_of(front.url) as api:
            talks = [Talk(*(await api.friends())) for _ in range(PAIRS)]
            async with reading(talks):
                await restart_all(nodes, front, talks)
                async with asyncio.timeout(30):
                    while any(len(talk.heard) < len(talk.said) for talk in talks):
                        await asyncio.sleep(0.05)
    for talk in talks:
        assert talk.refused == []
        assert talk.heard == talk.said, "each once, in order"
        assert set(talk.closed) <= {1001}, "the one code that sends a client elsewhere"
    assert any(talk.closed for talk in talks)
    sends, retried = sum(len(talk.said) for talk in talks), sum(talk.retried for talk in talks)
    print(f"{sends} sends over {NODES} restarts, none failed; {retried} connections made again")  # noqa: T201


async def restart_all(nodes: list[DuologueServer], front: Balancer, talks: list[Talk]) -> None:
    """Stop and start each node in turn while all talk."""
    over = asyncio.Event()
    talking = [asyncio.create_task(talk.say(over)) for talk in talks]
    for node in nodes:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(node.restart)
        await front.until_ready(NODES)
    over.set()
    await asyncio.gather(*talking)


@contextlib.asynccontextmanager
async def reading(talks: list[Talk]) -> AsyncIterator[None]:
    """All listen meanwhile."""
    tasks = [asyncio.create_task(talk.read()) for talk in talks]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
