"""Receipts over the socket: an ack delivers, a read reads, and both sides learn of it."""

from __future__ import annotations

import pytest

from tests.support.client import Api, Device, Frame, Socket

pytestmark = pytest.mark.anyio


def receipt(chat_id: str, owner: Device, delivered: int, read: int) -> Frame:
    return {"chat_id": chat_id, "user_id": owner.user_id, "delivered": delivered, "read": read}


async def seq_of(socket: Socket, text: str) -> int:
    """Wait for a message; the seq of its event."""
    while True:
        event = await socket.hear("event", type="message.created")
        if event["data"]["text"] == text:
            seq: int = event["seq"]
            return seq


async def receipts_until_now(socket: Socket, chat_id: str) -> list[Frame]:
    """The receipts that nobody has claimed, once all is committed that was said before."""
    await socket.send("the end", chat_id=chat_id)
    await seq_of(socket, "the end")
    return [frame for frame in await socket.settled() if frame.get("type") == "receipt.updated"]


async def marks(device: Device, chat_id: str) -> tuple[int, int]:
    """The peer's marks, as this device's user sees them."""
    shown = (await device.chat(chat_id))["marks"]
    return shown["peer_delivered"], shown["peer_read"]


async def test_an_ack_delivers_and_the_sender_learns_of_it_at_once(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online(protocol=protocol) as sender, ben.online(protocol=protocol) as reader:
        await sender.talk(["one", "two", "three"], chat_id=chat_id)
        await reader.say("ack", seq=await seq_of(reader, "two"))
        assert await sender.event("receipt.updated") == receipt(chat_id, ben, 2, 0)
        assert await reader.event("receipt.updated") == receipt(chat_id, ben, 2, 0), "for the other devices"
        await reader.say("ack", seq=await seq_of(reader, "three"))
        assert await sender.event("receipt.updated") == receipt(chat_id, ben, 3, 0)
    page = await ana.call("GET", f"/v1/chats/{chat_id}/messages")
    assert [message["status"] for message in page["items"]] == ["delivered"] * 3


async def test_one_ack_delivers_in_every_chat_that_it_covers(api: Api) -> None:
    ana = await api.device()
    peers = [await api.device() for _ in range(5)]
    async with ana.online() as reader:
        for number, peer in enumerate(peers):
            async with peer.online() as sender:
                await sender.talk((f"{number}-{n}" for n in range(number + 1)), to=ana.phone)
        await reader.say("ack", seq=await seq_of(reader, "4-4"))
        for _ in peers:
            await reader.event("receipt.updated")
        for number, peer in enumerate(peers):
            chat = (await peer.call("GET", "/v1/chats"))["items"][0]
            assert chat["marks"]["peer_delivered"] == number + 1
            assert chat["marks"]["peer_read"] == 0


async def test_an_ack_covers_what_came_on_an_earlier_connection(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as sender:
        async with ben.online() as reader:
            await sender.talk(["one", "two"], chat_id=chat_id)
            position = await seq_of(reader, "two")
        async with ben.online(after=position) as reader:
            assert reader.applied == []
            await reader.say("ack", seq=position)
            assert await sender.event("receipt.updated") == receipt(chat_id, ben, 2, 0)


@pytest.mark.parametrize("again", [False, True], ids=["replayed", "earlier and replayed"])
async def test_acks_one_by_one_after_a_resume_deliver_one_by_one(api: Api, *, again: bool) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as sender:
        texts = [f"text {number}" for number in range(6)]
        await sender.talk(texts, chat_id=chat_id)
        if again:
            async with ben.online(after=0):
                """It got them all, and was cut before it could ack."""
        async with ben.online(after=0) as reader:
            for number, text in enumerate(texts):
                await reader.say("ack", seq=await seq_of(reader, text))
                assert await sender.event("receipt.updated") == receipt(chat_id, ben, number + 1, 0)


async def test_acks_of_old_and_of_new_events_deliver_step_by_step(api: Api) -> None:
    """Some came on the connection before and were never acked, some while the device was away, some just now."""
    ana, ben, chat_id = await api.friends()
    async with ana.online() as sender:
        async with ben.online() as reader:
            await sender.talk(["1", "2"], chat_id=chat_id)
            position = await seq_of(reader, "2")
        await sender.talk(["3", "4"], chat_id=chat_id)
        async with ben.online(after=position) as reader:
            await sender.talk(["5", "6"], chat_id=chat_id)
            seqs = [position - 1, position, *[await seq_of(reader, text) for text in "3456"]]
            for number, seq in enumerate(seqs):
                await reader.say("ack", seq=seq)
                assert await sender.event("receipt.updated") == receipt(chat_id, ben, number + 1, 0)


async def test_acks_that_follow_each_other_closely_after_a_resume_deliver_all(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as sender:
        await sender.talk((f"text {number}" for number in range(300)), chat_id=chat_id)
        async with ben.online(after=0) as reader:
            for event in reader.applied:
                await reader.say("ack", seq=event["seq"])
            while (await sender.event("receipt.updated"))["delivered"] < 300:
                pass
    assert await marks(ana, chat_id) == (300, 0)


async def test_a_client_that_rarely_acks_loses_none(api: Api) -> None:
    """More events than the server remembers for one connection."""
    ana, ben, chat_id = await api.friends()
    _, cid, other_chat = await api.friends()
    async with ben.online(after=0) as reader, ana.online() as sender:
        first = await api.device()
        async with first.online() as once:
            await once.send("only one", to=ben.phone)
        early = await seq_of(reader, "only one")
        await sender.talk((f"text {number}" for number in range(900)), chat_id=chat_id)
        last = await seq_of(reader, "text 899")
        middle = next(event["seq"] for event in reader.applied if event["data"].get("text") == "text 99")
        await reader.say("ack", seq=middle)
        assert (await sender.event("receipt.updated"))["delivered"] == 100
        assert middle > early
        assert (await first.call("GET", "/v1/chats"))["items"][0]["marks"]["peer_delivered"] == 1
        await reader.say("ack", seq=last - 1)
        assert (await sender.event("receipt.updated"))["delivered"] == 899
        await reader.say("ack", seq=last)
        assert (await sender.event("receipt.updated"))["delivered"] == 900
    assert (await cid.chat(other_chat))["last_seq"] == 0


async def test_an_ack_of_ones_own_messages_moves_nothing(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online(protocol=protocol) as sender, ben.online(protocol=protocol) as reader:
        await sender.send("mine", chat_id=chat_id)
        await sender.say("ack", seq=await seq_of(sender, "mine"))
        await seq_of(reader, "mine")
        assert await receipts_until_now(sender, chat_id) == []
        assert await reader.event("message.created")
        assert await reader.settled() == []
    assert (await ana.chat(chat_id))["marks"] == {
        "delivered": 0,
        "read": 0,
        "peer_delivered": 0,
        "peer_read": 0,
    }


async def test_acks_repeated_or_late_are_harmless(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as sender, ben.online() as reader:
        await sender.talk(["one", "two"], chat_id=chat_id)
        one, two = await seq_of(reader, "one"), await seq_of(reader, "two")
        await reader.say("ack", seq=two)
        await sender.event("receipt.updated")
        await reader.event("receipt.updated")
        for seq in (two, one, 0):
            await reader.say("ack", seq=seq)
        assert await receipts_until_now(reader, chat_id) == []


async def test_an_ack_beyond_what_was_sent_is_refused(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.online(protocol=protocol) as socket:
        newest = socket.heard[0]["latest"]
        await socket.say("ack", seq=newest + 1, ref="r")
        error = await socket.error("seq_out_of_range")
        assert error["errors"].keys() == {"seq"}
        assert error["ref"] == "r"
        await socket.say("ack", seq=newest)
        assert await socket.settled() == []


async def test_the_ack_of_any_device_delivers(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    tablet = await api.device(ben.phone)
    async with ana.online() as sender, ben.online() as phone, tablet.online() as other:
        await sender.send("hello", chat_id=chat_id)
        await seq_of(phone, "hello")
        await other.say("ack", seq=await seq_of(other, "hello"))
        assert await sender.event("receipt.updated") == receipt(chat_id, ben, 1, 0)
        assert await phone.event("receipt.updated") == receipt(chat_id, ben, 1, 0)


async def test_an_ack_over_http_and_one_over_the_socket_are_the_same(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as sender, ben.online() as reader:
        await sender.send("hello", chat_id=chat_id)
        seq = await seq_of(reader, "hello")
        await ben.call("POST", "/v1/events/ack", {"seq": seq})
        assert await sender.event("receipt.updated") == receipt(chat_id, ben, 1, 0)
        await reader.event("receipt.updated")
        await reader.say("ack", seq=seq)
        assert await receipts_until_now(reader, chat_id) == []


async def test_a_read_implies_delivered_and_counts_as_such(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online(protocol=protocol) as sender, ben.online(protocol=protocol) as reader:
        await sender.talk(["one", "two"], chat_id=chat_id)
        await reader.say("read", chat_id=chat_id, seq=2)
        assert await sender.event("receipt.updated") == receipt(chat_id, ben, 2, 2)
        assert await reader.event("receipt.updated") == receipt(chat_id, ben, 2, 2)
    assert (await ben.chat(chat_id))["unread"] == 0
    page = await ana.call("GET", f"/v1/chats/{chat_id}/messages")
    assert [message["status"] for message in page["items"]] == ["read", "read"]


async def test_a_read_beyond_the_last_message_is_refused(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    async with ben.online(protocol=protocol) as reader:
        await ana.post(chat_id, "one")
        await reader.say("read", chat_id=chat_id, seq=2, ref="r")
        assert (await reader.error("seq_out_of_range"))["ref"] == "r"


async def test_a_read_of_a_foreign_chat_is_not_found(api: Api) -> None:
    ana = await api.device()
    ben, _, chat_id = await api.friends()
    await ben.post(chat_id, "private")
    async with ana.online() as reader:
        await reader.say("read", chat_id=chat_id, seq=1, ref="r")
        assert (await reader.error("not_found"))["ref"] == "r"


async def test_reads_repeated_or_late_are_harmless(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as sender, ben.online() as reader:
        await sender.talk(["one", "two"], chat_id=chat_id)
        for seq in (2, 2, 1):
            await reader.say("read", chat_id=chat_id, seq=seq)
        await reader.event("receipt.updated")
        assert await receipts_until_now(reader, chat_id) == []
    assert await marks(ana, chat_id) == (2, 2)


async def test_private_read_receipts_show_delivery_but_not_reading(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    await ben.call("PATCH", "/v1/me", {"read_receipts": False})
    async with ana.online(protocol=protocol) as sender, ben.online(protocol=protocol) as reader:
        await sender.send("hello", chat_id=chat_id)
        await reader.say("read", chat_id=chat_id, seq=1)
        assert await sender.event("receipt.updated") == receipt(chat_id, ben, 1, 0)
        assert await reader.event("receipt.updated") == receipt(chat_id, ben, 1, 1), "one's own devices know"
    assert (await ben.chat(chat_id))["unread"] == 0
    assert await marks(ana, chat_id) == (1, 0)


async def test_a_chat_whose_peer_has_gone_can_still_be_read(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ben.online() as reader:
        await ana.post(chat_id, "farewell")
        seq = await seq_of(reader, "farewell")
        await ana.call("DELETE", "/v1/me")
        await reader.say("ack", seq=seq)
        assert await reader.event("receipt.updated") == receipt(chat_id, ben, 1, 0)
        await reader.say("read", chat_id=chat_id, seq=1)
        assert await reader.event("receipt.updated") == receipt(chat_id, ben, 1, 1)
        assert "error" not in reader.ops()
    assert (await ben.chat(chat_id))["unread"] == 0


async def test_integers_may_be_written_as_whole_numbers_with_a_point(api: Api, protocol: str) -> None:
    """JSON Schema, validation 6.1.1: a number without a fraction is an integer. Some libraries write such ones."""
    ana, ben, chat_id = await api.friends()
    async with ana.online(protocol=protocol) as sender, ben.online(protocol=protocol) as reader:
        await sender.talk(["one", "two", "three"], chat_id=chat_id)
        await reader.say("read", chat_id=chat_id, seq=1.0)
        assert await sender.event("receipt.updated") == receipt(chat_id, ben, 1, 1)
        await ben.call("PUT", f"/v1/chats/{chat_id}/read", {"seq": 2.0})
        assert await sender.event("receipt.updated") == receipt(chat_id, ben, 2, 2)
        await reader.say("read", chat_id=chat_id, seq=2.5)
        assert (await reader.error("invalid"))["errors"].keys() == {"seq"}
        assert (await ben.ask("PUT", f"/v1/chats/{chat_id}/read", {"seq": 2.5})).status_code == 422
        assert await marks(ana, chat_id) == (2, 2)


@pytest.mark.parametrize("written", ["3.0", "3e0", "0.3e1", "30E-1"])
async def test_integers_may_have_an_exponent(api: Api, written: str) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as sender:
        await sender.talk(["one", "two", "three"], chat_id=chat_id)
    body = f'{{"seq": {written}}}'
    headers = ben.authorization | {"Content-Type": "application/json"}
    answer = await api.http.put(f"/v1/chats/{chat_id}/read", content=body, headers=headers)
    assert answer.status_code == 204, answer.text
    assert await marks(ana, chat_id) == (3, 3)
