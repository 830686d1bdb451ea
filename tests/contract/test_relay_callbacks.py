"""The relay through real providers' interfaces: a server, the provider's other end, and its callbacks."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from duologue.providers.sms.provider import Accepted, Callback, CallbackKind
from duologue_lab.servers.server import DuologueServer
from tests.support.client import PATIENCE, Api, Device, Socket, api_of
from tests.support.sign_in import problem
from tests.support.sms_outside import SECRET, SERVICE
from tests.support.sms_remotes import AndroidOutside, HttpOutside, KannelOutside, TwilioOutside
from tests.support.sms_smsc import Smsc

pytestmark = pytest.mark.anyio

PUBLIC = "https://chat.example"


class Network(ABC):
    """A provider as it stands on the other side of the server: what reaches it, and what it sends back."""

    url: str
    name: str
    repeats = 2
    """How often it hands over a text: a repeat over SMPP carries no id, and is another text."""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def next_sms(self) -> tuple[str, str]:
        """The next SMS that it is asked to send: number and text."""

    @abstractmethod
    async def report_delivered(self, api: Api) -> None:
        """Report the latest SMS as delivered, as often as this provider does."""

    @abstractmethod
    async def text_from(self, api: Api, phone: str, text: str) -> None:
        """Hand over a text from a phone to the service number."""


class OverHttp(Network):
    """A provider that is asked over HTTP and calls back over HTTP."""

    def __init__(self, outside: HttpOutside, url: str) -> None:
        self.outside = outside
        self.url = url.format(address=outside.remote.address)
        self.name = outside.provider.name
        self.seen = 0

    async def start(self) -> None:
        """It listens already."""

    async def close(self) -> None:
        await self.outside.close()

    async def next_sms(self) -> tuple[str, str]:
        async with asyncio.timeout(PATIENCE):
            while len(self.outside.remote.heard) <= self.seen:
                await asyncio.sleep(0.01)
        self.seen += 1
        return self.outside.sms_in(self.outside.remote.heard[self.seen - 1])

    @abstractmethod
    def accepted(self) -> Accepted:
        """Return the server's record of this provider's latest answer."""

    async def report_delivered(self, api: Api) -> None:
        for call in await self.outside.callbacks_of(self.accepted()):
            assert (await make(api, call)).is_success

    async def text_from(self, api: Api, phone: str, text: str) -> None:
        for call in await self.outside.callbacks_from(phone, text):
            assert (await make(api, call)).is_success


async def make(api: Api, call: Callback, **other: str) -> Any:
    """Make a callback to the server behind the public address."""
    parts = urlsplit(call.url)
    assert call.url.startswith(PUBLIC)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    method = "POST" if call.body else "GET"
    return await api.http.request(
        method, path, content=call.body, headers={**_form(call), **call.headers, **other}
    )


def _form(call: Callback) -> dict[str, str]:
    return {} if call.body.startswith(b"{") else {"content-type": "application/x-www-form-urlencoded"}


class Twilio(OverHttp):
    def __init__(self) -> None:
        outside = TwilioOutside()
        sender = SERVICE.replace("+", "%2B")
        super().__init__(outside, f"twilio://{outside.sid}:{SECRET}@/?from={sender}&api=http://{{address}}")

    def accepted(self) -> Accepted:
        return Accepted("twilio", (f"SM{f'id-{self.seen}':0>32}",), 1)


class Kannel(OverHttp):
    def __init__(self) -> None:
        sender = SERVICE.replace("+", "%2B")
        url = f"gateway+http://tester:{SECRET}@{{address}}?preset=kannel&from={sender}&secret={SECRET}"
        super().__init__(KannelOutside(), url)

    def accepted(self) -> Accepted:
        return Accepted("gateway", (KannelOutside.id_in(self.outside.remote.heard[self.seen - 1]),), 1)


class Android(OverHttp):
    def __init__(self) -> None:
        url = f"gateway+http://user:{SECRET}@{{address}}?preset=android&secret={SECRET}"
        super().__init__(AndroidOutside(), url)

    def accepted(self) -> Accepted:
        found = re.search(rb'"id": ?"(rly_[0-9a-f]+)"', self.outside.remote.heard[self.seen - 1].body)
        assert found
        return Accepted("gateway", (found[1].decode(),), 1)


class OverSmpp(Network):
    """A carrier's SMSC, with a connection that the server keeps."""

    name = "smpp"
    repeats = 1

    def __init__(self) -> None:
        self.smsc = Smsc()
        self.url = (
            f"smpp://duologue:{SECRET[:8]}@127.0.0.1:{self.smsc.port}?from={SERVICE.replace('+', '%2B')}"
        )
        self.latest = ""

    async def start(self) -> None:
        await self.smsc.start()

    async def close(self) -> None:
        await self.smsc.kill()

    async def next_sms(self) -> tuple[str, str]:
        event = await self.smsc.until("submit")
        self.latest = event["id"]
        return f"+{event['to'][2]}", bytes.fromhex(event["data"]).decode("ascii")

    async def report_delivered(self, _: Api) -> None:
        text = (
            f"id:{self.latest} sub:001 dlvrd:001 submit date:2611230930 done date:2611230931 "
            "stat:DELIVRD err:000 text:hello"
        )
        for _copy in range(2):
            self.smsc.deliver(text.encode(), esm_class=0x04)
            await self.smsc.until("delivered")

    async def text_from(self, _: Api, phone: str, text: str) -> None:
        self.smsc.deliver(text.encode(), sender=phone[1:], to=SERVICE[1:], to_ton=1)
        await self.smsc.until("delivered")


