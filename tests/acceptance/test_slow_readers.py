"""A reader that doesn't keep up is closed with 4008, costs a bounded amount of memory, and loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, Socket, api_of
from tests.support.websocket import CLOSE, TEXT, Peer, frame, upgrade_request

pytestmark = pytest.mark.anyio

READERS = 40
ROUNDS = 3
TEXT_SIZE = 4_000
MESSAGES = 220
"""For each reader and round: well above what may wait for it."""
OUTBOUND = 512 * 1024
BUSY = 64 << 20
"""Bytes that a node at work may take besides: its largest batch, and the messages rendered last."""
SLACK = 24 << 20
"""Bytes of memory that a busy server takes whoever reads: caches, batches, fragmentation."""


@asynccontextmanager
async def deaf(device: Device) -> AsyncIterator[Peer]:
    """A socket that says hello and then reads nothing. Its kernel takes next to nothing for it either."""
    host, port = device.api.url.removeprefix("http://").split(":")
    with Peer((host, int(port)), receive_buffer=4096) as peer:
        peer.send(upgrade_request("/v1/socket", Host="localhost", **device.authorization))
        peer.send(frame(TEXT, b'{"op":"hello"}'))
        assert peer.answer()[0] == 101
        while json.loads(peer.frame().payload)["op"] != "caught_up":
            pass
        yield peer


async def flood(sender: Socket, chats: list[str], name: str) -> None:
    """To each chat in turn, so that all readers fall behind at the same time."""
    for number in range(MESSAGES):
        for chat_id in chats:
            await sender.say(
                "send", chat_id=chat_id, text=f"{name} ".ljust(TEXT_SIZE, "x"), client_id=name + str(number)
            )
        for _ in chats:
            await sender.hear("sent")
        sender.heard.clear()
        sender.applied.clear()
        sender.unclaimed.clear()


def read_to_the_end(peer: Peer) -> tuple[list[dict[str, Any]], int]:
    """The events that come, and the code of the close frame."""
    events = []
    while (got := peer.frame()).opcode == TEXT:
        events.append(json.loads(got.payload))
    assert got.opcode == CLOSE
    return events, int.from_bytes(got.payload[:2])


@pytest.mark.slow
async def test_many_slow_readers_cost_bounded_memory_and_lose_nothing(
    postgres_url: str, tmp_path: Path
) -> None:
    """On PostgreSQL, because the embedded store's page cache grows in the same process."""
    env = {"DUOLOGUE_DATABASE_URL": postgres_url, "DUOLOGUE_RATE_LIMITS": "off"}
    with DuologueServer(tmp_path, env=env) as server:
        process = psutil.Process(server.pid)
        async with api_of(server.url) as api:
            ana = await api.device()
            readers = [await api.device() for _ in range(READERS)]
            chats = [
                (await ana.call("PUT", "/v1/chats", {"phone": reader.phone}))["id"] for reader in readers
            ]
            async with ana.online() as sender:
                await flood(sender, chats[:1], "to warm up")
                before = process.memory_info().rss
                peaks = [
                    await one_round(api, process, sender, readers, chats, f"round {number}")
                    for number in range(ROUNDS)
                ]
            growth = [(peak - before) / 2**20 for peak in peaks]
            print(f"grew by at most {max(growth):.0f} MiB for {READERS} readers")  # noqa: T201 - the figure
            assert max(peaks) - before < READERS * OUTBOUND + BUSY
            assert peaks[-1] - peaks[0] < SLACK, "each round costs the same again, not more"


async def one_round(
    api: Api,
    process: psutil.Process,
    sender: Socket,
    readers: list[Device],
    chats: list[str],
    name: str,
) -> int:
    """All readers are deaf while the sender floods; the most memory that was used meanwhile."""
    positions = [len(await reader.log()) for reader in readers[:3]]
    peak = 0
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(deaf(reader)) for reader in readers]
        flooding = asyncio.create_task(flood(sender, chats, name))
        while not flooding.done():
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(0.05)
        await flooding
        peak = max(peak, process.memory_info().rss)
        ends = await asyncio.gather(*(asyncio.to_thread(read_all, peer) for peer in peers))
    assert all(received < MESSAGES for received in ends), "they were cut off, not served to the end"
    for reader, position in zip(readers[:3], positions, strict=True):
        async with reader.online(after=position) as resumed:
            messages = [event for event in resumed.applied if event["type"] == "message.created"]
            assert len(messages) == MESSAGES, "it resumes with nothing missing"
    return peak


def read_all(peer: Peer) -> int:
    """Return the number of events that had been sent to a closed reader, as far as they can still be read."""
    received = 0
    try:
        while peer.frame().opcode == TEXT:
            received += 1
    except (EOFError, ConnectionError):
        pass
    return received


async def test_a_reader_that_falls_behind_is_told_4008_and_resumes(tmp_path: Path) -> None:
    with DuologueServer(tmp_path, "--rate-limits", "off") as server:
        async with api_of(server.url) as api:
            ana, ben, chat_id = await api.friends()
            position = len(await ben.log())
            async with ana.online() as sender, deaf(ben) as peer:
                await flood(sender, [chat_id], "text")
                events, code = await asyncio.to_thread(read_to_the_end, peer)
            assert code == 4008
            assert 100 * TEXT_SIZE < len(events) * TEXT_SIZE < 2 * OUTBOUND
            seqs = [event["seq"] for event in events]
            async with ben.online(after=seqs[-1]) as resumed:
                seqs += [event["seq"] for event in resumed.applied]
            assert seqs == list(range(position + 1, position + MESSAGES + 1))
