"""An attacker whom many know, with accounts to spare."""

from __future__ import annotations

import asyncio

from tests.hostile.target import Target
from tests.support.client import Api, Device, new_phone

PEERS = 900
"""Chats of the attacker's; a name is told to at most 1,000 peers."""
_SENDERS = 9
ACCOUNTS = 6
"""One for each time that an attack can be made on one server: in each of two rounds, of three tries."""
MESSAGES = 300
TEXT = "x" * 500


async def popular(api: Api, port: int) -> Target:
    """Somebody with many peers and a long log, who has some more accounts with long logs."""
    attacker, _, chat_id = await api.friends()
    await asyncio.gather(*(_write_to_many(attacker, PEERS // _SENDERS) for _ in range(_SENDERS)))
    accounts = await asyncio.gather(*(_talkative(api) for _ in range(ACCOUNTS)))
    return Target(port, attacker.token, chat_id, peers=await _peers(attacker), spare=list(accounts))


async def _write_to_many(device: Device, count: int) -> None:
    async with device.online() as socket:
        for number in range(count):
            await socket.say("send", to=new_phone(), text="Hello", client_id=f"hello-{number}")
        for _ in range(count):
            await socket.hear("sent")


async def _talkative(api: Api) -> str:
    """The token of somebody who has written much."""
    device, _, chat_id = await api.friends()
    async with device.online() as socket:
        for number in range(MESSAGES):
            await socket.say("send", chat_id=chat_id, text=TEXT, client_id=f"long-{number}")
        for _ in range(MESSAGES):
            await socket.hear("sent")
    return device.token


async def _peers(device: Device) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await device.call("GET", f"/v1/chats?limit=100{f'&cursor={cursor}' if cursor else ''}")
        found += [chat["peer"]["id"] for chat in page["items"]]
        cursor = page["next"]
        if cursor is None:
            return found
