"""Opening a socket: who may, who is refused, and what comes first."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from duologue_lab.servers.server import DuologueServer
from tests.support.client import JSON, MSGPACK, Api, Device, Socket, api_of, opened

pytestmark = pytest.mark.anyio

FRIEND = "https://friend.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path_factory.mktemp("server"), "--allowed-origins", FRIEND) as server:
        yield server


async def test_a_token_in_the_header_signs_in(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.knocking(protocol, **ana.authorization) as socket:
        ready = await socket.hello()
        assert ready["user"] == await ana.call("GET", "/v1/me")
        assert ready["session_id"] == ana.session_id
        assert ready["latest"] == len(await ana.log())
        assert ready["heartbeat"] == 25
        newest = (await ana.log())[-1]
        assert (ready["latest"], ready["latest_at"]) == (newest["seq"], newest["at"])
        caught_up = await socket.hear("caught_up")
        assert caught_up == {"op": "caught_up", "seq": newest["seq"], "at": newest["at"]}


async def test_a_token_in_the_first_frame_signs_in(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.knocking(protocol) as socket:
        ready = await socket.hello(token=ana.token)
        assert ready["user"]["id"] == ana.user_id


async def test_the_frame_goes_before_the_header(api: Api) -> None:
    ana, ben = await api.device(), await api.device()
    async with ana.knocking(**ana.authorization) as socket:
        ready = await socket.hello(token=ben.token)
        assert ready["user"]["id"] == ben.user_id


async def test_ready_repeats_the_ref(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.knocking(protocol, **ana.authorization) as socket:
        await socket.say("hello", ref="my ref")
        assert (await socket.hear("ready"))["ref"] == "my ref"


async def test_json_is_spoken_where_no_subprotocol_is_asked_for(api: Api) -> None:
    ana = await api.device()
    async with ana.knocking(None, **ana.authorization) as socket:
        assert socket.connection.subprotocol is None
        await socket.hello()


async def test_without_after_only_what_comes_is_told(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    await ben.post(chat_id, "before")
    async with ana.online(protocol=protocol) as socket:
        await ben.post(chat_id, "now")
        assert (await socket.event("message.created"))["text"] == "now"
        assert socket.ops() == ["ready", "caught_up", "event"]


async def test_after_replays_the_log_then_goes_live(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    async with ben.online() as peer:
        await peer.talk((f"before {number}" for number in range(250)), chat_id=chat_id)
    log = await ana.log()
    async with ana.knocking(protocol, **ana.authorization) as socket:
        ready = await socket.hello(after=0)
        assert ready["latest"] == len(log)
        await socket.hear("caught_up")
        assert socket.ops() == ["ready", *["event"] * len(log), "caught_up"]
        assert [{**event, "op": "event"} for event in log] == socket.applied
        await ben.post(chat_id, "live")
        assert (await socket.hear("event", seq=len(log) + 1))["data"]["text"] == "live"


async def test_after_resumes_where_the_last_connection_ended(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online(after=0) as socket:
        await ben.post(chat_id, "one")
        await socket.event("message.created")
        position = socket.applied[-1]["seq"]
    await ben.post(chat_id, "two")
    async with ana.online(after=position) as socket:
        assert [event["data"]["text"] for event in socket.applied] == ["two"]


async def test_after_the_newest_event_replays_nothing(api: Api) -> None:
    ana = await api.device()
    async with ana.online(after=len(await ana.log())) as socket:
        assert socket.ops() == ["ready", "caught_up"]


async def test_a_second_hello_is_an_error_and_changes_nothing(api: Api, protocol: str) -> None:
    ana, ben = await api.device(), await api.device()
    async with ana.online(protocol=protocol) as socket:
        await socket.say("hello", token=ben.token, ref="again")
        assert (await socket.error("invalid"))["ref"] == "again"
        await ana.call("PATCH", "/v1/me", {"display_name": "Still Ana"})
        assert (await socket.event("user.updated"))["display_name"] == "Still Ana"


@pytest.mark.parametrize("op", ["ping", "send", "ack"])
async def test_a_first_frame_that_is_no_hello_closes_with_4000(api: Api, protocol: str, op: str) -> None:
    ana = await api.device()
    fields: dict[str, dict[str, Any]] = {
        "ping": {},
        "send": {"to": "+33612345678", "text": "a", "client_id": "a"},
        "ack": {"seq": 0},
    }
    async with ana.knocking(protocol, **ana.authorization) as socket:
        await socket.say(op, **fields[op])
        assert (await socket.closing())[0] == 4000
        assert socket.heard == []


async def test_a_hello_that_is_not_valid_is_explained_and_closes_with_4000(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.knocking(protocol, **ana.authorization) as socket:
        await socket.say("hello", after=-1, ref="r")
        error = await socket.error("invalid")
        assert error["errors"].keys() == {"after"}
        assert error["ref"] == "r"
        assert (await socket.closing())[0] == 4000


async def test_after_beyond_the_newest_event_closes_with_4000(api: Api) -> None:
    ana = await api.device()
    async with ana.knocking(**ana.authorization) as socket:
        await socket.say("hello", after=1_000)
        assert "after" in (await socket.error("seq_out_of_range"))["errors"]
        assert (await socket.closing())[0] == 4000


async def test_no_token_closes_with_4001(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.knocking(protocol) as socket:
        await socket.say("hello")
        assert (await socket.closing())[0] == 4001


@pytest.mark.parametrize("token", ["", "dlg_", "dlg_" + "A" * 43, "é" * 100])
async def test_a_token_that_is_not_valid_closes_with_4001(api: Api, token: str) -> None:
    ana = await api.device()
    async with ana.knocking(**ana.authorization) as socket:
        await socket.say("hello", token=token)
        assert (await socket.closing())[0] == 4001
        assert "ready" not in socket.ops()


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "dlg_", "Bearer dlg_nobody"])
async def test_a_header_that_is_no_token_closes_with_4001(api: Api, value: str) -> None:
    async with opened(api.url, Authorization=value) as socket:
        await socket.say("hello")
        assert (await socket.closing())[0] == 4001


async def test_the_token_of_an_ended_session_closes_with_4001(api: Api) -> None:
    ana = await api.device()
    await ana.call("DELETE", "/v1/sessions/current")
    async with ana.knocking() as socket:
        await socket.say("hello", token=ana.token)
        await socket.error("not_signed_in")
        assert (await socket.closing())[0] == 4001


async def test_no_token_is_taken_from_the_address(api: Api) -> None:
    ana = await api.device()
    async with opened(api.url, path=f"/v1/socket?token={ana.token}") as socket:
        await socket.say("hello")
        assert (await socket.closing())[0] == 4001


async def test_no_hello_within_ten_seconds_closes_with_4010(api: Api) -> None:
    """Whatever else the client does in the meantime. All at once, as ten seconds are long."""
    ana = await api.device()

    async def closed_after(protocol: str, act: Callable[[Socket], Awaitable[None]]) -> float:
        start = monotonic()
        async with ana.knocking(protocol, **ana.authorization) as socket:
            acting = asyncio.ensure_future(act(socket))
            assert (await socket.closing())[0] == 4010
            acting.cancel()
        return monotonic() - start

    async with ana.online() as signed_in:
        acts = [(JSON, nothing), (MSGPACK, nothing), (JSON, pings), (JSON, fragments), (MSGPACK, arrays)]
        times = await asyncio.gather(*(closed_after(*act) for act in acts))
        assert all(9.9 < seconds < 15 for seconds in times), times
        await signed_in.settled()


async def nothing(_: Socket) -> None:
    pass


async def pings(socket: Socket) -> None:
    while True:
        await (await socket.connection.ping())
        await asyncio.sleep(2)


async def arrays(socket: Socket) -> None:
    while True:
        await socket.say_raw([])
        await asyncio.sleep(2)


async def fragments(socket: Socket) -> None:
    async def slowly() -> AsyncIterator[str]:
        for letter in '{"op":"hello"}':
            yield letter
            await asyncio.sleep(2)

    await socket.connection.send(slowly())


async def test_a_user_has_twenty_sockets_and_the_next_closes_with_4009(api: Api) -> None:
    """Also when they all say hello at the same moment, and from several devices."""
    phone = await api.device()
    devices = [phone, await api.device(phone.phone), await api.device(phone.phone)]
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(devices[number % 3].knocking()) for number in range(30)]
        for number, socket in enumerate(sockets):
            await socket.say("hello", token=devices[number % 3].token)
        answers = await asyncio.gather(*map(ready_or_closed, sockets))
        assert sorted(answers) == [0] * 20 + [4009] * 10
    async with phone.online():
        """There is room again."""


async def ready_or_closed(socket: Socket) -> int:
    try:
        await socket.hear("ready")
    except ConnectionClosed:
        return (await socket.closing())[0]
    return 0


async def test_a_page_of_another_origin_is_refused(api: Api) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(api.url, Origin="https://evil.example"):
            pass
    response = refused.value.response
    assert response.status_code == 403
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.body
    assert msgspec.json.decode(response.body)["code"] == "origin_not_allowed"


@pytest.mark.parametrize("origin", ["own", FRIEND])
async def test_a_page_of_this_server_or_of_an_allowed_origin_is_let_in(api: Api, origin: str) -> None:
    ana = await api.device()
    async with ana.knocking(Origin=api.url if origin == "own" else origin) as socket:
        await socket.hello(token=ana.token)


async def test_there_is_no_socket_at_another_path(api: Api) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(api.url, path="/v1/sockets"):
            pass
    assert refused.value.response.status_code == 404
    assert msgspec.json.decode(refused.value.response.body or b"")["code"] == "not_found"


async def test_an_unknown_subprotocol_is_refused(api: Api) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(api.url, "duologue.v2"):
            pass
    assert refused.value.response.status_code == 400


async def test_events_no_longer_kept_close_with_4011(tmp_path: Path) -> None:
    with DuologueServer(tmp_path) as server:
        async with api_of(server.url) as api:
            ana, ben, chat_id = await api.friends()
            await ben.post(chat_id, "old")
            newest = len(await ana.log())
            server.stop()
            make_events_old(tmp_path / "duologue.db")
            server.start()
            await until_trimmed(ana)
            async with ana.knocking(**ana.authorization) as socket:
                await socket.say("hello", after=0, ref="r")
                error = await socket.error("events_expired")
                assert error["latest"] == newest
                assert error["ref"] == "r"
                assert (await socket.closing())[0] == 4011
            async with ana.online(after=newest) as socket:
                await ben.post(chat_id, "new")
                assert (await socket.event("message.created"))["text"] == "new"


def make_events_old(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE events SET at = 0")


async def until_trimmed(device: Device) -> None:
    """A server trims its logs as soon as it has started."""
    async with asyncio.timeout(30):
        while (await device.ask("GET", "/v1/events?after=0")).status_code != HTTPStatus.GONE:
            await asyncio.sleep(0.05)
