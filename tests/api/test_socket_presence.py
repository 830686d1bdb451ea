"""Typing and presence: told while they happen, to those who share a chat, and to nobody else."""

from __future__ import annotations

import re

import pytest

from tests.support.client import Api, Frame, Socket, new_phone

pytestmark = pytest.mark.anyio

TO_THE_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00\.000Z")


async def signals(socket: Socket) -> list[Frame]:
    """Return the frames about typing and presence that nobody has claimed yet."""
    return [frame for frame in await socket.settled() if frame["op"] in {"typing", "presence"}]


async def test_typing_reaches_every_device_of_the_peer_and_nobody_else(api: Api, protocol: str) -> None:
    ana, ben, chat_id = await api.friends()
    tablet, cid = await api.device(ben.phone), await api.device()
    await cid.call("PUT", "/v1/chats", {"phone": ana.phone})
    async with (
        ana.online(protocol=protocol) as writer,
        ana.online() as own,
        ben.online(protocol=protocol) as phone,
        tablet.online() as other,
        cid.online() as stranger,
    ):
        for active in (True, False):
            await writer.say("typing", chat_id=chat_id, active=active)
            told = {"op": "typing", "chat_id": chat_id, "user_id": ana.user_id, "active": active}
            assert await phone.hear("typing") == told
            assert await other.hear("typing") == told
        for socket in (writer, own, phone, other, stranger):
            assert await signals(socket) == []
    log = await ben.log()
    assert "typing" not in {event["type"] for event in log}, "it isn't stored"


async def test_typing_in_a_foreign_chat_is_not_found_and_reaches_nobody(api: Api, protocol: str) -> None:
    ana = await api.device()
    ben, cid, chat_id = await api.friends()
    async with ana.online(protocol=protocol) as eve, ben.online() as one, cid.online() as other:
        await one.send("the server knows this chat", chat_id=chat_id)
        for wrong in (chat_id, "cht_0000000000000001", "nonsense"):
            await eve.say("typing", chat_id=wrong, active=True, ref=wrong)
            assert (await eve.error("not_found"))["ref"] == wrong
        assert await signals(one) == await signals(other) == []


async def test_typing_to_somebody_who_is_not_connected_is_no_error(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    async with ana.online() as writer:
        await writer.say("typing", chat_id=chat_id, active=True)
        assert await writer.settled() == []
    async with ben.online(after=0) as reader:
        assert await signals(reader) == []


async def test_watching_tells_at_once_how_it_stands_and_then_what_changes(api: Api, protocol: str) -> None:
    ana, ben, _ = await api.friends()
    async with ana.online(protocol=protocol) as watcher:
        await watcher.say("watch", user_ids=[ben.user_id])
        first = await watcher.hear("presence")
        assert (first["user_id"], first["online"]) == (ben.user_id, False)
        assert TO_THE_MINUTE.fullmatch(first["last_seen_at"]), "when exactly is nobody's business"
        async with ben.online():
            assert (await watcher.hear("presence", user_id=ben.user_id))["online"] is True
        gone = await watcher.hear("presence", user_id=ben.user_id)
        assert gone["online"] is False
        assert TO_THE_MINUTE.fullmatch(gone["last_seen_at"])


async def test_watching_somebody_who_is_there_says_so(api: Api) -> None:
    ana, ben, _ = await api.friends()
    async with ana.online() as watcher, ben.online():
        await watcher.say("watch", user_ids=[ben.user_id])
        assert (await watcher.hear("presence"))["online"] is True


async def test_a_user_is_online_until_the_last_device_has_gone(api: Api) -> None:
    ana, ben, _ = await api.friends()
    tablet = await api.device(ben.phone)
    async with ana.online() as watcher:
        await watcher.say("watch", user_ids=[ben.user_id])
        await watcher.hear("presence")
        async with ben.online() as phone:
            assert (await watcher.hear("presence"))["online"] is True
            async with tablet.online() as other:
                await other.settled()
            await phone.settled()
            assert await signals(watcher) == []
        assert (await watcher.hear("presence"))["online"] is False


async def test_only_those_one_shares_a_chat_with_can_be_watched(api: Api) -> None:
    """No answer tells whether the others exist."""
    ana, ben, _ = await api.friends()
    stranger = await api.device()
    async with ana.online() as watcher, ben.online(), stranger.online():
        asked = [stranger.user_id, "usr_0000000000000001", "nonsense", ana.user_id, ben.user_id]
        await watcher.say("watch", user_ids=asked)
        assert (await watcher.hear("presence"))["user_id"] == ben.user_id
        assert await signals(watcher) == []
    async with ana.online() as watcher:
        await watcher.say("watch", user_ids=[stranger.user_id])
        async with stranger.online():
            pass
        assert await signals(watcher) == []


async def test_nothing_tells_a_stranger_from_a_number_without_an_account(api: Api) -> None:
    ana, ben = await api.device(), await api.device()
    chats = [await ana.call("PUT", "/v1/chats", {"phone": phone}) for phone in (ben.phone, new_phone())]
    async with ana.online() as watcher, ben.online():
        await watcher.say("watch", user_ids=[chat["peer"]["id"] for chat in chats])
        assert await signals(watcher) == []


async def test_a_watch_takes_the_place_of_the_one_before(api: Api, protocol: str) -> None:
    ana, ben, _ = await api.friends()
    cid = await api.device()
    theirs = await ana.call("PUT", "/v1/chats", {"phone": cid.phone})
    await cid.accept(theirs["id"])
    async with ana.online(protocol=protocol) as watcher:
        await watcher.say("watch", user_ids=[ben.user_id])
        await watcher.hear("presence", user_id=ben.user_id)
        await watcher.say("watch", user_ids=[cid.user_id])
        await watcher.hear("presence", user_id=cid.user_id)
        async with ben.online():
            pass
        async with cid.online():
            pass
        assert {frame["user_id"] for frame in await signals(watcher)} == {cid.user_id}
        await watcher.say("watch", user_ids=[])
        async with cid.online():
            pass
        assert [frame for frame in await signals(watcher) if frame["user_id"] == ben.user_id] == []


async def test_who_is_watched_twice_is_told_of_once(api: Api) -> None:
    ana, ben, _ = await api.friends()
    async with ana.online() as watcher:
        await watcher.say("watch", user_ids=[ben.user_id, ben.user_id])
        await watcher.hear("presence")
        async with ben.online():
            assert (await watcher.hear("presence"))["online"] is True
            assert await signals(watcher) == []
