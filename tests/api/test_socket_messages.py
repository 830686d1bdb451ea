"""Sending over the socket: durable before it is confirmed, once for each `client_id`, in the client's order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.client import Api, new_phone

pytestmark = pytest.mark.anyio

GREETING = "¡Hola! 👋🏽 สวัสดี \u2028 \ud7ff"


async def test_a_message_to_a_phone_is_confirmed_and_reaches_the_peer(api: Api, protocol: str) -> None:
    ana, ben = await api.device(), await api.device()
    async with ana.online(protocol=protocol) as sender, ben.online(protocol=protocol) as reader:
        sent = await sender.send(GREETING, "c1", to=ben.phone, ref="r1")
        message = sent["message"]
        assert sent == {
            "op": "sent",
            "client_id": "c1",
            "message": message,
            "replayed": False,
            "ref": "r1",
        }
        assert message["seq"] == 1
        assert message["text"] == GREETING
        assert message["sender_id"] == ana.user_id
        assert message["client_id"] == "c1"
        assert message["status"] == "sent"
        assert await reader.event("message.created") == message
        assert await sender.event("message.created") == message, "to the sender's own devices too"
        assert (await reader.event("chat.updated"))["id"] == message["chat_id"]
        page = await ben.call("GET", f"/v1/chats/{message['chat_id']}/messages")
        assert page["items"] == [message]


async def test_a_message_to_a_chat_is_confirmed_and_reaches_the_peer(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online(protocol=protocol) as sender, ben.online(protocol=protocol) as reader:
        sent = await sender.send("hello", chat_id=chat_id)
        assert "ref" not in sent
        assert await reader.event("message.created") == sent["message"]


async def test_a_message_to_a_number_that_nobody_has_signed_in_with_waits_for_its_owner(api: Api) -> None:
    ana = await api.device()
    phone = new_phone()
    async with ana.online() as sender:
        sent = await sender.send("are you there?", to=phone)
    ben = await api.device(phone)
    async with ben.online(after=0) as reader:
        assert await reader.event("message.created") == sent["message"]


async def test_a_repeat_returns_the_first_outcome_with_the_present_status(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online(protocol=protocol) as sender, ben.online(protocol=protocol) as reader:
        first = (await sender.send("hello", "c1", chat_id=chat_id))["message"]
        for op, status in (("", "sent"), ("ack", "delivered"), ("read", "read")):
            if op == "ack":
                await reader.event("message.created")
                await reader.say("ack", seq=reader.applied[-1]["seq"])
                await sender.event("receipt.updated")
            elif op == "read":
                await reader.say("read", chat_id=chat_id, seq=1)
                await sender.event("receipt.updated")
            await sender.say("send", text="hello", client_id="c1", chat_id=chat_id, ref=status)
            again = await sender.hear("sent", ref=status)
            assert again["replayed"] is True
            assert again["message"] == {**first, "status": status}
    assert (await ana.chat(chat_id))["last_seq"] == 1


async def test_a_repeat_of_what_was_sent_over_http_or_by_phone_is_known(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    message = await ana.post(chat_id, "hello", "c1")
    async with ana.online() as sender:
        again = await sender.send("hello", "c1", to=ben.phone)
        assert again["replayed"] is True
        assert again["message"] == message


async def test_a_client_id_cannot_name_another_message(api: Api, protocol: str) -> None:
    ana, _, chat_id = await api.friends()
    async with ana.online(protocol=protocol) as sender:
        await sender.send("hello", "c1", chat_id=chat_id)
        await sender.say("send", text="other", client_id="c1", chat_id=chat_id, ref="r")
        error = await sender.error("client_id_reused")
        assert (error["client_id"], error["ref"]) == ("c1", "r")
    assert (await ana.chat(chat_id))["last_seq"] == 1


async def test_repeats_in_flight_are_each_confirmed_and_stored_once(api: Api) -> None:
    """A client that lost patience sends again before the first is answered."""
    ana, _, chat_id = await api.friends()
    async with ana.online() as sender:
        count = 300
        for number in range(count):
            await sender.say("send", text="hello", client_id="c1", chat_id=chat_id, ref=str(number))
        answers = [await sender.hear("sent") for _ in range(count)]
    assert {answer["ref"] for answer in answers} == {str(number) for number in range(count)}
    assert [answer["replayed"] for answer in answers].count(False) == 1
    assert {answer["message"]["seq"] for answer in answers} == {1}


async def test_a_reply_names_the_message_that_it_answers(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    await ben.post(chat_id, "a question")
    async with ana.online(protocol=protocol) as sender:
        sent = await sender.send("an answer", chat_id=chat_id, reply_to=1)
        assert sent["message"]["reply_to"] == 1
        await sender.say("send", text="b", client_id="b", to=ben.phone, reply_to=3)
        assert "reply_to" in (await sender.error("seq_out_of_range"))["errors"]


async def test_a_message_to_oneself_is_refused(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.online(protocol=protocol) as sender:
        await sender.say("send", text="me", client_id="c", to=ana.phone)
        assert (await sender.error("self_chat"))["client_id"] == "c"


@pytest.mark.parametrize(
    "phone", ["0612345678", "+33", "0033612345678", "+999123456789", "+33 6 12", "usr_1"]
)
async def test_what_is_no_phone_number_is_refused_with_a_hint(api: Api, phone: str) -> None:
    ana = await api.device()
    async with ana.online() as sender:
        await sender.say("send", text="a", client_id="c", to=phone)
        error = await sender.error("invalid_phone")
        assert error["errors"].keys() == {"to"}
        assert error["detail"]


@pytest.mark.parametrize("chat_id", ["cht_0000000000000000", "cht_1", "", "usr_0000000000000001", "theirs"])
async def test_a_chat_that_is_not_ones_own_is_not_found(api: Api, chat_id: str) -> None:
    ana = await api.device()
    ben, _, theirs = await api.friends()
    async with ana.online() as sender, ben.online() as peer:
        await peer.send("known to the server", chat_id=theirs)
        await sender.say("send", text="a", client_id="c", chat_id=theirs if chat_id == "theirs" else chat_id)
        assert (await sender.error("not_found"))["client_id"] == "c"
    assert (await ben.chat(theirs))["last_seq"] == 1


async def test_a_peer_who_deleted_the_account_cannot_be_written_to(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online(protocol=protocol) as sender:
        await sender.send("hello", chat_id=chat_id)
        await ben.call("DELETE", "/v1/me")
        await sender.say("send", text="gone?", client_id="c2", chat_id=chat_id)
        assert (await sender.error("peer_gone"))["client_id"] == "c2"


async def test_pipelined_messages_keep_their_order_on_the_slow_and_the_fast_path(
    api: Api, protocol: str
) -> None:
    """By phone and as a reply the server must look something up first, by chat it need not."""
    ana, ben, chat_id = await api.friends()
    await ben.post(chat_id, "to be answered")
    ways: list[dict[str, Any]] = [
        {"to": ben.phone},
        {"chat_id": chat_id},
        {"chat_id": chat_id, "reply_to": 1},
        {"chat_id": chat_id},
    ]
    texts = [f"message {number}" for number in range(400)]
    async with ana.online(protocol=protocol) as sender, ben.online(protocol=protocol) as reader:
        for number, text in enumerate(texts):
            await sender.say("send", text=text, client_id=text, **ways[number % len(ways)])
        sent = [await sender.hear("sent") for _ in texts]
        assert [answer["client_id"] for answer in sent] == texts
        assert [answer["message"]["seq"] for answer in sent] == list(range(2, 402))
        assert [(await reader.event("message.created"))["text"] for _ in texts] == texts


async def test_frames_behind_one_that_waits_are_answered_in_their_order(api: Api) -> None:
    ana, ben = await api.device(), await api.device()
    async with ana.online() as sender:
        await sender.say("send", text="first", client_id="1", to=ben.phone)
        await sender.say("send", text="refused", client_id="2", to="nobody")
        await sender.say("ping", ref="3")
        await sender.hear("pong", ref="3")
        assert [op for op in sender.ops() if op in {"error", "pong"}] == ["error", "pong"]


async def test_more_than_may_be_in_flight_is_taken_as_fast_as_it_is_committed(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    limits = (await ana.call("GET", "/v1/server"))["limits"]
    texts = [f"message {number}" for number in range(limits["socket_sends_in_flight"] * 6)]
    async with ana.online() as sender, ben.online() as reader:
        messages = await sender.talk(texts, chat_id=chat_id)
        assert [message["text"] for message in messages] == texts
        await reader.until(reader.heard[0]["latest"] + len(texts))
        assert [event["data"]["text"] for event in reader.applied] == texts


async def test_both_sides_see_one_order_while_both_write_at_full_speed(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online(after=0) as one, ben.online(after=0) as other:
        await asyncio.gather(
            one.talk((f"ana {number}" for number in range(400)), chat_id=chat_id),
            other.talk((f"ben {number}" for number in range(400)), chat_id=chat_id),
        )
        seen = []
        for device, socket in ((ana, one), (ben, other)):
            await socket.until(len(await device.log()))
            created = [event["data"] for event in socket.applied if event["type"] == "message.created"]
            assert [message["seq"] for message in created] == list(range(1, 801))
            seen.append(created)
        assert seen[0] == seen[1]
