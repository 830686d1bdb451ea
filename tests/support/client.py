"""A client of the wire contract for tests: people with a device, and that device's sockets."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

JSON, MSGPACK = "duologue.v1", "duologue.v1.msgpack"
PATIENCE = 30.0
"""Seconds after which something that should happen is taken not to happen."""

Frame = dict[str, Any]


@cache
def _no_tls() -> ssl.SSLContext:
    """Made once: httpx would load the certificates of the world for each client."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def new_phone() -> str:
    """A French mobile number that hardly any other test uses, of the ranges that operators have (not 639 and 69)."""
    return f"+336{random.choice('01245678')}{random.randrange(10**7):07d}"


class Api:
    """HTTP with a server, and new people on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.AsyncClient(base_url=url, verify=_no_tls(), trust_env=False, timeout=PATIENCE)

    async def device(self, phone: str | None = None) -> Device:
        """One more signed-in device: of a new person, or of whoever has that number."""
        body = {"phone": phone or new_phone()}
        answer = await self.http.post("/v1/sessions", json=body)
        assert answer.status_code == HTTPStatus.CREATED, answer.text
        new = answer.json()
        return Device(self, new["user"]["phone"], new["token"], new["user"]["id"], new["session"]["id"])

    async def strangers(self) -> tuple[Device, Device, str]:
        """Two people and the id of the chat that the first has opened; neither has answered the other."""
        one, other = await self.device(), await self.device()
        chat = await one.call("PUT", "/v1/chats", {"phone": other.phone})
        return one, other, chat["id"]

    async def friends(self) -> tuple[Device, Device, str]:
        """Two people and the id of their chat, which both have accepted."""
        one, other, chat_id = await self.strangers()
        await one.accept(chat_id)
        await other.accept(chat_id)
        return one, other, chat_id


@asynccontextmanager
async def api_of(url: str) -> AsyncIterator[Api]:
    """`Api` for as long as the context lasts."""
    api = Api(url)
    async with api.http:
        yield api


@dataclass(frozen=True)
class Device:
    """A signed-in device."""

    api: Api
    phone: str
    token: str
    user_id: str
    session_id: str

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Any answer."""
        if body is not None:
            options["json"] = body
        return await self.api.http.request(method, path, headers=self.authorization, **options)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The body of an answer that says that it worked."""
        answer = await self.ask(method, path, body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def post(self, chat_id: str, text: str, client_id: str | None = None) -> Frame:
        """A message, sent over HTTP."""
        body = {"text": text, "client_id": client_id or text}
        message: Frame = await self.call("POST", f"/v1/chats/{chat_id}/messages", body)
        return message

    async def accept(self, chat_id: str) -> None:
        """Accept a chat, so that the peer is no stranger."""
        await self.call("PUT", f"/v1/chats/{chat_id}/accept")

    async def chat(self, chat_id: str) -> Frame:
        chat: Frame = await self.call("GET", f"/v1/chats/{chat_id}")
        return chat

    async def log(self, after: int = 0) -> list[Frame]:
        """The user's whole log from a seq on."""
        events: list[Frame] = []
        more = True
        while more:
            page = await self.call("GET", f"/v1/events?after={after}&limit=500")
            events += page["items"]
            after, more = page["next"], page["has_more"]
        return events

    @asynccontextmanager
    async def knocking(self, protocol: str | None = JSON, **headers: str) -> AsyncIterator[Socket]:
        """An open socket that has not said hello."""
        async with opened(self.api.url, protocol, **headers) as socket:
            yield socket

    @asynccontextmanager
    async def online(self, after: int | None = None, protocol: str = JSON) -> AsyncIterator[Socket]:
        """A signed-in socket that has caught up."""
        async with self.knocking(protocol, **self.authorization) as socket:
            await socket.hello(after=after)
            await socket.hear("caught_up")
            yield socket


def opened(
    url: str, protocol: str | None = JSON, *, path: str = "/v1/socket", **headers: str
) -> AbstractAsyncContextManager[Socket]:
    """A socket fresh from its handshake. Raises what `websockets` raises when it is refused."""
    return opened_over(None, url, protocol, path, headers)


@asynccontextmanager
async def opened_over(
    sock: socket.socket | None, url: str, protocol: str | None, path: str, headers: Mapping[str, str]
) -> AsyncIterator[Socket]:
    """The same over a TCP connection that is there already."""
    async with connect(
        f"ws{url.removeprefix('http')}{path}",
        subprotocols=[Subprotocol(protocol)] if protocol else None,
        additional_headers=headers,
        compression=None,
        proxy=None,
        sock=sock,
        ping_interval=None,
        max_size=None,
        max_queue=None,
        open_timeout=PATIENCE,
        close_timeout=PATIENCE,
    ) as connection:
        yield Socket(connection)


