"""The world outside of each SMS provider, with one handle for all: what the contract suite holds on to."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from duologue.providers.sms.provider import (
    Accepted,
    Callback,
    CallbackKind,
    DeliveryReport,
    GivenId,
    InboundSms,
    Provider,
)
from duologue.providers.sms.registry import open_provider
from duologue.providers.sms.simulator import Simulator
from tests.support.sms_smsc import Smsc

SECRET = "s3cr3t-Token-of-at-least-32-bytes"
REFUSED = "+15005550001"
SERVICE = "+12025550100"
PUBLIC = "https://chat.example/v1/sms"
PATIENT = 20.0
"""Seconds that a provider waits for an answer, where the test is not about that: machines can be busy."""


class Collector:
    """A sink that keeps what it is given; the first `failures` calls fail as a database would."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.calls = 0
        self.named: set[str] = set()
        self.callbacks: asyncio.Queue[tuple[CallbackKind, Callback]] = asyncio.Queue()
        self.receipt_queue: asyncio.Queue[DeliveryReport] = asyncio.Queue()
        self.inbound_queue: asyncio.Queue[InboundSms] = asyncio.Queue()
        self.ids: list[GivenId] = []

    def _count(self, provider: str) -> None:
        self.calls += 1
        self.named.add(provider)
        if self.calls <= self.failures:
            raise RuntimeError("the database is away")

    async def callback(self, provider: str, kind: CallbackKind, request: Callback) -> None:
        self._count(provider)
        self.callbacks.put_nowait((kind, request))

    async def receipts(self, provider: str, receipts: Sequence[DeliveryReport]) -> None:
        self._count(provider)
        for each in receipts:
            self.receipt_queue.put_nowait(each)

    async def inbound(self, provider: str, messages: Sequence[InboundSms]) -> None:
        self._count(provider)
        for each in messages:
            self.inbound_queue.put_nowait(each)

    async def given(self, provider: str, ids: Sequence[GivenId]) -> None:
        self.named.add(provider)
        self.ids += ids

    async def known(self, provider: str, folded: Sequence[str]) -> list[GivenId]:
        self.named.add(provider)
        return [each for each in self.ids if each.provider_id.lower().lstrip("0") in folded]


class Outside(ABC):
    """A provider that is started, and the other end of it."""

    provider: Provider

    def __init__(self, timeout: float = PATIENT) -> None:
        self.timeout = timeout
        self.sink = Collector()

    async def start(self) -> None:
        await self.provider.start(self.sink)

    async def close(self) -> None:
        await self.provider.aclose()

    @abstractmethod
    async def arrived(self) -> list[tuple[str, str]]:
        """Return the SMS sent so far: number and text, the parts of a long text put together."""

    async def refuse_next(self) -> str:
        """A number that the provider refuses for good when the next SMS goes to it."""
        return REFUSED

    @abstractmethod
    async def get_busy(self) -> None:
        """From now on refuse for the moment, as under too much load."""

    @abstractmethod
    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        """Authentic status callbacks that say that the SMS is delivered; none if there are no callbacks."""

    @abstractmethod
    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        """Authentic inbound callbacks for a text from `phone` to the service number."""

    async def receipts_of(self, accepted: Accepted) -> list[DeliveryReport]:
        """Return the provider's reading of the report that the SMS is delivered."""
        return [
            receipt
            for call in await self.callbacks_of(accepted)
            for receipt in self.provider.parse_status(call)
        ]

    async def inbound_from(self, phone: str, text: str) -> list[InboundSms]:
        """Return the provider's reading of a text from `phone`."""
        calls = await self.callbacks_from(phone, text)
        return [message for call in calls for message in self.provider.parse_inbound(call)]


class RemoteOutside(Outside):
    """One at the other end of a network, which may fail."""

    @abstractmethod
    async def fall_silent(self) -> None:
        """From now on take what comes and never answer."""

    @abstractmethod
    async def disappear(self) -> None:
        """Be gone: connections are refused."""


class WithoutCallbacks(Outside):
    """Nobody calls back over HTTP."""

    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        assert accepted.provider == self.provider.name
        return []

    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        assert phone
        assert text
        return []


class SimulatorOutside(Outside):
    def __init__(self, timeout: float = PATIENT) -> None:
        super().__init__(timeout)
        self.provider: Simulator = Simulator(seed=1, queue_size=30)

    async def arrived(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for phone in self.provider.phones():
            found += [(phone, sms.text) for sms in await self.provider.inbox(phone, wait=0.2)]
        return found

    async def get_busy(self) -> None:
        self.provider.queue_size = 0

    async def callbacks_of(self, accepted: Accepted) -> list[Callback]:
        calls: list[Callback] = []
        while len(calls) < 2 * accepted.parts:
            _, call = await self.sink.callbacks.get()
            calls.append(call)
        return [call for call in calls if self.provider.parse_status(call)[0].state == "delivered"]

    async def callbacks_from(self, phone: str, text: str) -> list[Callback]:
        self.provider.text(phone, SERVICE, text)
        return [(await self.sink.callbacks.get())[1]]


class SmppOutside(WithoutCallbacks, RemoteOutside):
    def __init__(self, timeout: float = PATIENT) -> None:
        super().__init__(timeout)
        self.smsc = Smsc()
        self.provider = open_provider(
            f"smpp://duologue:{SECRET[:8]}@127.0.0.1:{self.smsc.port}?from=12345&timeout={timeout}"
        )

    async def start(self) -> None:
        await self.smsc.start()
        await super().start()
        await self.smsc.until("bound")

    async def close(self) -> None:
        await super().close()
        await self.smsc.kill()

    async def arrived(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        whole = ""
        await self.smsc.caught_up()
        for event in self.smsc.events:
            if event["event"] != "submit":
                continue
            data, number = bytes.fromhex(event["data"]), "+" + event["to"][2]
            if not event["esm_class"] & 0x40:
                found.append((number, data.decode("ascii")))
                continue
            whole += data[6:].decode("ascii")
            if data[4] == data[5]:
                found.append((number, whole))
                whole = ""
        return found

    async def get_busy(self) -> None:
        await self.smsc.answers(*[0x58] * 20)

    async def refuse_next(self) -> str:
        await self.smsc.answers(0x0B)
        return REFUSED

    async def fall_silent(self) -> None:
        await self.smsc.answers(*["hold"] * 20)

    async def disappear(self) -> None:
        await self.smsc.kill()

    async def receipts_of(self, accepted: Accepted) -> list[DeliveryReport]:
        for provider_id in accepted.provider_ids:
            text = (
                f"id:{provider_id} sub:001 dlvrd:001 submit date:2611230930 done date:2611230931 "
                "stat:DELIVRD err:000 text:hello"
            )
            self.smsc.deliver(text.encode(), esm_class=0x04)
        return [await self.sink.receipt_queue.get() for _ in accepted.provider_ids]

    async def inbound_from(self, phone: str, text: str) -> list[InboundSms]:
        self.smsc.deliver(text.encode(), sender=phone[1:], to=SERVICE[1:], to_ton=1)
        return [await self.sink.inbound_queue.get()]
