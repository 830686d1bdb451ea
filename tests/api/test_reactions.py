"""Reactions over HTTP, and what both sides' devices hear of them."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

import httpx
import pytest

from tests.support.client import Api, Device

pytestmark = pytest.mark.anyio


async def react(
    device: Device, chat_id: str, emoji: str, method: str = "PUT", seq: int = 1
) -> httpx.Response:
    return await device.ask(method, f"/v1/chats/{chat_id}/messages/{seq}/reactions/{quote(emoji)}")


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_reactions_are_listed_with_their_people_on_every_device(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ana.post(chat_id, "Done!")
    async with ana.online() as own, ben.online() as theirs:
        for who, emoji in ((ben, "🎉"), (ana, "👩‍👩‍👧‍👦"), (ana, "🎉"), (ana, "🎉")):
            assert (await react(who, chat_id, emoji)).status_code == HTTPStatus.NO_CONTENT
        told = [[await socket.event("message.updated") for _ in range(3)] for socket in (own, theirs)]
    assert told[0] == told[1]
    expected = [
        {"emoji": "🎉", "user_ids": [ben.user_id, ana.user_id]},
        {"emoji": "👩‍👩‍👧‍👦", "user_ids": [ana.user_id]},
    ]
    assert told[0][-1]["reactions"] == expected
    assert (await ben.chat(chat_id))["last_message"]["reactions"] == expected
    page = await ana.call("GET", f"/v1/chats/{chat_id}/messages")
    assert page["items"][0]["reactions"] == expected
    for _ in range(2):
        assert (await react(ben, chat_id, "🎉", "DELETE")).status_code == HTTPStatus.NO_CONTENT
    updates = [event["data"] for event in await ana.log() if event["type"] == "message.updated"]
    assert len(updates) == 4
    assert [each["user_ids"] for each in updates[-1]["reactions"]] == [[ana.user_id], [ana.user_id]]


async def test_what_may_not_be_is_refused_by_its_name(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    eve = await api.device()
    await ana.post(chat_id, "text")
    for text in ("a", "👍👍", "👍 ", "%2F"):
        assert code(await react(ben, chat_id, text)) == (422, "invalid")
    for emoji in "👍🎉🚉":
        await react(ben, chat_id, emoji)
    assert code(await react(ben, chat_id, "🙏")) == (HTTPStatus.CONFLICT, "too_many_reactions")
    assert code(await react(ben, chat_id, "🙏", seq=2)) == (HTTPStatus.NOT_FOUND, "not_found")
    assert code(await react(eve, chat_id, "🙏")) == (HTTPStatus.NOT_FOUND, "not_found")
    await ana.call("DELETE", f"/v1/chats/{chat_id}/messages/1")
    assert code(await react(ben, chat_id, "🙏")) == (HTTPStatus.CONFLICT, "message_deleted")


async def test_a_storm_of_reactions_meets_its_own_limit_and_leaves_sends_alone(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ana.post(chat_id, "text")
    answers = [await react(ben, chat_id, "👍", "DELETE" if turn % 2 else "PUT") for turn in range(80)]
    refused = [answer for answer in answers if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS]
    assert 0 < len(refused) <= 20
    assert "react" in refused[0].headers["RateLimit-Policy"]
    await ben.post(chat_id, "still here")
    updates = [event for event in await ana.log() if event["type"] == "message.updated"]
    # To take back what was refused changes nothing, and is not told.
    assert len(updates) <= len(answers) - len(refused)