class Socket:
    """One connection. It notes what comes, and sees to it that events come in order, without hole or repeat."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.binary = connection.subprotocol == MSGPACK
        self.heard: list[Frame] = []
        self.applied: list[Frame] = []
        self.unclaimed: list[Frame] = []
        self._position: int | None = None
        self.after: int | None = None

    async def say(self, op: str, **fields: Any) -> None:
        """Send a frame; fields that are None are left out."""
        frame = {"op": op} | {name: value for name, value in fields.items() if value is not None}
        await self.say_raw(frame)

    async def say_raw(self, frame: Any) -> None:
        """Send anything at all in this socket's subprotocol."""
        encoded = msgspec.msgpack.encode(frame) if self.binary else msgspec.json.encode(frame).decode()
        await self.connection.send(encoded)

    async def hello(
        self, *, after: int | None = None, at: str | None = None, token: str | None = None
    ) -> Frame:
        """Sign in; the `ready` frame."""
        self.after = after
        await self.say("hello", after=after, at=at, token=token)
        return await self.hear("ready")

    async def hear(self, op: str, **fields: Any) -> Frame:
        """The next frame of this kind, and with these fields, that nobody has claimed yet."""
        looked_at = 0
        async with asyncio.timeout(PATIENCE):
            while True:
                for index in range(looked_at, len(self.unclaimed)):
                    frame = self.unclaimed[index]
                    if frame["op"] == op and fields.items() <= frame.items():
                        return self.unclaimed.pop(index)
                looked_at = len(self.unclaimed)
                await self._next()

    async def event(self, kind: str) -> Any:
        """The data of the next event of this type."""
        frame = await self.hear("event", type=kind)
        return frame["data"]

    async def error(self, code: str) -> Frame:
        """The next error, which must have this code."""
        frame = await self.hear("error")
        assert frame["code"] == code, frame
        return frame

    async def send(self, text: str, client_id: str | None = None, **fields: Any) -> Frame:
        """A message, sent and confirmed."""
        client_id = client_id or text
        await self.say("send", text=text, client_id=client_id, **fields)
        return await self.hear("sent", client_id=client_id)

    async def talk(self, texts: Iterable[str], **to: str) -> list[Frame]:
        """Messages sent without waiting for each other, all confirmed; a text is its `client_id` too."""
        texts = list(texts)
        for text in texts:
            await self.say("send", text=text, client_id=text, **to)
        answers = [await self.hear("sent") for _ in texts]
        return [answer["message"] for answer in answers]

    async def settled(self) -> list[Frame]:
        """All that the server had to say up to now and that was not claimed: it handles frames in their order."""
        ref = f"settled-{random.getrandbits(64):x}"
        await self.say("ping", ref=ref)
        await self.hear("pong", ref=ref)
        return list(self.unclaimed)

    async def until(self, seq: int) -> None:
        """Read until the event with that seq has come."""
        async with asyncio.timeout(PATIENCE):
            while not self.applied or self.applied[-1]["seq"] < seq:
                await self._next()

    async def closing(self) -> tuple[int, str]:
        """Read to the end: the code and reason of the server's close frame; 1006 if there was none."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    await self._next()
            except ConnectionClosed as end:
                return (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")

    def ops(self) -> list[str]:
        """The kinds of frames that came, in order."""
        return [frame["op"] for frame in self.heard]

    async def next(self) -> Frame:
        """The next frame, whatever it is."""
        async with asyncio.timeout(PATIENCE):
            if not self.unclaimed:
                await self._next()
        return self.unclaimed.pop(0)

    async def _next(self) -> None:
        data = await self.connection.recv()
        assert isinstance(data, bytes) == self.binary, "the frame is of the other subprotocol"
        frame: Frame = msgspec.msgpack.decode(data) if isinstance(data, bytes) else msgspec.json.decode(data)
        if frame["op"] == "ready":
            self._position = frame["latest"] if self.after is None else self.after
        elif frame["op"] == "event":
            assert self._position is not None
            self._position += 1
            assert frame["seq"] == self._position, f"expected event {self._position}, got {frame['seq']}"
            self.applied.append(frame)
        elif frame["op"] == "caught_up":
            assert frame["seq"] == self._position
        self.heard.append(frame)
        self.unclaimed.append(frame)
