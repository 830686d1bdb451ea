"""The relay over HTTP: from one person's app to another's phone and back, with the simulated network between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, Api, Device, api_of
from tests.support.sign_in import SmsApi, problem

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    with DuologueServer(tmp_path_factory.mktemp("server"), "--relay-delay", "1") as server:
        yield server


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(server.url) as api:
        yield api


async def texts(api: Api, phone: str, after: int = 0) -> list[dict[str, Any]]:
    """Return a handset's next SMS, once there is one."""
    return await SmsApi(api.http).texts(phone, after, wait=PATIENCE)


async def type_in(api: Api, phone: str, to: str, text: str) -> None:
    """A handset sends an SMS."""
    answer = await api.http.post(f"/v1/sim/phones/{phone}/messages", json={"to": to, "text": text})
    assert answer.status_code == 201, answer.text


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await true():
            await asyncio.sleep(0.02)


async def trace(device: Device, chat_id: str, seq: int) -> list[dict[str, Any]]:
    answer = await device.call("GET", f"/v1/chats/{chat_id}/messages/{seq}/trace")
    items: list[dict[str, Any]] = answer["items"]
    return items


async def hops(device: Device, chat_id: str, seq: int) -> list[str]:
    return [item["hop"] for item in await trace(device, chat_id, seq)]


