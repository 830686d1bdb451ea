"""Loops over HTTP: simulated phones whose autoresponders answer each other, and people whom that must not slow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, Api, api_of
from tests.support.sign_in import SmsApi

pytestmark = pytest.mark.anyio

WATCHED = 4.0
"""Seconds in which a loop without a guard would come to far more than ten texts."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path_factory.mktemp("server"), "--relay-delay", "0") as server:
        yield server


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(server.url) as api:
        yield api


async def answer_for_ever(api: Api, phone: str, got: list[str]) -> None:
    """An autoresponder: whatever the phone gets is answered at once, to where it came from."""
    after = 0
    while True:
        for sms in await SmsApi(api.http).texts(phone, after, wait=PATIENCE):
            after = int(sms["id"])
            got.append(sms["text"])
            answer = {"to": sms["from"], "text": f"I am on holiday ({len(got)})"}
            await api.http.post(f"/v1/sim/phones/{phone}/messages", json=answer)


@contextlib.asynccontextmanager
async def autoresponders(api: Api, *phones: str) -> AsyncIterator[list[str]]:
    got: list[str] = []
    tasks = [asyncio.create_task(answer_for_ever(api, phone, got)) for phone in phones]
    try:
        yield got
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until_there_are(got: list[str], count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(got) < count:
            await asyncio.sleep(0.01)


async def test_two_autoresponders_are_quiet_after_three_answers_and_the_trace_says_why(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with autoresponders(api, ana.phone, ben.phone) as got:
        await ana.post(chat_id, "hello")
        await until_there_are(got, 4)
        await asyncio.sleep(WATCHED)
        assert len(got) == 4, "the message, and three answers"
    [last] = (await ana.call("GET", f"/v1/chats/{chat_id}/messages"))["items"][-1:]
    sender = ana if last["sender_id"] == ana.user_id else ben
    trace = await sender.call("GET", f"/v1/chats/{chat_id}/messages/{last['seq']}/trace")
    assert ("sms_due", "too_many_answers") in [(step["hop"], step["detail"]) for step in trace["items"]]


async def test_a_person_in_the_app_talks_with_an_autoresponder_as_fast_as_ever(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as socket, autoresponders(api, ben.phone) as got:
        for number in range(12):
            await ana.post(chat_id, f"message {number}")
            await until_there_are(got, number + 1)
            event = await socket.hear("event", type="message.created")
            while event["data"]["via"] != "sms":
                event = await socket.hear("event", type="message.created")
            await socket.say("ack", seq=event["seq"])
