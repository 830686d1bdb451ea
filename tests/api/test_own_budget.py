"""Nobody makes the server do much with one request: it is counted, bounded, or done in small steps afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from duologue.core import chats, events, feed
from duologue.core.limits import FRAME_BURST, WATCHED_PER_FRAME
from duologue.core.rates import NEW_CHATS, PROFILE_CHANGES, REPLAYED, Buckets
from duologue.core.receipts import MARKS_AT_ONCE
from duologue.core.sessions import new_token
from duologue.errors import RatePolicy
from duologue.model import encode_id
from duologue.protocol.frames import MAX_WATCHED
from duologue.storage.database import Done, Mark, Operation
from tests.support.client import PATIENCE, Api, Device, api_of, new_phone
from tests.support.node import Running, node_running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with node_running(tmp_path) as running:
        yield running


@pytest.fixture
async def own(running: Running) -> AsyncIterator[Api]:
    """Of a server of the test's own."""
    async with api_of(running.url) as api:
        yield api


async def rename(device: Device, name: str) -> int:
    return (await device.ask("PATCH", "/v1/me", {"display_name": name})).status_code


async def test_new_names_are_limited_and_what_changes_nothing_costs_nothing(api: Api) -> None:
    ana = await api.device()
    for number in range(PROFILE_CHANGES.quota):
        assert [await rename(ana, f"Ana {number}") for _ in range(2)] == [200, 200]
    refused = await ana.ask("PATCH", "/v1/me", {"display_name": "Ana", "read_receipts": False})
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limited"
    policy = f'"profile-changes";q={PROFILE_CHANGES.quota};w=3600'
    assert refused.headers["RateLimit-Policy"] == policy
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    me = await ana.call("GET", "/v1/me")
    assert (me["display_name"], me["read_receipts"]) == (f"Ana {PROFILE_CHANGES.quota - 1}", True)
    assert (await ana.call("PATCH", "/v1/me", {"read_receipts": False}))["read_receipts"] is False
    limits = (await ana.call("GET", "/v1/server"))["limits"]
    assert limits["profile_changes_per_hour"] == PROFILE_CHANGES.quota


async def test_new_chats_are_limited_and_known_ones_are_not(
    own: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chats, "NEW_CHATS", RatePolicy("new-chats", 3, 3_600))
    ana = await own.device()
    phones = [new_phone() for _ in range(4)]
    asked = [await ana.ask("PUT", "/v1/chats", {"phone": phone}) for phone in (*phones, phones[0])]
    assert [answer.is_success for answer in asked] == [True, True, True, False, True]
    refused = await ana.ask("POST", "/v1/messages", {"to": phones[3], "text": "a", "client_id": "a"})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert NEW_CHATS.quota == 1_000


