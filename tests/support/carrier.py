"""The world outside the relay: a carrier that behaves as it is told, and the phones that it reaches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from duologue.providers.sms.provider import (
    Accepted,
    Capabilities,
    DeliveryReport,
    DeliveryState,
    OutgoingSms,
    Rejected,
    RejectionCause,
    Sink,
    Unavailable,
    WithoutCallbacks,
)
from duologue.providers.sms.segments import split

Step = Callable[["Carrier", OutgoingSms], Awaitable[Accepted]]
"""What the carrier does with one SMS."""


@dataclass(frozen=True)
class Arrival:
    """Screen of a phone."""

    to: str
    text: str
    sender: str | None


async def accepts(carrier: Carrier, sms: OutgoingSms) -> Accepted:
    """It takes the SMS, and the phone has it."""
    return carrier.carry(sms)


async def loses_the_answer(carrier: Carrier, sms: OutgoingSms) -> Accepted:
    """It takes the SMS, and nobody hears of it."""
    carrier.carry(sms)
    raise Unavailable("no answer in time", outcome_unknown=True)


async def never_hears(carrier: Carrier, sms: OutgoingSms) -> Accepted:
    """The request gets lost on its way; whoever sent it can't tell."""
    raise Unavailable("no answer in time", outcome_unknown=True)


def is_busy(retry_after: float | None = None) -> Step:
    """429."""

    async def step(carrier: Carrier, sms: OutgoingSms) -> Accepted:
        raise Unavailable("slow down", code="429", retry_after=retry_after)

    return step


async def is_broken(carrier: Carrier, sms: OutgoingSms) -> Accepted:
    """500, and surely not sent."""
    raise Unavailable("in trouble", code="500")


async def crashes(carrier: Carrier, sms: OutgoingSms) -> Accepted:
    """Its library fails in a way that nobody foresaw."""
    raise ZeroDivisionError


def rejects(cause: RejectionCause, code: str = "21211") -> Step:
    """Never."""

    async def step(carrier: Carrier, sms: OutgoingSms) -> Accepted:
        raise Rejected("refused", code=code, cause=cause)

    return step


def waits_for(event: asyncio.Event, then: Step = accepts) -> Step:
    """It takes the SMS in its own time."""

    async def step(carrier: Carrier, sms: OutgoingSms) -> Accepted:
        await event.wait()
        return await then(carrier, sms)

    return step


async def accepts_and_hangs(carrier: Carrier, sms: OutgoingSms) -> Accepted:
    """The phone has the SMS, and the connection stays silent."""
    carrier.carry(sms)
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@dataclass
class Carrier(WithoutCallbacks):
    """Does the steps of `script`, one for each SMS that it is asked to send, then `usual` for ever."""

    name: str = "carrier"
    idempotent: bool = False
    id_per_part: bool = False
    """Receipts carry an id for each part, as with SMPP; else one id gets a receipt for each part."""
    by_reference: bool = False
    """Receipts carry our reference, as with Kannel, and speak for all parts."""
    script: deque[Step] = field(default_factory=deque)
    usual: Step = accepts
    asked: list[OutgoingSms] = field(default_factory=list)
    phones: list[Arrival] = field(default_factory=list)
    """What reached phones, in the order of its arrival."""
    taken: list[Accepted] = field(default_factory=list)
    _by_reference: dict[str, Accepted] = field(default_factory=dict)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(receipts=True, inbound=True, idempotent=self.idempotent, explains=True)

    async def start(self, sink: Sink) -> None:
        """There is nothing to open."""

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def send(self, sms: OutgoingSms) -> Accepted:
        async with self._news:
            self.asked.append(sms)
            self._news.notify_all()
        await asyncio.sleep(0)
        return await (self.script.popleft() if self.script else self.usual)(self, sms)

    def carry(self, sms: OutgoingSms) -> Accepted:
        """Take an SMS to its phone."""
        known = self._by_reference.get(sms.reference)
        if known and self.idempotent:
            return known
        parts = len(split(sms.text))
        base = f"{self.name}-{len(self.taken) + 1}"
        ids = tuple(f"{base}.{number}" for number in range(1, parts + 1)) if self.id_per_part else (base,)
        accepted = Accepted(self.name, ids, parts, receipts=1 if self.id_per_part else parts)
        if self.by_reference:
            accepted = Accepted(self.name, (sms.reference,), parts)
        self._by_reference[sms.reference] = accepted
        self.taken.append(accepted)
        self.phones.append(Arrival(sms.to, sms.text, sms.sender))
        return accepted

    async def was_asked(self, times: int) -> None:
        """Wait until it was asked so often."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: len(self.asked) >= times)

    async def has_carried(self, times: int) -> None:
        """Wait until so many SMS have reached phones."""
        async with asyncio.timeout(30):
            while len(self.phones) < times:
                await asyncio.sleep(0.001)

    def texts(self, to: str | None = None) -> list[str]:
        """Return the texts that reached a phone, or all of them."""
        return [arrival.text for arrival in self.phones if to in (None, arrival.to)]


def receipts(
    accepted: Accepted, state: DeliveryState = "delivered", code: str | None = None
) -> list[DeliveryReport]:
    """Reports of the network about an SMS, part by part."""
    if accepted.receipts == 1:
        return [DeliveryReport(provider_id, state, code=code) for provider_id in accepted.provider_ids]
    whole = DeliveryReport(accepted.provider_ids[0], state, code=code)
    return [replace(whole, part=number) for number in range(1, accepted.receipts + 1)]
