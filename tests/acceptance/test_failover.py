"""PostgreSQL fails over to a standby that hadn't received all: what was lost is noticed, nobody is signed out for it.

The standby is a real one, to which the primary streams without waiting for it. The network between them is cut, and
later the primary is killed.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

import psycopg
import pytest

from duologue_lab.servers.postgres import Postgres, PostgresServer, postgres_server, standby_of
from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, Api, Device, Frame, Socket, api_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

DATABASE = "chat"


def asked(server: Postgres, question: str) -> str:
    with psycopg.connect(server.url(DATABASE)) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row
    return str(row[0])


async def until(server: Postgres, question: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while asked(server, question) != "True":
            await asyncio.sleep(0.05)


async def cut_off(primary: PostgresServer, standby: PostgresServer) -> None:
    """The standby has everything up to now, and gets nothing more."""
    written = asked(primary, "SELECT pg_current_wal_insert_lsn()")
    await until(standby, f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn")
    standby.lag_behind()
    await until(standby, "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")


async def insist(device: Device, chat_id: str, text: str) -> Frame:
    """As a client with an outbox: repeat until the message is acknowledged."""
    body = {"text": text, "client_id": text}
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await device.ask("POST", f"/v1/chats/{chat_id}/messages", body)
            if answer.is_success:
                message: Frame = answer.json()
                return message
            assert answer.json()["code"] == "overloaded"
            await asyncio.sleep(0.2)


async def ended(socket: Socket) -> tuple[int, list[str]]:
    """The close code, and the codes of the errors that came before it."""
    code, _ = await socket.closing()
    return code, [frame["code"] for frame in socket.heard if frame["op"] == "error"]


async def until_unknown(device: Device) -> None:
    """A token is trusted for a second after it was last looked up."""
    async with asyncio.timeout(PATIENCE):
        while (await device.ask("GET", "/v1/me")).status_code != HTTPStatus.UNAUTHORIZED:
            await asyncio.sleep(0.1)


async def test_what_a_failover_lost_is_noticed_and_only_a_lost_session_signs_in_again(tmp_path: Path) -> None:
    with postgres_server() as primary:
        primary.run(f"CREATE DATABASE {DATABASE}")
        with standby_of(primary) as standby:
            hosts = f"host={primary.folder},{standby.folder}&port=5432,5432"
            url = f"postgresql://postgres@/{DATABASE}?{hosts}&target_session_attrs=read-write"
            with DuologueServer(tmp_path, env={"DUOLOGUE_DATABASE_URL": url}) as server:
                async with api_of(server.url) as api:
                    await fail_over(api, primary, standby)


async def fail_over(api: Api, primary: PostgresServer, standby: PostgresServer) -> None:
    ana, ben, chat_id = await api.friends()
    await ben.post(chat_id, "kept")
    kept = (await ana.log())[-1]
    await cut_off(primary, standby)
    tablet, cyd = await api.device(ana.phone), await api.device()
    async with ana.online(after=kept["seq"]) as live, tablet.online() as lost, cyd.online() as unheard_of:
        for number in range(3):
            await ben.post(chat_id, f"lost {number}")
        while not (live.applied and live.applied[-1]["data"].get("text") == "lost 2"):
            await live.until(live.applied[-1]["seq"] + 1 if live.applied else kept["seq"] + 1)
        position = live.applied[-1]
        primary.stop(kill=True)
        standby.promote()
        await insist(ben, chat_id, "new 0")
        assert await ended(live) == (4012, ["log_changed"])
        assert live.applied[-1] == position, "nothing of the other log was passed on as the next event"
        # A device whose session was lost may first hear that its log has changed.
        assert (await ended(lost))[0] in {4001, 4012}
        assert (await ended(unheard_of))[0] == 4001
    for device in (tablet, cyd):
        await until_unknown(device)
        async with device.knocking(**device.authorization) as socket:
            await socket.say("hello", after=position["seq"], at=position["at"])
            assert await ended(socket) == (4001, ["not_signed_in"])
    async with ana.knocking(**ana.authorization) as socket:
        await socket.say("hello", after=position["seq"], at=position["at"])
        error = await socket.error("log_changed")
        assert (await socket.closing())[0] == 4012
    async with ana.knocking(**ana.authorization) as socket:
        await socket.hello(after=error["latest"], at=error["latest_at"])
        page = await ana.call("GET", f"/v1/chats/{chat_id}/messages")
        assert [message["text"] for message in page["items"]] == ["kept", "new 0"]
        # An author whose outbox still has it stores it anew.
        await insist(ben, chat_id, "lost 2")
        assert (await socket.event("message.created"))["text"] == "lost 2"
    assert (await api.http.get("/readyz")).is_success
