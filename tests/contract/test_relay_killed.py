"""A real server, killed in the middle of a relay: nothing is lost, and nothing is sent twice that needn't be."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from duologue.providers.sms.provider import Accepted
from duologue_lab.servers.server import DuologueServer
from tests.contract.test_relay_callbacks import PUBLIC, make
from tests.support.client import PATIENCE, Api, Device, api_of
from tests.support.sms_outside import SECRET
from tests.support.sms_remotes import AndroidOutside

pytestmark = pytest.mark.anyio

MESSAGES = 30


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.005)


def let_leases_run_out(folder: Path) -> None:
    """As if two minutes had passed: what the dead server had leased is anybody's."""
    with contextlib.closing(sqlite3.connect(folder / "duologue.db")) as connection, connection:
        connection.execute("UPDATE sms_outbox SET next_at = 0 WHERE state <= 2")


async def write_to_all(ana: Device, peers: list[Device]) -> None:
    for number, peer in enumerate(peers):
        body = {"to": peer.phone, "text": f"text {number}", "client_id": f"{number}"}
        await ana.call("POST", "/v1/messages", body)


async def report(api: Api, outside: AndroidOutside) -> None:
    """The gateway reports all that it has taken as delivered."""
    for heard in list(outside.remote.heard):
        accepted = Accepted("gateway", (json.loads(heard.body)["id"],), 1)
        for call in await outside.callbacks_of(accepted):
            assert (await make(api, call)).is_success


async def delivered(ana: Device) -> int:
    """Return the number of her messages that have been sent."""
    chats = (await ana.call("GET", "/v1/chats?limit=100"))["items"]
    return sum(chat["marks"]["peer_delivered"] for chat in chats)


def gateway(outside: AndroidOutside) -> str:
    return f"gateway+http://user:{SECRET}@{outside.remote.address}?preset=android&secret={SECRET}"


def options(outside: AndroidOutside, delay: int) -> list[str]:
    """Everything is relayed to this gateway, after so many seconds."""
    server = ["--sms-url", gateway(outside), "--public-url", PUBLIC, "--allow-open-network"]
    return [*server, "--relay-delay", str(delay), "--relay-sender-budget", "0"]


@pytest.mark.parametrize("sent", [0, 1, 12, MESSAGES])
async def test_killed_mid_way_each_message_is_sent_once_and_every_mark_is_right(
    tmp_path: Path, sent: int
) -> None:
    outside = AndroidOutside()
    try:
        with DuologueServer(tmp_path, *options(outside, delay=1)) as server:
            async with api_of(server.url) as api:
                ana, *peers = [await api.device() for _ in range(MESSAGES + 1)]
                await write_to_all(ana, peers)
                await until(lambda: len(outside.remote.heard) >= sent)
                server.kill()
            let_leases_run_out(tmp_path)
            server.start()
            async with api_of(server.url) as api:
                ana = dataclasses.replace(ana, api=api)
                await until(lambda: len(outside.remote.heard) >= MESSAGES)
                await report(api, outside)
                async with asyncio.timeout(PATIENCE):
                    while await delivered(ana) < MESSAGES:
                        await asyncio.sleep(0.02)
        arrived = Counter(await outside.arrived())
        assert len(arrived) == MESSAGES
        assert set(arrived.values()) == {1}, "the gateway knows its references again"
    finally:
        outside.remote.close()


async def test_killed_between_receipt_and_mark_the_mark_is_moved_after_the_restart(tmp_path: Path) -> None:
    outside = AndroidOutside()
    try:
        with DuologueServer(tmp_path, *options(outside, delay=0)) as server:
            async with api_of(server.url) as api:
                ana, *peers = [await api.device() for _ in range(MESSAGES + 1)]
                await write_to_all(ana, peers)
                await until(lambda: len(outside.remote.heard) >= MESSAGES)
                await report(api, outside)
                server.kill()
            let_leases_run_out(tmp_path)
            server.start()
            async with api_of(server.url) as api, asyncio.timeout(PATIENCE):
                while await delivered(dataclasses.replace(ana, api=api)) < MESSAGES:
                    await asyncio.sleep(0.02)
    finally:
        outside.remote.close()


async def test_a_gateway_that_never_answers_holds_up_no_stop(tmp_path: Path) -> None:
    outside = AndroidOutside()
    await outside.fall_silent()
    try:
        with DuologueServer(tmp_path, *options(outside, delay=0)) as server:
            async with api_of(server.url) as api, (await api.device()).online():
                ana, *peers = [await api.device() for _ in range(4)]
                await write_to_all(ana, peers)
                await until(lambda: len(outside.remote.heard) >= len(peers))
                started = time.monotonic()
                assert await asyncio.to_thread(server.stop) == 0
                assert time.monotonic() - started < 10
                assert "Traceback" not in server.log
    finally:
        outside.remote.close()