async def test_peers_hear_of_a_name_within_seconds_and_end_with_the_newest(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ben.online() as socket:
        started = monotonic()
        for name in ("A", "An", "Ana"):
            await ana.call("PATCH", "/v1/me", {"display_name": name})
        names = [(await socket.event("user.updated"))["display_name"]]
        while names[-1] != "Ana":
            names.append((await socket.event("user.updated"))["display_name"])
        assert len(names) <= 2, "those that came close together are told together"
        assert monotonic() - started < 3
    assert (await ben.chat(chat_id))["peer"]["display_name"] == "Ana"


async def test_peers_hear_of_somebody_who_has_signed_in_with_the_first_answer(api: Api) -> None:
    ana, phone = await api.device(), new_phone()
    chat = await ana.call("PUT", "/v1/chats", {"phone": phone})
    async with ana.online() as socket:
        ben = await api.device(phone)
        assert (await ana.chat(chat["id"]))["peer"]["registered"] is False
        await ben.post(chat["id"], "Hello")
        assert (await socket.event("user.updated"))["registered"] is True


async def test_a_deleted_number_is_free_at_once_and_peers_hear_of_it(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ben.post(chat_id, "for Ana, of old")
    async with ben.online() as socket:
        await ana.call("DELETE", "/v1/me")
        assert (await ana.ask("GET", "/v1/events")).status_code == 401
        heir = await api.device(ana.phone)
        assert heir.user_id != ana.user_id
        assert (await heir.call("GET", "/v1/chats"))["items"] == []
        gone = await socket.event("user.updated")
        assert (gone["id"], gone["phone"]) == (ana.user_id, None)


def watched(count: int) -> list[str]:
    return [encode_id("usr", number) for number in range(count)]


async def test_each_watched_user_costs_whether_or_not_it_may_be_watched(api: Api) -> None:
    ana = await api.device()
    cost = 1 + MAX_WATCHED / WATCHED_PER_FRAME
    async with ana.online() as socket:
        for number in range(int(FRAME_BURST / cost) * 2):
            await socket.say("watch", user_ids=watched(MAX_WATCHED), ref=str(number))
        refused = await socket.error("rate_limited")
        assert int(refused["ref"]) >= FRAME_BURST // cost - 1
        assert 0 < refused["retry_after"] <= 1


async def test_a_flood_of_watches_leaves_the_socket_usable(api: Api) -> None:
    ana = await api.device()
    async with ana.online() as socket:
        for _ in range(FRAME_BURST // 4):
            await socket.say("watch", user_ids=watched(1))
        assert "error" not in {frame["op"] for frame in await socket.settled()}


async def export(device: Device) -> tuple[int, Any]:
    answer = await device.ask("GET", "/v1/me/export")
    return answer.status_code, answer.json()


async def test_an_export_holds_every_page(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    for number in range(60):
        await (ana, ben)[number % 2].post(chat_id, str(number))
    status, whole = await export(ana)
    assert status == 200
    [chat] = whole["chats"]
    assert [message["text"] for message in chat["messages"]] == [str(number) for number in range(60)]


async def test_a_user_has_one_export_at_a_time(own: Api) -> None:
    ana, _, chat_id = await own.friends()
    async with ana.online() as socket:
        for number in range(300):
            await socket.send("x" * 4000, str(number), chat_id=chat_id)
    async with own.http.stream("GET", "/v1/me/export", headers=ana.authorization) as reading:
        assert reading.status_code == 200
        status, problem = await export(ana)
        assert (status, problem["code"]) == (429, "rate_limited")
        assert (await ana.call("GET", "/v1/me"))["id"] == ana.user_id, "nothing else waits"
    async with asyncio.timeout(PATIENCE):
        while (await export(ana))[0] != 200:
            await asyncio.sleep(0.05)


async def test_what_cannot_be_a_token_is_not_looked_up(own: Api, running: Running) -> None:
    looked_up = 0
    shard = running.node.db.directory()
    find = shard.find

    async def count(*args: Any) -> Any:
        nonlocal looked_up
        looked_up += 1
        return await find(*args)

    shard.find = count  # type: ignore[method-assign,assignment]
    real, _ = new_token()
    for token in ("dlg_", "dlg_nobody", real[:-1], real + "x", real[:-1] + "é", "x" * 20_000):
        headers = [(b"Authorization", f"Bearer {token}".encode())]
        answer = await own.http.get("/v1/me", headers=headers)
        assert answer.status_code == 401
    assert looked_up == 0
    answer = await own.http.get("/v1/me", headers={"Authorization": f"Bearer {real}"})
    assert (answer.status_code, looked_up) == (401, 1)


async def test_signing_out_does_not_look_through_everybodys_sessions(own: Api, running: Running) -> None:
    sessions = running.node.sessions
    devices: Sequence[Device] = [await own.device() for _ in range(3)]
    for device in devices:
        await device.call("GET", "/v1/me")
    assert sessions.remembered == 3
    await devices[0].call("DELETE", "/v1/sessions/current")
    assert (await devices[0].ask("GET", "/v1/me")).status_code == 401
    assert sessions.remembered == 2


async def test_an_ack_of_many_chats_raises_its_marks_in_steps(own: Api, running: Running) -> None:
    ana, peers = await own.device(), 2 * MARKS_AT_ONCE + 10
    senders = [await own.device() for _ in range(peers)]
    for sender in senders:
        await sender.call("POST", "/v1/messages", {"to": ana.phone, "text": "hello", "client_id": "a"})
    waiting = most = 0
    append = running.node.db.append

    def count(operation: Operation, done: Done) -> None:
        nonlocal waiting, most
        waiting += isinstance(operation, Mark)
        most = max(most, waiting)

        def counted(outcome: Any) -> None:
            nonlocal waiting
            waiting -= 1
            done(outcome)

        append(operation, counted)

    running.node.db.append = count  # type: ignore[method-assign]
    async with ana.online(after=0) as socket:
        newest = socket.applied[-1]["seq"]
        await socket.say("ack", seq=newest)
        async with asyncio.timeout(PATIENCE):
            while running.node.receipts.noted_ack(_number(ana.user_id)) < newest:
                await asyncio.sleep(0.02)
    assert 0 < most <= MARKS_AT_ONCE
    receipts = [event for event in await senders[-1].log() if event["type"] == "receipt.updated"]
    assert len(receipts) == 1


def _number(user_id: str) -> int:
    return int(user_id.partition("_")[2], 16)


async def test_acks_of_one_user_look_at_each_event_once(own: Api, running: Running) -> None:
    ana, ben, chat_id = await own.friends()
    await ben.post(chat_id, "hello")
    newest = (await ana.log())[-1]["seq"]
    looked = 0
    shard = running.node.db.directory()
    read = shard.read

    async def count(function: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal looked
        looked += function.__name__ == "received"
        return await read(function, *args, **kwargs)

    shard.read = count  # type: ignore[method-assign,assignment]
    await asyncio.gather(*(ana.call("POST", "/v1/events/ack", {"seq": newest}) for _ in range(10)))
    assert looked == 1


async def test_a_trace_writes_down_no_more_than_its_own_chat(own: Api, running: Running) -> None:
    ana, ben, chat_id = await own.friends()
    other, _, other_chat = await own.friends()
    await other.post(other_chat, "elsewhere")
    message = await ana.post(chat_id, "here")
    traces = running.node.traces
    trace = await ana.call("GET", f"/v1/chats/{chat_id}/messages/{message['seq']}/trace")
    assert trace
    assert not traces.has_notes(_number(chat_id))
    assert ben.user_id != other.user_id


async def test_somebody_who_comes_and_goes_quickly_is_told_of_once_a_second(api: Api) -> None:
    ana, ben, _ = await api.friends()
    async with ana.online() as watcher:
        await watcher.say("watch", user_ids=[ben.user_id])
        await watcher.hear("presence")
        started = monotonic()
        for _ in range(10):
            async with ben.online():
                pass
        while (await watcher.hear("presence"))["online"] or monotonic() - started < 1:
            pass
        seconds = monotonic() - started
        changes = [frame for frame in watcher.heard if frame["op"] == "presence"][1:]
        assert len(changes) <= 2 + seconds
        assert changes[-1]["online"] is False


async def test_replays_of_one_user_take_turns(
    own: Api, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, ben, chat_id = await own.friends()
    async with ben.online() as socket:
        await socket.talk(map(str, range(250)), chat_id=chat_id)
    reading = most = 0
    shard = running.node.db.directory()
    read = shard.read

    async def count(function: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal reading, most
        if function is not feed.read_notices:
            return await read(function, *args, **kwargs)
        reading += 1
        most = max(most, reading)
        try:
            return await read(function, *args, **kwargs)
        finally:
            reading -= 1

    monkeypatch.setattr(running.node.db, "read", count)

    async def replay() -> int:
        async with ana.online(after=0) as socket:
            return len(socket.applied)

    assert len(set(await asyncio.gather(*(replay() for _ in range(5))))) == 1
    assert most == 1


async def test_replays_of_one_user_share_a_rate_and_others_do_not_wait(own: Api, running: Running) -> None:
    policy = RatePolicy(REPLAYED.name, 100 * 60, 60, burst=150)
    running.node.rates.buckets[REPLAYED.name] = Buckets(policy)
    ana, ben, chat_id = await own.friends()
    async with ben.online() as socket:
        await socket.talk(map(str, range(250)), chat_id=chat_id)
    started = monotonic()

    async def replay(device: Device) -> float:
        async with device.online(after=0) as socket:
            assert len(socket.applied) > 250
        return monotonic() - started

    async def stream() -> float:
        path = "/v1/events/stream?after=0"
        async with own.http.stream("GET", path, headers=ana.authorization) as answer:
            seen = 0
            async for line in answer.aiter_lines():
                seen += line.startswith("id: ")
                if seen > 250:
                    break
        return monotonic() - started

    *anas, bens = await asyncio.gather(replay(ana), replay(ana), stream(), replay(ben))
    most = 3 * 250 - policy.burst - 100  # what is read last may be counted after it was seen
    assert max(anas) >= most / 100
    assert bens < max(anas)


async def test_a_stream_does_not_read_a_page_for_each_event(
    own: Api, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, ben, chat_id = await own.friends()
    caller = await running.node.sessions.authenticate(ana.token)
    start = await running.node.services.events.latest(caller)
    pages = running.node.services.events.follow(caller, start, 100, PATIENCE)
    seqs: list[int] = []

    async def follow() -> int:
        count = 0
        async with aclosing(pages):
            async for page in pages:
                count += 1
                seqs.extend(item.seq for item in page.items)
                if len(seqs) >= 100:
                    break
        return count

    following = asyncio.create_task(follow())
    started = monotonic()
    async with ben.online() as socket:
        for number in range(100):
            await socket.send(str(number), chat_id=chat_id)
    counted = await following
    assert seqs == list(range(start.seq + 1, start.seq + 101))
    assert counted <= 3 + (monotonic() - started) / events.GATHER
