"""Ends of sockets: with their session, with the account, with the server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest
from websockets.exceptions import ConnectionClosed

from duologue.app.node import Node
from duologue.socket import connection as socket_module
from duologue.storage.engine.sqlite import SqliteDatabase
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, Socket, api_of
from tests.support.node import node_running
from tests.support.websocket import TEXT, Peer, frame, upgrade_request

pytestmark = pytest.mark.anyio


async def closes_with(code: int, *sockets: Socket) -> None:
    """All of these are closed within a second."""
    start = monotonic()
    ends = await asyncio.gather(*(socket.closing() for socket in sockets))
    assert [end[0] for end in ends] == [code] * len(sockets)
    assert monotonic() - start < 1


async def test_revoking_a_session_closes_all_its_sockets_and_no_other(api: Api, protocol: str) -> None:
    phone = await api.device()
    tablet = await api.device(phone.phone)
    async with (
        phone.online(protocol=protocol) as kept,
        tablet.online(protocol=protocol) as one,
        tablet.online() as other,
    ):
        await phone.call("DELETE", f"/v1/sessions/{tablet.session_id}")
        await closes_with(4003, one, other)
        assert (await one.event("session.ended"))["id"] == tablet.session_id
        assert (await kept.event("session.ended"))["id"] == tablet.session_id
        await kept.settled()


async def test_signing_out_closes_ones_own_socket(api: Api) -> None:
    ana = await api.device()
    async with ana.online() as socket:
        await ana.call("DELETE", "/v1/sessions/current")
        await closes_with(4003, socket)


async def test_signing_all_others_out_closes_theirs(api: Api) -> None:
    phone = await api.device()
    others = [await api.device(phone.phone) for _ in range(2)]
    async with phone.online() as kept, others[0].online() as one, others[1].online() as other:
        await phone.call("DELETE", "/v1/sessions")
        await closes_with(4003, one, other)
        await kept.settled()


async def test_deleting_the_account_closes_every_socket(api: Api, protocol: str) -> None:
    phone = await api.device()
    tablet = await api.device(phone.phone)
    async with phone.online(protocol=protocol) as one, tablet.online(after=0, protocol=protocol) as other:
        await phone.call("DELETE", "/v1/me")
        await closes_with(4003, one, other)


async def test_a_new_name_closes_nothing(api: Api) -> None:
    ana = await api.device()
    async with ana.online() as socket:
        await ana.call("PATCH", "/v1/me", {"display_name": "Ana"})
        await socket.event("user.updated")
        await socket.settled()


@pytest.mark.parametrize("how", ["session", "account"])
async def test_who_reads_slowly_is_not_kept_longer_than_the_session(api: Api, how: str) -> None:
    """Its end stands last in a long log, but takes effect at once: a thief must not read on for minutes."""
    ana, ben, chat_id = await api.friends()
    thief = await api.device(ana.phone)
    async with ben.online() as peer:
        for number in range(300):
            await peer.say("send", chat_id=chat_id, text=f"{number} " + "x" * 4000, client_id=str(number))
        for _ in range(300):
            await peer.hear("sent")
    host, port = api.url.removeprefix("http://").split(":")
    with Peer((host, int(port)), receive_buffer=4096) as slow:
        slow.send(upgrade_request("/v1/socket", Host="localhost", Authorization=f"Bearer {thief.token}"))
        slow.send(frame(TEXT, b'{"op":"hello","after":0}'))
        assert slow.answer()[0] == 101
        assert b'"op":"ready"' in slow.frame().payload
        await ana.call("DELETE", f"/v1/sessions/{thief.session_id}" if how == "session" else "/v1/me")
        received = 0
        while (got := slow.frame()).opcode == TEXT:
            received += 1
        assert int.from_bytes(got.payload[:2]) == 4003
    assert received < 150, "what was on its way, not the whole log"


async def test_a_client_may_say_goodbye(api: Api) -> None:
    ana = await api.device()
    async with ana.online() as socket:
        await socket.connection.close(1000)
        assert await socket.closing() == (1000, "")


@pytest.mark.parametrize("frame", [{"op": "hello"}, {"op": "send", "text": "a", "client_id": "a"}])
async def test_a_fault_that_nobody_foresaw_closes_with_1011_instead_of_hanging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: dict[str, str]
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    async with node_running(tmp_path) as running, api_of(running.url) as api:
        ana, ben, _ = await api.friends()
        async with ana.knocking(**ana.authorization) as socket:
            if frame["op"] == "hello":
                monkeypatch.setattr(running.node.sessions, "authenticate", fails)
                await socket.say(**frame)
            else:
                await socket.hello()
                monkeypatch.setattr(running.node.services.chats, "pair_to", fails)
                await socket.say(**frame, to=ben.phone)
            assert (await socket.closing())[0] == 1011


@contextmanager
def writer_held(node: Node) -> Iterator[None]:
    """Meanwhile the store commits nothing."""
    assert isinstance(node.db, SqliteDatabase)
    with node.db._writer._wake:
        yield


async def test_what_is_in_flight_is_answered_before_the_socket_closes(tmp_path: Path) -> None:
    async with node_running(tmp_path) as running, api_of(running.url) as api:
        ana, _, chat_id = await api.friends()
        async with ana.online() as socket:
            with writer_held(running.node):
                for number in range(5):
                    await socket.say("send", chat_id=chat_id, text="in time", client_id=str(number))
                await socket.settled()
                stopping = asyncio.create_task(running.stop())
                await asyncio.sleep(0.3)
                assert not stopping.done()
            assert await socket.closing() == (1001, "server going away")
            assert socket.ops().count("sent") == 5
            await stopping


async def test_what_is_in_flight_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that stands still; the client will send again."""
    monkeypatch.setattr(socket_module, "_LEAVE_WITHIN", 0.2)
    async with node_running(tmp_path) as running, api_of(running.url) as api:
        ana, _, chat_id = await api.friends()
        async with ana.online() as socket:
            with writer_held(running.node):
                await socket.say("send", chat_id=chat_id, text="too late", client_id="c")
                await socket.settled()
                stopping = asyncio.create_task(running.stop())
                assert await socket.closing() == (1001, "server going away")
                assert "sent" not in socket.ops()
            await stopping


