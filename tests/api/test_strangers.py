"""Tests of the knowledge that two users have of each other, by their answers and their choices.

Vera has chosen something about strangers; Paul writes to her. Each route, frame and event is asked on both sides.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

from duologue.core.limits import UNANSWERED_MESSAGES
from duologue_lab.servers.postgres import Postgres
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, Frame, api_of

pytestmark = pytest.mark.anyio

NAME, WRITER = "Vera Secret", "Paul Secret"
CHOICES: dict[str, dict[str, Any]] = {
    "everyone": {},
    "requests": {"who_can_write": "requests"},
    "nobody": {"who_can_write": "nobody"},
    "undiscoverable": {"discoverable": False},
}
RELATIONS = ("stranger", "opened", "written", "accepted")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[DuologueServer]:
    folder = tmp_path_factory.mktemp("server")
    if request.param == "sqlite":
        with DuologueServer(folder) as server:
            yield server
        return
    with postgres.database() as url, DuologueServer(folder, "--database-url", url) as server:
        yield server


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(server.url) as api:
        yield api


def profiles(answer: Any, user_id: str) -> Iterator[Frame]:
    """Every profile of a user anywhere in an answer."""
    if isinstance(answer, dict):
        if answer.get("id") == user_id and "registered" in answer:
            yield answer
        answer = list(answer.values())
    if isinstance(answer, list):
        for item in answer:
            yield from profiles(item, user_id)


async def befriend(vera: Device, paul: Device, chat_id: str, relation: str) -> None:
    if relation == "opened":
        await vera.call("PUT", "/v1/chats", {"phone": paul.phone})
    elif relation == "written":
        await vera.post(chat_id, "answer")
    elif relation == "accepted":
        await vera.accept(chat_id)


async def everything(device: Device, chat_id: str, peer: Device, *, listed: bool = True) -> list[Any]:
    """All that a user can ask about a chat."""
    paths = [f"/v1/chats/{chat_id}", f"/v1/chats/{chat_id}/messages", "/v1/events", "/v1/me/export"]
    paths += [f"/v1/chats?folder={folder}" for folder in ("chats", "requests", "all")]
    answers = [await device.call("GET", path) for path in paths]
    async with device.online(after=0) as socket:
        await socket.say("watch", user_ids=[peer.user_id])
        answers.append(await socket.settled())
    if listed:
        answers.append(await device.call("PUT", "/v1/chats", {"phone": peer.phone}))
    return answers


@pytest.mark.parametrize(("choice", "relation"), list(itertools.product(CHOICES, RELATIONS)))
async def test_a_stranger_learns_nothing_before_an_answer(api: Api, choice: str, relation: str) -> None:
    vera, paul = await api.device(), await api.device()
    await vera.call("PATCH", "/v1/me", {"display_name": NAME, **CHOICES[choice]})
    chat_id = (await paul.call("PUT", "/v1/chats", {"phone": vera.phone}))["id"]
    first = await paul.post(chat_id, "first")
    await befriend(vera, paul, chat_id, relation)
    second = await paul.post(chat_id, "second")
    async with vera.online(after=0) as socket:
        await socket.say("ack", seq=len(socket.applied))
        await vera.call("PUT", f"/v1/chats/{chat_id}/read", {"seq": second["seq"]})
        async with paul.online() as listening:
            await socket.say("typing", chat_id=chat_id, active=True)
            await socket.settled()
            typed = [frame["op"] for frame in await listening.settled()]
        told = await everything(paul, chat_id, vera)
    answered = relation in {"written", "accepted"}
    seen = list(profiles(told, vera.user_id))
    assert seen
    assert ("typing" in typed) == answered
    assert (NAME in msgspec.json.encode(told).decode()) == answered
    assert {profile["registered"] for profile in seen[-1:]} == {answered}
    assert any(frame["op"] == "presence" for frame in told[-2]) == answered
    if not answered:
        assert not any(profile["registered"] or profile["display_name"] for profile in seen)

    shown = {"everyone": True, "requests": answered, "nobody": answered, "undiscoverable": answered}[choice]
    page = await paul.call("GET", f"/v1/chats/{chat_id}/messages")
    status = {message["text"]: message["status"] for message in page["items"]}
    assert status["second"] == ("read" if shown else "sent")
    assert status["first"] == ("read" if shown and choice != "nobody" else "sent")
    for message in (first, second):
        trace = await paul.call("GET", f"/v1/chats/{chat_id}/messages/{message['seq']}/trace")
        hops = {hop["hop"] for hop in trace["items"]}
        assert (hops <= {"accepted", "committed"}) == (status[message["text"]] == "sent")
    if not shown:
        marks = (await paul.chat(chat_id))["marks"]
        assert (marks["peer_delivered"], marks["peer_read"]) == (0, 0)
        receipts = [event["data"] for event in told[2]["items"] if event["type"] == "receipt.updated"]
        assert all(receipt["user_id"] == paul.user_id for receipt in receipts)
        again = await paul.ask(
            "POST", f"/v1/chats/{chat_id}/messages", {"text": "second", "client_id": "second"}
        )
        assert (again.status_code, again.json()["status"]) == (HTTPStatus.OK, "sent")


@pytest.mark.parametrize("relation", RELATIONS)
async def test_nobody_sees_anything_of_a_withheld_message(api: Api, relation: str) -> None:
    vera, paul = await api.device(), await api.device()
    await vera.call("PATCH", "/v1/me", {"who_can_write": "nobody"})
    await paul.call("PATCH", "/v1/me", {"display_name": WRITER})
    chat_id = (await paul.call("PUT", "/v1/chats", {"phone": vera.phone}))["id"]
    await paul.post(chat_id, "withheld words", "withheld-id")
    await befriend(vera, paul, chat_id, relation)
    await vera.call("PATCH", "/v1/me", {"who_can_write": "everyone"})
    told = await everything(vera, chat_id, paul, listed=False)
    words = msgspec.json.encode(told).decode()
    assert "withheld words" not in words
    assert "withheld-id" not in words
    chat, page, events, export, chats, _, everyone, _ = told
    assert page["items"][0]["withheld"] is True
    assert chat["unread"] == 0
    listed = [each["id"] for each in everyone["items"]]
    assert listed == [each["id"] for each in chats["items"]] == ([] if relation == "stranger" else [chat_id])
    created = [event["data"] for event in events["items"] if event["type"] == "message.created"]
    assert [message["text"] for message in created] == (["answer"] if relation == "written" else [])
    exported = [message["text"] for each in export["chats"] for message in each["messages"]]
    assert exported == (["answer"] if relation == "written" else [])
    assert (chat["last_message"] or {"text": ""})["text"] == ("answer" if relation == "written" else "")
    mine = await paul.call("GET", "/v1/me/export")
    assert mine["chats"][0]["messages"][0]["text"] == "withheld words"


async def test_a_chat_of_a_stranger_is_a_request_until_it_is_accepted(api: Api) -> None:
    vera, paul = await api.device(), await api.device()
    await vera.call("PATCH", "/v1/me", {"who_can_write": "requests"})
    chat_id = (await paul.call("PUT", "/v1/chats", {"phone": vera.phone}))["id"]
    await paul.post(chat_id, "hello")

    async def listed() -> dict[str, list[tuple[str, bool]]]:
        pages = {
            name: await vera.call("GET", f"/v1/chats?folder={name}") for name in ("chats", "requests", "all")
        }
        return {
            name: [(chat["id"], chat["request"]) for chat in page["items"]] for name, page in pages.items()
        }

    assert await listed() == {"chats": [], "requests": [(chat_id, True)], "all": [(chat_id, True)]}
    assert (await vera.chat(chat_id))["unread"] == 1
    for _ in range(2):
        assert (await vera.ask("PUT", f"/v1/chats/{chat_id}/accept")).status_code == HTTPStatus.NO_CONTENT
    assert await listed() == {"chats": [(chat_id, False)], "requests": [], "all": [(chat_id, False)]}
    news = [event["data"] for event in await vera.log() if event["type"] == "chat.updated"]
    assert [chat["request"] for chat in news] == [False] * len(news)
    assert len(news) == 2
    assert (
        await paul.ask("PUT", "/v1/chats/cht_0000000000000001/accept")
    ).status_code == HTTPStatus.NOT_FOUND


async def test_a_cursor_belongs_to_its_folder_and_user(api: Api) -> None:
    vera = await api.device()
    for _ in range(2):
        await vera.call("PUT", "/v1/chats", {"phone": (await api.device()).phone})
    page = await vera.call("GET", "/v1/chats?limit=1&folder=all")
    assert (await vera.ask("GET", f"/v1/chats?folder=all&cursor={page['next']}")).is_success
    refused = await vera.ask("GET", f"/v1/chats?cursor={page['next']}")
    assert refused.json()["code"] == "invalid_cursor"
    assert (await vera.ask("GET", "/v1/chats?folder=others")).json()["code"] == "invalid"
    another = await (await api.device()).ask("GET", f"/v1/chats?folder=all&cursor={page['next']}")
    assert another.json()["code"] == "invalid_cursor"


async def test_so_many_messages_may_wait_for_an_answer(api: Api) -> None:
    paul, vera, chat_id = await api.strangers()
    async with paul.online() as socket:
        for number in range(UNANSWERED_MESSAGES + 2):
            await socket.say("send", chat_id=chat_id, text=f"{number}", client_id=f"{number}")
        for _ in range(2):
            error = await socket.error("rate_limited")
            assert error["retry_after"] == 3600
        sent = [frame["message"]["text"] for frame in socket.heard if frame["op"] == "sent"]
        assert sent == [f"{number}" for number in range(UNANSWERED_MESSAGES)]
        again = await paul.ask("POST", f"/v1/chats/{chat_id}/messages", {"text": "0", "client_id": "0"})
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (HTTPStatus.OK, "true")
        refused = await paul.ask(
            "POST", f"/v1/chats/{chat_id}/messages", {"text": "more", "client_id": "more"}
        )
        assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
        assert refused.headers["Retry-After"] == "3600"
        assert '"unanswered-messages";q=20' in refused.headers["RateLimit-Policy"]
        await vera.post(chat_id, "answer")
        await socket.send("more", chat_id=chat_id)
    limits = (await paul.call("GET", "/v1/server"))["limits"]
    assert limits["unanswered_messages"] == UNANSWERED_MESSAGES


async def test_messages_stay_in_order_when_a_chat_is_answered_meanwhile(api: Api) -> None:
    paul, vera, chat_id = await api.strangers()
    async with paul.online() as socket:
        await socket.send("first", chat_id=chat_id)
        texts = [f"{number}" for number in range(100)]
        answering = asyncio.create_task(vera.post(chat_id, "answer"))
        sent = [await socket.talk(texts[:10], chat_id=chat_id)]
        await answering
        sent.append(await socket.talk(texts[10:], chat_id=chat_id))
    messages = list(itertools.chain(*sent))
    assert [message["text"] for message in sorted(messages, key=lambda message: message["seq"])] == texts


async def test_who_lets_nobody_see_is_offline_to_those_who_watched(api: Api) -> None:
    paul, vera, _ = await api.friends()
    async with paul.online() as socket, vera.online():
        await socket.say("watch", user_ids=[vera.user_id])
        await socket.hear("presence", user_id=vera.user_id, online=True)
        me = await vera.call("PATCH", "/v1/me", {"presence": "nobody"})
        assert me["presence"] == "nobody"
        await socket.hear("presence", user_id=vera.user_id, online=False, last_seen_at=None)
        async with vera.online():
            await socket.say("watch", user_ids=[vera.user_id])
            await socket.hear("presence", user_id=vera.user_id, online=False, last_seen_at=None)
        assert not [frame for frame in await socket.settled() if frame["op"] == "presence"]
        await vera.call("PATCH", "/v1/me", {"presence": "chats"})
        await socket.say("watch", user_ids=[vera.user_id])
        await socket.hear("presence", user_id=vera.user_id, online=True)


async def test_choices_are_told_and_wrong_ones_change_nothing(api: Api) -> None:
    vera = await api.device()
    before = await vera.call("GET", "/v1/me")
    assert (before["who_can_write"], before["presence"], before["discoverable"]) == (
        "everyone",
        "chats",
        True,
    )
    for wrong in ({"who_can_write": "all"}, {"presence": "offline"}, {"discoverable": "no"}):
        assert (await vera.ask("PATCH", "/v1/me", wrong)).json()["code"] == "invalid"
    assert await vera.call("GET", "/v1/me") == before
    chosen = {"who_can_write": "requests", "presence": "nobody", "discoverable": False}
    await vera.call("PATCH", "/v1/me", chosen)
    after = await vera.call("GET", "/v1/me")
    assert after == before | chosen


async def test_the_operator_presets_what_nobody_chose(tmp_path_factory: pytest.TempPathFactory) -> None:
    flags = ("--who-can-write", "nobody", "--presence", "nobody", "--no-discoverable")
    with DuologueServer(tmp_path_factory.mktemp("preset"), *flags) as server:
        async with api_of(server.url) as api:
            vera, paul = await api.device(), await api.device()
            me = await vera.call("GET", "/v1/me")
            assert (me["who_can_write"], me["presence"], me["discoverable"]) == ("nobody", "nobody", False)
            chat_id = (await paul.call("PUT", "/v1/chats", {"phone": vera.phone}))["id"]
            await paul.post(chat_id, "hello")
            assert (await vera.call("GET", "/v1/chats"))["items"] == []
