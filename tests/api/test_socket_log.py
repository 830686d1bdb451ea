"""The log on the socket: every event once, in order, on every device, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import JSON, MSGPACK, Api, Device, Socket

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path_factory.mktemp("server"), "--rate-limits", "off") as server:
        yield server


async def test_every_kind_of_event_comes_over_the_socket_as_over_http(api: Api, protocol: str) -> None:
    ana, ben = await api.device(), await api.device()
    async with ana.online(after=0, protocol=protocol) as socket:
        async with ben.online() as peer:
            sent = await peer.send("hello", to=ana.phone)
            chat_id = sent["message"]["chat_id"]
        await ana.call("PUT", f"/v1/chats/{chat_id}/read", {"seq": 1})
        await ana.call("PATCH", f"/v1/chats/{chat_id}", {"pinned": True})
        await ben.call("PATCH", "/v1/me", {"display_name": "Ben"})
        tablet = await api.device(ana.phone)
        await ana.call("DELETE", f"/v1/sessions/{tablet.session_id}")
        log = await ana.log()
        await socket.until(len(log))
        assert {event["type"] for event in log} == {
            "message.created",
            "receipt.updated",
            "chat.updated",
            "user.updated",
            "session.created",
            "session.ended",
        }
        assert [(event["seq"], event["type"], event["at"]) for event in socket.applied] == [
            (event["seq"], event["type"], event["at"]) for event in log
        ]
        for heard, read in zip(socket.applied, log, strict=True):
            assert heard["data"].keys() == read["data"].keys()
            if heard["type"] in {"message.created", "receipt.updated"}:
                assert heard["data"] == read["data"]


async def test_two_devices_of_one_user_get_everything_and_what_the_other_sent(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    tablet = await api.device(ana.phone)
    async with (
        ana.online(after=0) as one,
        tablet.online(after=0, protocol=MSGPACK) as other,
        ben.online(after=0) as peer,
    ):
        await asyncio.gather(
            one.talk((f"phone {number}" for number in range(100)), chat_id=chat_id),
            other.talk((f"tablet {number}" for number in range(100)), chat_id=chat_id),
            peer.talk((f"peer {number}" for number in range(100)), chat_id=chat_id),
        )
        await one.say("read", chat_id=chat_id, seq=300)
        newest = await until_at_rest(ana)
        await one.until(newest)
        await other.until(newest)
        assert one.applied == other.applied
        texts = [event["data"]["text"] for event in one.applied if event["type"] == "message.created"]
        assert len(texts) == 300
        assert [text for text in texts if text.startswith("tablet")] == [f"tablet {n}" for n in range(100)]
        assert [event["data"]["read"] for event in one.applied if event["type"] == "receipt.updated"] == [300]


async def until_at_rest(device: Device) -> int:
    """The newest seq of a log to which nothing is added any more but by this."""
    await device.call("PATCH", "/v1/me", {"display_name": "the end"})
    return len(await device.log())


async def test_a_client_that_joins_while_many_write_gets_all_and_catches_up(api: Api) -> None:
    """Replay and going live, with no hole and no repeat between them; the socket itself checks each seq."""
    ana = await api.device()
    peers = [await api.device() for _ in range(4)]
    stop = asyncio.Event()

    async def write(device: Device) -> None:
        async with device.online() as socket:
            number = 0
            while not stop.is_set():
                await socket.talk((f"{number}.{n}" for n in range(40)), to=ana.phone)
                number += 1

    writing = [asyncio.create_task(write(peer)) for peer in peers]
    async with ana.online(after=0) as first:
        for round_ in range(8):
            async with ana.online(after=0, protocol=(JSON, MSGPACK)[round_ % 2]) as late:
                await late.until(late.applied[-1]["seq"] + 200)
        stop.set()
        await asyncio.gather(*writing)
        await first.until(len(await ana.log()))
        assert [event["seq"] for event in first.applied] == list(range(1, len(first.applied) + 1))


async def test_a_client_that_keeps_resuming_applies_each_event_once(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    applied = await ana.log()

    async def write() -> None:
        async with ben.online() as socket:
            for number in range(40):
                await socket.talk((f"{number}.{n}" for n in range(10)), chat_id=chat_id)

    writing = asyncio.create_task(write())
    connections = 0
    while not writing.done() or len(applied) < len(await ana.log()):
        async with ana.knocking(**ana.authorization) as socket:
            await socket.hello(after=len(applied))
            await take_some(socket, 7 + connections % 5)
            applied += socket.applied
            connections += 1
            socket.connection.transport.abort()
    await writing
    assert connections > 10
    assert [event["seq"] for event in applied] == list(range(1, len(applied) + 1))
    texts = [event["data"]["text"] for event in applied if event["type"] == "message.created"]
    assert texts == [f"{number}.{n}" for number in range(40) for n in range(10)]


async def take_some(socket: Socket, count: int) -> None:
    while len(socket.applied) < count and "caught_up" not in socket.ops():
        await socket.next()


async def test_a_message_is_told_to_its_sender_only_once_it_is_confirmed(api: Api) -> None:
    """The `sent` comes no later than its event: a client need not match them."""
    ana, ben, chat_id = await api.friends()
    async with ana.online() as socket:
        await socket.talk((f"text {number}" for number in range(50)), chat_id=chat_id)
        await socket.until(socket.heard[0]["latest"] + 50)
        seen: dict[str, list[str]] = {}
        for frame in socket.heard:
            if frame["op"] in {"sent", "event"}:
                client_id = frame.get("client_id") or frame["data"]["client_id"]
                seen.setdefault(client_id, []).append(frame["op"])
        assert list(seen.values()) == [["sent", "event"]] * 50
    assert (await ben.chat(chat_id))["unread"] == 50