async def test_on_sigterm_what_is_in_flight_is_answered_and_sockets_close_with_1001(tmp_path: Path) -> None:
    with DuologueServer(tmp_path, "--rate-limits", "off") as server:
        async with api_of(server.url) as api:
            pairs = [await api.friends() for _ in range(4)]
            writers = [
                asyncio.create_task(pour(device, chat_id)) for *pair, chat_id in pairs for device in pair
            ]
            async with pairs[0][0].online() as idle, pairs[0][0].knocking() as stranger:
                await idle.until(idle.heard[0]["latest"] + 50)
                start = monotonic()
                assert await asyncio.to_thread(server.stop) == 0
                assert monotonic() - start < 10
                assert (await idle.closing())[0] == (await stranger.closing())[0] == 1001
            ends = await asyncio.gather(*writers)
            assert [code for code, _ in ends] == [1001] * len(writers)
            server.start()
            for number, (one, other, chat_id) in enumerate(pairs):
                acknowledged = [*ends[2 * number][1], *ends[2 * number + 1][1]]
                for device in (one, other):
                    log = [
                        event["data"] for event in await device.log() if event["type"] == "message.created"
                    ]
                    stored = [message["client_id"] for message in log if message["chat_id"] == chat_id]
                    assert sorted(stored) == sorted(acknowledged)


async def pour(device: Device, chat_id: str) -> tuple[int, list[str]]:
    """Send without a pause until the server closes; its code, and what it acknowledged."""
    async with device.online() as socket:
        writing = asyncio.create_task(send_for_ever(socket, chat_id, device.user_id))
        code, _ = await socket.closing()
        writing.cancel()
        return code, [frame["client_id"] for frame in socket.heard if frame["op"] == "sent"]


async def send_for_ever(socket: Socket, chat_id: str, name: str) -> None:
    with suppress(ConnectionClosed):
        for number in itertools.count():
            await socket.say("send", chat_id=chat_id, text="on and on", client_id=f"{name}-{number}")
            await asyncio.sleep(0.001)
