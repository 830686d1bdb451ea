"""The event log over HTTP: pages, the long poll, acks."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, Api, Device, api_of
from tests.support.node import Running, node_running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with node_running(tmp_path) as running:
        yield running


async def newest(device: Device) -> int:
    return len(await device.log())


async def polling(device: Device, after: int, wait: float) -> asyncio.Task[Any]:
    """A long poll that is under way."""
    path = f"/v1/events?after={after}&wait={wait}"
    poll = asyncio.create_task(device.ask("GET", path))
    await asyncio.sleep(0.2)
    assert not poll.done()
    return poll


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_pages_follow_each_other_in_order_without_a_hole(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    for number in range(7):
        await ben.post(chat_id, f"text {number}")
    seqs, after, pages = [], 0, 0
    while True:
        page = await ana.call("GET", f"/v1/events?after={after}&limit=4")
        seqs += [event["seq"] for event in page["items"]]
        assert page["next"] == seqs[-1]
        assert len(page["items"]) <= 4
        after, pages = page["next"], pages + 1
        if not page["has_more"]:
            break
    assert seqs == list(range(1, len(seqs) + 1))
    assert pages == -(-len(seqs) // 4)
    assert await ana.call("GET", f"/v1/events?after={after}") == {
        "items": [],
        "next": after,
        "next_at": page["items"][-1]["at"],
        "has_more": False,
    }


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=9999999999", "limit=0", "limit=501", "wait=-1", "wait=61", "wait=nan"],
)
async def test_a_query_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    answer = await (await api.device()).ask("GET", f"/v1/events?{query}")
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.json()["code"] == "invalid"


@pytest.mark.parametrize("wait", [0, 5])
async def test_after_beyond_the_newest_event_is_refused_at_once(api: Api, wait: int) -> None:
    start = monotonic()
    answer = await (await api.device()).ask("GET", f"/v1/events?after=1000&wait={wait}")
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.json()["code"] == "seq_out_of_range"
    assert monotonic() - start < 2


async def test_events_no_longer_kept_are_gone_and_the_answer_tells_where_to_go_on(tmp_path: Path) -> None:
    with DuologueServer(tmp_path) as server:
        async with api_of(server.url) as api:
            ana, ben, chat_id = await api.friends()
            await ben.post(chat_id, "old")
            last = await newest(ana)
            server.stop()
            with closing(sqlite3.connect(tmp_path / "duologue.db", isolation_level=None)) as connection:
                connection.execute("UPDATE events SET at = 0")
            server.start()
            async with asyncio.timeout(PATIENCE):
                while (answer := await ana.ask("GET", "/v1/events")).status_code != HTTPStatus.GONE:
                    await asyncio.sleep(0.05)
            assert (answer.json()["code"], answer.json()["latest"]) == ("events_expired", last)
            stream = await ana.ask("GET", "/v1/events/stream?after=0")
            assert (stream.status_code, stream.json()["latest"]) == (HTTPStatus.GONE, last)
            await ben.post(chat_id, "new")
            page = await ana.call("GET", f"/v1/events?after={last}")
            assert [event["data"]["text"] for event in page["items"]] == ["new"]


async def test_a_long_poll_answers_at_once_when_there_is_something(api: Api) -> None:
    ana = await api.device()
    start = monotonic()
    page = await ana.call("GET", "/v1/events?after=0&wait=20")
    assert page["items"]
    assert monotonic() - start < 5


async def test_a_long_poll_is_woken_by_what_happens(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    poll = await polling(ana, await newest(ana), 25)
    message = await ben.post(chat_id, "wake up")
    sent = monotonic()
    page = (await poll).json()
    assert monotonic() - sent < 1
    assert [event["data"] for event in page["items"]] == [message]


async def test_a_long_poll_without_news_ends_empty_after_its_time(api: Api) -> None:
    ana = await api.device()
    last, start = (await ana.log())[-1], monotonic()
    page = await ana.call("GET", f"/v1/events?after={last['seq']}&wait=0.6")
    assert 0.6 <= monotonic() - start < 5
    assert page == {"items": [], "next": last["seq"], "next_at": last["at"], "has_more": False}


async def test_a_long_poll_that_waits_longer_does_not_read_the_store_more_often(running: Running) -> None:
    """It is woken by the bus: it doesn't look again and again."""
    db = running.node.db.directory()
    reads, read = 0, db.read

    # The node's background loops look for their work by the clock, with or without a poll.
    background = asyncio.all_tasks()

    def counting(fn: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        reads += asyncio.current_task() not in background
        return read(fn, *args, **kwargs)

    db.read = counting  # type: ignore[method-assign]
    async with api_of(running.url) as api:
        ana = await api.device()
        last = await newest(ana)
        counts = []
        for wait in (0.2, 2):
            reads = 0
            await ana.call("GET", f"/v1/events?after={last}&wait={wait}")
            counts.append(reads)
        assert min(counts) >= 1, "the log"
        assert max(counts) <= 3, "the session, the session again, the log"
        assert abs(counts[1] - counts[0]) <= 1, "the session may be remembered from the last second"


async def test_an_echo_of_the_past_does_not_end_a_long_poll(running: Running) -> None:
    async with api_of(running.url) as api:
        ana, ben, chat_id = await api.friends()
        heard: list[Any] = []
        deliver = running.node.hub.deliver

        def listening(notices: Any) -> None:
            heard.extend(notices)
            deliver(notices)

        running.node.hub.deliver = listening  # type: ignore[method-assign]
        first = await polling(ana, await newest(ana), 20)
        await ben.post(chat_id, "news")
        await first
        poll = await polling(ana, await newest(ana), 20)
        deliver(heard)
        running.node.hub.recheck()
        await asyncio.sleep(0.2)
        assert not poll.done()
        await ben.post(chat_id, "more news")
        assert [event["data"]["text"] for event in (await poll).json()["items"]] == ["more news"]


@pytest.mark.parametrize("how", ["session", "account"])
async def test_a_long_poll_ends_with_its_session(api: Api, how: str) -> None:
    phone = await api.device()
    tablet = await api.device(phone.phone)
    poll = await polling(tablet, await newest(tablet), 25)
    await phone.call("DELETE", f"/v1/sessions/{tablet.session_id}" if how == "session" else "/v1/me")
    ended = monotonic()
    answer = await poll
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert answer.json()["code"] == "not_signed_in"
    assert monotonic() - ended < 1


async def test_a_long_poll_is_let_go_when_the_server_stops(tmp_path: Path) -> None:
    with DuologueServer(tmp_path) as server:
        async with api_of(server.url) as api:
            ana = await api.device()
            last = (await ana.log())[-1]
            poll = await polling(ana, last["seq"], 25)
            start = monotonic()
            assert await asyncio.to_thread(server.stop) == 0
            assert monotonic() - start < 10
            page = (await poll).json()
            assert page == {"items": [], "next": last["seq"], "next_at": last["at"], "has_more": False}


async def test_a_client_that_hangs_up_leaves_nothing_behind(running: Running) -> None:
    async with api_of(running.url) as api:
        ana = await api.device()
        poll = await polling(ana, await newest(ana), 60)
        assert running.node.hub.followed()
        poll.cancel()
        await ana.call("PATCH", "/v1/me", {"display_name": "wakes whoever waits"})
        await until(lambda: not running.node.hub.followed())


async def test_an_ack_delivers_what_it_covers_in_every_chat(api: Api) -> None:
    ana = await api.device()
    peers = [await api.device() for _ in range(3)]
    for number, peer in enumerate(peers):
        for n in range(number + 1):
            await peer.call("POST", "/v1/messages", {"to": ana.phone, "text": "hi", "client_id": str(n)})
    log = await ana.log()
    second = [event["seq"] for event in log if event["type"] == "message.created"][1]
    assert (await ana.ask("POST", "/v1/events/ack", {"seq": second})).status_code == HTTPStatus.NO_CONTENT
    assert [await delivered(peer) for peer in peers] == [1, 1, 0]
    await ana.call("POST", "/v1/events/ack", {"seq": log[-1]["seq"]})
    assert [await delivered(peer) for peer in peers] == [1, 2, 3]
    for seq in (log[-1]["seq"], second, 0):
        await ana.call("POST", "/v1/events/ack", {"seq": seq})
    assert [await delivered(peer) for peer in peers] == [1, 2, 3]


async def delivered(device: Device) -> int:
    chat = (await device.call("GET", "/v1/chats"))["items"][0]
    seq: int = chat["marks"]["peer_delivered"]
    return seq


async def test_an_ack_beyond_the_newest_event_is_refused(api: Api) -> None:
    ana = await api.device()
    answer = await ana.ask("POST", "/v1/events/ack", {"seq": 1_000})
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.json()["code"] == "seq_out_of_range"
    assert answer.json()["errors"].keys() == {"seq"}