async def test_an_offline_recipient_gets_an_sms_and_the_sender_sees_it_delivered(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as socket:
        message = await ana.post(chat_id, "Are you at the station?")
        assert message["status"] == "sent"
        [sms] = await texts(api, ben.phone)
        assert sms["text"].startswith(f"{ana.phone}: Are you at the station?\n")
        mark = await socket.event("receipt.updated")
        assert (mark["user_id"], mark["delivered"], mark["read"]) == (ben.user_id, 1, 0)
    page = await ana.call("GET", f"/v1/chats/{chat_id}/messages")
    assert page["items"][0]["status"] == "delivered"
    steps = await trace(ana, chat_id, 1)
    assert [step["hop"] for step in steps[:3]] == ["accepted", "committed", "sms_due"]
    assert {(step["hop"], step["detail"]) for step in steps[3:]} == {
        ("sms_sent", "simulator, 1 part"),
        ("sms_receipt", "sent part 1"),
        ("sms_receipt", "delivered part 1"),
    }
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    assert steps[2]["at"] >= message["sent_at"]


async def test_an_online_recipient_gets_none(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    clara = await api.device()
    async with ben.online() as socket:
        await ana.post(chat_id, "Are you there?")
        event = await socket.hear("event", type="message.created")
        await socket.say("ack", seq=event["seq"])
        await ana.call("POST", "/v1/messages", {"to": clara.phone, "text": "and you?", "client_id": "1"})
        await texts(api, clara.phone)
    assert await SmsApi(api.http).texts(ben.phone) == []
    assert await hops(ana, chat_id, 1) == ["accepted", "committed", "pushed", "acknowledged"]


async def test_a_device_that_is_connected_and_does_not_ack_is_no_device(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ben.online() as socket:
        await ana.post(chat_id, "Are you there?")
        await socket.event("message.created")
        assert len(await texts(api, ben.phone)) == 1
    assert "pushed" in await hops(ana, chat_id, 1)


async def test_a_reply_lands_in_the_chat_and_live_on_the_senders_socket(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as socket:
        await ana.post(chat_id, "Are you at the station?")
        [sms] = await texts(api, ben.phone)
        await type_in(api, ben.phone, sms["from"], "Two minutes 🚉")
        await socket.event("message.created")
        reply = await socket.event("message.created")
    assert (reply["chat_id"], reply["sender_id"], reply["seq"]) == (chat_id, ben.user_id, 2)
    assert (reply["text"], reply["via"]) == ("Two minutes 🚉", "sms")
    page = await ben.call("GET", f"/v1/chats/{chat_id}/messages")
    assert [item["via"] for item in page["items"]] == ["app", "sms"]


async def test_a_long_reply_in_many_parts_that_come_mixed_up_and_twice_is_one_message(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as socket:
        await ana.post(chat_id, "Tell me all")
        [sms] = await texts(api, ben.phone)
        how = {"duplicate": 1, "reorder": 1}
        assert (await api.http.put(f"/v1/sim/phones/{ben.phone}", json=how)).is_success
        story = "".join(f"{number} " for number in range(300))
        await type_in(api, ben.phone, sms["from"], story)
        await socket.event("message.created")
        reply = await socket.event("message.created")
        assert reply["text"] == story
        await type_in(api, ben.phone, sms["from"], "the end")
        assert (await socket.event("message.created"))["text"] == "the end"


async def test_several_senders_have_numbers_of_their_own_on_one_phone(api: Api) -> None:
    ben = await api.device()
    senders = [await api.device() for _ in range(3)]
    for sender in senders:
        await sender.call("POST", "/v1/messages", {"to": ben.phone, "text": sender.phone, "client_id": "1"})
    got: list[dict[str, Any]] = []
    while len(got) < 3:
        got += await texts(api, ben.phone, int(got[-1]["id"]) if got else 0)
    assert len({sms["from"] for sms in got}) == 3
    for sms in got:
        await type_in(api, ben.phone, sms["from"], f"to {sms['text'].partition(':')[0]}")
    for sender in senders:

        async def answered(sender: Device = sender) -> bool:
            [chat] = (await sender.call("GET", "/v1/chats"))["items"]
            return bool(chat["last_message"]["text"] == f"to {sender.phone}")

        await until(answered)


async def test_stop_stops_it_and_start_starts_it_again(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ana.post(chat_id, "one")
    [first] = await texts(api, ben.phone)
    await type_in(api, ben.phone, first["from"], "STOP")
    [told] = await texts(api, ben.phone, 1)
    assert told["from"] == first["from"]
    await ana.post(chat_id, "two")

    async def cancelled() -> bool:
        return "sms_cancelled" in await hops(ana, chat_id, 2)

    await until(cancelled)
    assert (await trace(ana, chat_id, 2))[-1]["detail"] == "opted_out"
    await type_in(api, ben.phone, first["from"], "START")
    assert len(await texts(api, ben.phone, 2)) == 1
    await ana.post(chat_id, "three")
    [third] = await texts(api, ben.phone, 3)
    assert third["text"] == "three"
    page = await ana.call("GET", f"/v1/chats/{chat_id}/messages")
    assert [item["text"] for item in page["items"]] == ["one", "two", "three"], "the words are no messages"


async def test_a_handset_out_of_reach_is_sent_and_not_delivered_until_it_is_back(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    path = f"/v1/sim/phones/{ben.phone}"
    assert (await api.http.put(path, json={"reachable": False})).is_success
    await ana.post(chat_id, "Are you there?")

    async def was_sent() -> bool:
        return "sms_sent" in await hops(ana, chat_id, 1)

    await until(was_sent)
    assert (await ana.chat(chat_id))["marks"]["peer_delivered"] == 0
    assert (await api.http.put(path, json={"reachable": True})).is_success

    async def delivered() -> bool:
        return bool((await ana.chat(chat_id))["marks"]["peer_delivered"] == 1)

    await until(delivered)


async def test_receipts_that_come_twice_and_mixed_up_mark_it_once(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    how = {"duplicate": 1, "reorder": 1}
    assert (await api.http.put(f"/v1/sim/phones/{ben.phone}", json=how)).is_success
    async with ana.online() as socket:
        await ana.post(chat_id, "x" * 500, "1")
        assert (await socket.event("receipt.updated"))["delivered"] == 1
        await ana.post(chat_id, "y")
        assert (await socket.event("receipt.updated"))["delivered"] == 2


async def test_a_number_that_nobody_signed_in_with_is_left_alone(api: Api) -> None:
    ana, stranger = await api.device(), "+33699999999"
    ben = await api.device()
    for phone in (stranger, ben.phone):
        await ana.call("POST", "/v1/messages", {"to": phone, "text": "hi", "client_id": phone})
    await texts(api, ben.phone)
    assert await SmsApi(api.http).texts(stranger) == []


@pytest.mark.parametrize("choice", ["off", "offline", "always"])
async def test_one_chooses_for_oneself(api: Api, choice: str) -> None:
    ben = await api.device()
    assert (await ben.call("GET", "/v1/me"))["sms_relay"] == "offline", "the server's default"
    changed = await ben.call("PATCH", "/v1/me", {"sms_relay": choice})
    assert changed["sms_relay"] == choice
    assert (await ben.call("GET", "/v1/me"))["sms_relay"] == choice
    assert (await ben.call("PATCH", "/v1/me", {"display_name": "Ben"}))["sms_relay"] == choice


@pytest.mark.parametrize("choice", ["on", "OFF", "", None, 1, True, ["off"]])
async def test_any_other_choice_is_refused(api: Api, choice: Any) -> None:
    ben = await api.device()
    answer = await ben.ask("PATCH", "/v1/me", {"sms_relay": choice})
    assert problem(answer) == (422, "invalid")
    assert "sms_relay" in answer.json()["errors"]
    assert (await ben.call("GET", "/v1/me"))["sms_relay"] == "offline"


async def test_off_is_off_and_always_is_at_once(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    clara = await api.device()
    await ben.call("PATCH", "/v1/me", {"sms_relay": "off"})
    await clara.call("PATCH", "/v1/me", {"sms_relay": "always"})
    await ana.post(chat_id, "one")
    async with clara.online() as socket:
        await ana.call("POST", "/v1/messages", {"to": clara.phone, "text": "two", "client_id": "2"})
        event = await socket.hear("event", type="message.created")
        await socket.say("ack", seq=event["seq"])
        assert len(await texts(api, clara.phone)) == 1
    assert await SmsApi(api.http).texts(ben.phone) == []


async def test_what_one_chose_is_nobody_elses_business(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ben.call("PATCH", "/v1/me", {"sms_relay": "always"})
    assert "sms_relay" not in (await ana.chat(chat_id))["peer"]
    assert "sms_relay" not in str(
        [event for event in await ana.log() if event["data"].get("id") == ben.user_id]
    )


async def test_a_trace_is_the_senders_alone(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    stranger = await api.device()
    await ana.post(chat_id, "hi")
    path = f"/v1/chats/{chat_id}/messages/1/trace"
    assert problem(await ben.ask("GET", path)) == (403, "not_sender")
    assert problem(await stranger.ask("GET", path)) == (404, "not_found")
    assert problem(await api.http.get(path)) == (401, "not_signed_in")


@pytest.mark.parametrize("seq", ["2", "0", "-1", "x", "1.0", "٣", "9" * 30, "%00"])
async def test_a_message_that_is_not_there_has_no_trace(api: Api, seq: str) -> None:
    ana, _, chat_id = await api.friends()
    await ana.post(chat_id, "hi")
    answer = await ana.ask("GET", f"/v1/chats/{chat_id}/messages/{seq}/trace")
    assert problem(answer) == (404, "not_found")
    answer = await ana.ask("GET", f"/v1/chats/cht_0000000000000000/messages/{seq}/trace")
    assert problem(answer) == (404, "not_found")


async def test_a_trace_tells_nothing_of_the_text_or_the_devices(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    await ana.post(chat_id, "a secret")
    await texts(api, ben.phone)
    answer = await ana.ask("GET", f"/v1/chats/{chat_id}/messages/1/trace")
    for secret in ("secret", ben.phone, ben.session_id, "+1202555", "127.0.0.1"):
        assert secret not in answer.text
    assert set(answer.json()) == {"items"}
    assert {frozenset(item) for item in answer.json()["items"]} == {frozenset({"hop", "at", "detail"})}


async def test_the_server_says_what_it_offers(api: Api) -> None:
    info = (await api.http.get("/v1/server")).json()
    assert set(info["features"]) >= {"relay", "sms_replies", "traces"}


async def test_no_message_is_logged(api: Api, server: DuologueServer) -> None:
    ana, ben, chat_id = await api.friends()
    await ana.post(chat_id, "sesame-open")
    [sms] = await texts(api, ben.phone)
    await type_in(api, ben.phone, sms["from"], "sesame-shut")

    async def answered() -> bool:
        return bool((await ana.chat(chat_id))["last_seq"] == 2)

    await until(answered)
    for secret in ("sesame", ana.phone, ben.phone):
        assert secret not in server.log
