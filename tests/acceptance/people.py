"""People who chat over bad networks with a server that keeps dying, and what must be true of it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from tests.support.client import Device, Frame, Socket, opened

RETRY = 0.05
RESEND = 3.0
"""Seconds of silence after which a client says again what was not answered."""
BROKEN = (OSError, WebSocketException, EOFError, TimeoutError)


class Person:
    """One person's device: what it must not forget is its outbox and how far it has applied its log.

    `pace` is how many messages a second it writes; one that writes none only listens and acks.
    """

    def __init__(self, device: Device, chat_id: str, dice: random.Random, pace: float) -> None:
        self.device = device
        self.chat_id = chat_id
        self.dice = dice
        self.pace = pace
        self.written: list[str] = []
        self.outbox: deque[str] = deque()
        self.acknowledged: dict[str, int] = {}
        self.log: list[Frame] = []
        self.newest = 0
        self.cuts = 0
        self.writing = pace > 0
        self.connections = 0
        self._connection: ClientConnection | None = None

    @property
    def applied(self) -> int:
        return len(self.log)

    async def live(self) -> None:
        """Connect, chat, lose the connection, and begin again."""
        while True:
            with contextlib.suppress(*BROKEN):
                async with opened(self.device.api.url, **self.device.authorization) as socket:
                    self._connection = socket.connection
                    await socket.hello(after=self.applied)
                    self.connections += 1
                    writer = asyncio.create_task(self._write(socket))
                    try:
                        await self._listen(socket)
                    finally:
                        writer.cancel()
            self._connection = None
            await asyncio.sleep(RETRY * self.dice.random())

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def cut(self) -> None:
        """The network goes, in the middle of whatever was said."""
        if self._connection:
            self.cuts += 1
            self._connection.transport.abort()
            self._connection = None

    async def _write(self, socket: Socket) -> None:
        """Say again what was not answered, in its order; then go on."""
        with contextlib.suppress(*BROKEN):
            for client_id in tuple(self.outbox):
                await self._send(socket, client_id)
            while True:
                if self.writing:
                    client_id = f"{self.device.user_id}-{len(self.written)}"
                    self.written.append(client_id)
                    self.outbox.append(client_id)
                    await self._send(socket, client_id)
                    if self.dice.random() < 0.1:
                        await self._send(socket, client_id)
                await asyncio.sleep(self.dice.expovariate(self.pace) if self.pace else 60)

    async def _send(self, socket: Socket, client_id: str) -> None:
        await socket.say("send", chat_id=self.chat_id, text=f"text of {client_id}", client_id=client_id)

    async def _listen(self, socket: Socket) -> None:
        while True:
            frame = await asyncio.wait_for(socket.next(), RESEND if self.outbox else 60)
            if frame["op"] == "event":
                await self._apply(socket, frame)
            elif frame["op"] == "sent":
                self._confirmed(frame)
            elif frame["op"] == "error":
                assert frame["code"] == "overloaded", frame

    async def _apply(self, socket: Socket, event: Frame) -> None:
        assert event["seq"] == self.applied + 1, f"{self.device.user_id} owed {self.applied + 1}, got {event}"
        self.log.append({name: event[name] for name in ("seq", "type", "at", "data")})
        if event["type"] == "message.created":
            self.newest = event["data"]["seq"]
        if self.dice.random() < 0.5:
            await socket.say("ack", seq=self.applied)
        if self.newest and self.dice.random() < 0.1:
            await socket.say("read", chat_id=self.chat_id, seq=self.dice.randint(1, self.newest))

    def _confirmed(self, frame: Frame) -> None:
        client_id, seq = frame["client_id"], frame["message"]["seq"]
        assert self.acknowledged.setdefault(client_id, seq) == seq, "acknowledged twice, as two messages"
        with contextlib.suppress(ValueError):
            self.outbox.remove(client_id)


async def messages_of(person: Person) -> list[Frame]:
    """The whole chat, paged."""
    items: list[Frame] = []
    more = True
    while more:
        path = f"/v1/chats/{person.chat_id}/messages?after={len(items)}&limit=200"
        page = await person.device.call("GET", path)
        items += page["items"]
        more = page["has_more_after"]
    return items


def fixed(log: list[Frame]) -> list[Frame]:
    """A log without what a later reading may show as it is by then: chats, users and sessions."""
    lasting = ("message.created", "receipt.updated")
    return [event if event["type"] in lasting else event | {"data": None} for event in log]


async def check_pair(one: Person, other: Person, *tablets: Person) -> None:
    """Rules for two people and their further devices, whatever was done to their server."""
    chat = await messages_of(one)
    seen_by_other = await messages_of(other)
    assert chat == seen_by_other, "the two sides see different chats"
    assert [message["seq"] for message in chat] == list(range(1, len(chat) + 1))
    for person in (one, other):
        mine = [message for message in chat if message["sender_id"] == person.device.user_id]
        assert [message["client_id"] for message in mine] == person.written, "lost, doubled or out of order"
        assert {message["client_id"]: message["seq"] for message in mine} == person.acknowledged
        assert all(message["text"] == f"text of {message['client_id']}" for message in mine)
    for person in (one, other, *tablets):
        assert [event["seq"] for event in person.log] == list(range(1, person.applied + 1))
        assert fixed(person.log) == fixed(await person.device.log()), "the log read live is not the log"
        peer = other if person.device.user_id == one.device.user_id else one
        check_marks(await person.device.chat(person.chat_id), person, peer, chat)


def check_marks(view: Frame, person: Person, peer: Person, chat: list[Frame]) -> None:
    """Folding the receipts of one's log gives the marks that the server has; unread is exact."""
    folded = {person.device.user_id: (0, 0), peer.device.user_id: (0, 0)}
    for event in person.log:
        if event["type"] == "receipt.updated":
            data = event["data"]
            before, after = folded[data["user_id"]], (data["delivered"], data["read"])
            assert before[0] <= after[0], "delivered fell"
            assert before[1] <= after[1], "read fell"
            assert before != after, "a receipt that says nothing new"
            folded[data["user_id"]] = after
    marks = view["marks"]
    assert (marks["delivered"], marks["read"]) == folded[person.device.user_id]
    assert (marks["peer_delivered"], marks["peer_read"]) == folded[peer.device.user_id]
    assert marks["read"] <= marks["delivered"] <= len(chat)
    unread = [m for m in chat if m["sender_id"] == peer.device.user_id and m["seq"] > marks["read"]]
    assert view["unread"] == len(unread)
    theirs = [message["seq"] for message in chat if message["sender_id"] == peer.device.user_id]
    assert marks["delivered"] >= max(theirs, default=0), "everything was acked, so everything is delivered"


async def settle(people: list[Person], lives: list[asyncio.Task[None]], patience: float) -> None:
    """Everybody stops writing; once nothing is unanswered and every log is read to its end, all is acked."""
    for person in people:
        person.writing = False
    async with asyncio.timeout(patience):
        await _until_quiet(people, lives)
        for person in people:
            await person.device.call("POST", "/v1/events/ack", {"seq": person.applied})
        await _until_quiet(people, lives)


async def _until_quiet(people: list[Person], lives: list[asyncio.Task[None]]) -> None:
    while not await _all_quiet(people, lives):
        await asyncio.sleep(RETRY)


async def _all_quiet(people: list[Person], lives: list[asyncio.Task[None]]) -> bool:
    """One look at everybody. Acks still move marks, so that one look may not be enough."""
    quiet = True
    for person, life in zip(people, lives, strict=True):
        while person.outbox or person.applied < await _newest_event(person):
            if life.done():
                life.result()
            quiet = False
            await asyncio.sleep(RETRY)
    return quiet


async def _newest_event(person: Person) -> int:
    with contextlib.suppress(httpx.HTTPError):
        page = await person.device.call("GET", f"/v1/events?after={person.applied}&limit=500")
        newest: int = page["next"]
        return newest
    return person.applied + 1