NETWORKS: dict[str, Callable[[], Network]] = {
    "twilio": Twilio,
    "kannel": Kannel,
    "android": Android,
    "smpp": OverSmpp,
}


@asynccontextmanager
async def served(network: Network, folder: Path) -> AsyncIterator[Api]:
    await network.start()
    try:
        options = [
            "--sms-url",
            network.url,
            "--public-url",
            PUBLIC,
            "--allow-open-network",
            "--relay-delay",
            "0",
            "--sms-numbers",
            SERVICE,
        ]
        with DuologueServer(folder, *options) as server:
            async with api_of(server.url) as api:
                yield api
    finally:
        await network.close()


async def wait_for_mark(socket: Socket, seq: int) -> None:
    while (await socket.event("receipt.updated"))["delivered"] < seq:
        pass


@pytest.mark.parametrize("name", NETWORKS)
async def test_there_and_back_again(name: str, tmp_path: Path) -> None:
    """An SMS, its receipt twice, and an answer, twice where that can be told: each has its effect once."""
    network = NETWORKS[name]()
    async with served(network, tmp_path) as api:
        ana, ben, chat_id = await api.friends()
        await ana.call("PATCH", "/v1/me", {"sms_relay": "off"})
        async with ana.online() as socket:
            await ana.post(chat_id, "hello")
            to, text = await network.next_sms()
            assert (to, text.partition("\n")[0]) == (ben.phone, f"{ana.phone}: hello")
            for _ in range(2):
                await network.report_delivered(api)
            await wait_for_mark(socket, 1)
            for _ in range(network.repeats):
                await network.text_from(api, ben.phone, "on my way")
            await socket.event("message.created")
            reply = await socket.event("message.created")
            assert (reply["text"], reply["via"], reply["sender_id"]) == ("on my way", "sms", ben.user_id)
            await ana.post(chat_id, "and now?")
            # Where codes come from the same number, each text says who writes.
            assert (await network.next_sms())[1].removeprefix(f"{ana.phone}: ") == "and now?"
            await network.report_delivered(api)
            await wait_for_mark(socket, 3)
        assert await texts(ana, chat_id) == ["hello", "on my way", "and now?"]
        assert await details(ana, chat_id, "sms_sent") == [f"{network.name}, 1 part"]


async def texts(device: Device, chat_id: str) -> list[str]:
    page = await device.call("GET", f"/v1/chats/{chat_id}/messages")
    return [item["text"] for item in page["items"]]


async def details(device: Device, chat_id: str, hop: str) -> list[str]:
    items = (await device.call("GET", f"/v1/chats/{chat_id}/messages/1/trace"))["items"]
    return [item["detail"] for item in items if item["hop"] == hop]


@pytest.mark.parametrize("kind", ["status", "inbound"])
async def test_a_forged_callback_moves_nothing(kind: CallbackKind, tmp_path: Path) -> None:
    network = Twilio()
    async with served(network, tmp_path) as api:
        ana, ben, chat_id = await api.friends()
        await ana.post(chat_id, "hello")
        await network.next_sms()
        outside = network.outside
        calls = (
            await outside.callbacks_of(network.accepted())
            if kind == "status"
            else await outside.callbacks_from(ben.phone, "I owe you a million")
        )
        for call in calls:
            forged = await make(api, call, **{"x-twilio-signature": "Zm9yZ2Vk"})
            assert problem(forged) == (403, "bad_signature")
        chat = await ana.chat(chat_id)
        assert (chat["last_seq"], chat["marks"]["peer_delivered"]) == (1, 0)


async def test_a_failure_is_told_with_the_providers_code(tmp_path: Path) -> None:
    network = Twilio()
    async with served(network, tmp_path) as api:
        ana, _, chat_id = await api.friends()
        await ana.post(chat_id, "hello")
        await network.next_sms()
        form = {
            "MessageSid": network.accepted().provider_ids[0],
            "MessageStatus": "undelivered",
            "ErrorCode": "30003",
        }
        outside = network.outside
        assert isinstance(outside, TwilioOutside)
        async with asyncio.timeout(PATIENCE):
            while not await details(ana, chat_id, "sms_failed"):
                assert (await make(api, outside.signed("status", form))).is_success
        assert await details(ana, chat_id, "sms_failed") == ["30003"]
        assert (await ana.chat(chat_id))["marks"]["peer_delivered"] == 0
