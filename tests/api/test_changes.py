"""Editing and deleting messages over HTTP, and what both sides' devices hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from duologue_lab.servers.postgres import Postgres
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, Frame

pytestmark = pytest.mark.anyio


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


def path(chat_id: str, seq: int = 1) -> str:
    return f"/v1/chats/{chat_id}/messages/{seq}"


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def newest(device: Device, chat_id: str) -> Frame:
    page = await device.call("GET", f"/v1/chats/{chat_id}/messages?limit=1")
    message: Frame = page["items"][0]
    return message


async def test_an_edit_reaches_every_device_page_list_and_export(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    sent = await ana.post(chat_id, "frist")
    before = await ben.chat(chat_id)
    async with ana.online() as own, ben.online() as theirs:
        edited = await ana.call("PATCH", path(chat_id), {"text": "first"})
        told = [await own.event("message.updated"), await theirs.event("message.updated")]
    assert told == [edited, edited]
    assert edited == sent | {"text": "first", "edited_at": edited["edited_at"]}
    assert edited["edited_at"] >= sent["sent_at"]
    assert await newest(ben, chat_id) == edited
    after = await ben.chat(chat_id)
    assert after == before | {"last_message": edited}
    [exported] = [each for each in (await ben.call("GET", "/v1/me/export"))["chats"] if each["messages"]]
    assert exported["messages"] == [edited]
    assert [event["data"] for event in await ben.log() if event["type"].startswith("message.")] == [
        edited
    ] * 2


async def test_an_edit_shows_the_status_of_the_moment_to_who_asked(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ana.post(chat_id, "text")
    await ben.call("PUT", f"/v1/chats/{chat_id}/read", {"seq": 1})
    assert (await ana.call("PATCH", path(chat_id), {"text": "new"}))["status"] == "read"


async def test_a_deletion_leaves_a_place_without_words(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ana.post(chat_id, "secret words", "id")
    async with ben.online() as socket:
        assert await ana.call("DELETE", path(chat_id)) is None
        told = await socket.event("message.updated")
    assert (told["text"], told["deleted_at"] is None) == ("", False)
    assert await ana.call("DELETE", path(chat_id)) is None
    for device in (ana, ben):
        everything: list[Any] = [
            await device.log(),
            await device.chat(chat_id),
            await newest(device, chat_id),
        ]
        everything += [await device.call("GET", "/v1/me/export"), await device.call("GET", "/v1/chats")]
        assert "secret words" not in str(everything)
        assert len([event for event in everything[0] if event["type"] == "message.updated"]) == 1
    assert (await ben.chat(chat_id))["unread"] == 1
    answer = await ana.ask("PATCH", path(chat_id), {"text": "again"})
    assert code(answer) == (HTTPStatus.CONFLICT, "message_deleted")


async def test_a_repeated_send_of_a_changed_message_is_answered_with_it_on_every_way(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ana.post(chat_id, "as it was", "id")
    edited = await ana.call("PATCH", path(chat_id), {"text": "as it is"})
    body = {"text": "as it was", "client_id": "id"}
    again = await ana.ask("POST", f"/v1/chats/{chat_id}/messages", body)
    by_phone = await ana.ask("POST", "/v1/messages", body | {"to": ben.phone})
    for answer in (again, by_phone):
        assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (HTTPStatus.OK, "true")
        assert answer.json() == edited
    async with ana.online() as socket:
        sent = await socket.send("as it was", "id", chat_id=chat_id)
    assert (sent["replayed"], sent["message"]) == (True, edited)


async def test_only_ones_own_messages_of_ones_own_chats_are_changed(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    eve = await api.device()
    await ana.post(chat_id, "text")
    for method, body in (("PATCH", {"text": "mine"}), ("DELETE", None)):
        assert code(await ben.ask(method, path(chat_id), body)) == (HTTPStatus.FORBIDDEN, "not_sender")
        for stranger, where in ((eve, path(chat_id)), (ana, path(chat_id, 2)), (ana, path(chat_id) + "x")):
            assert code(await stranger.ask(method, where, body)) == (HTTPStatus.NOT_FOUND, "not_found")
    for text in ("", "\x00", "x" * 5_000, None):
        assert code(await ana.ask("PATCH", path(chat_id), {"text": text})) == (422, "invalid")


async def test_a_message_is_edited_within_the_published_window_only(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with DuologueServer(tmp_path_factory.mktemp("server"), "--edit-window-seconds", "0") as server:
        api = Api(server.url)
        async with api.http:
            ana, _, chat_id = await api.friends()
            await ana.post(chat_id, "text")
            limits = (await ana.call("GET", "/v1/server"))["limits"]
            assert limits["edit_window_seconds"] == 0
            answer = await ana.ask("PATCH", path(chat_id), {"text": "late"})
            assert code(answer) == (HTTPStatus.CONFLICT, "edit_window_over")
            assert (await ana.call("PATCH", path(chat_id), {"text": "text"}))["edited_at"] is None
            await ana.call("DELETE", path(chat_id))


async def test_the_recipient_of_a_withheld_message_learns_nothing_of_its_changes(api: Api) -> None:
    paul, vera, chat_id = await api.strangers()
    await vera.call("PATCH", "/v1/me", {"who_can_write": "nobody"})
    await paul.post(chat_id, "withheld words")
    await vera.call("PATCH", "/v1/me", {"who_can_write": "everyone"})
    await vera.accept(chat_id)
    log = await vera.log()
    await paul.call("PATCH", path(chat_id), {"text": "other words"})
    place = await newest(vera, chat_id)
    assert (place["withheld"], place["text"], place["edited_at"]) == (True, "", None)
    for method, body in (("PATCH", {"text": "mine"}), ("DELETE", None)):
        assert code(await vera.ask(method, path(chat_id), body)) == (HTTPStatus.NOT_FOUND, "not_found")
    await paul.call("DELETE", path(chat_id))
    assert await newest(vera, chat_id) == place
    assert await vera.log() == log
