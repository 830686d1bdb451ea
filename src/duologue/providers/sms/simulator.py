"""A phone network inside the process: what a developer sends arrives on handsets that can answer.

It reports back as a real provider does: signed callbacks, one receipt per part, late, twice or out of order
if a handset is set up so. An SMS to a handset that can't be reached waits in the network, as in an SMSC,
until the handset is back or the validity is over.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import random
import secrets
from collections import OrderedDict, deque
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from duologue.clock import now_ms
from duologue.providers.sms.address import ProviderUrl
from duologue.providers.sms.provider import (
    Accepted,
    BadCallback,
    BadSignature,
    Callback,
    CallbackKind,
    Capabilities,
    DeliveryReport,
    DeliveryState,
    InboundSms,
    OutgoingSms,
    Rejected,
    RejectionCause,
    SegmentHeader,
    Sink,
    Unavailable,
    require_e164,
)
from duologue.providers.sms.segments import split

_log = logging.getLogger(__name__)

SIGNATURE = "x-simulator-signature"
# The same numbers fail for the same reasons with Twilio's test credentials.
_DEAD_NUMBERS: dict[str, tuple[RejectionCause, str, str]] = {
    "+15005550001": ("number", "the number is not valid", "21211"),
    "+15005550002": ("provider", "the number cannot be routed to", "21612"),
    "+15005550004": ("opted_out", "the number has opted out", "21610"),
    "+15005550009": ("number", "the number cannot receive SMS", "21614"),
}
_REPEATS_KEPT = 10_000  # references
_DELIVERY_TRIES = 6  # tries
_LONGEST_HOLD = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Behaviour of a handset and its receipts. Rates are chances from 0 to 1."""

    reachable: bool = True
    delay_ms: int = 0
    """Time that an SMS takes to arrive."""
    loss: float = 0
    """That an SMS to it vanishes without a trace; that a callback about it does."""
    duplicate: float = 0
    """That an SMS arrives twice; that a callback is made twice, under another event id."""
    reorder: float = 0
    """That a callback is overtaken by the next one."""
    multipart: bool = True
    """Its long texts reach us in parts (as over SMPP) rather than whole."""

    def __post_init__(self) -> None:
        rates = (self.loss, self.duplicate, self.reorder)
        if not all(0 <= rate <= 1 for rate in rates) or not 0 <= self.delay_ms <= 86_400_000:
            raise ValueError("rates are from 0 to 1 and the delay is from 0 to 86400000 ms")


@dataclass(frozen=True, slots=True)
class InboxSms:
    """An SMS in a handset's inbox. Ids rise from 1 for each handset; `received_at` is in epoch ms."""

    id: int
    sender: str
    to: str
    text: str = field(repr=False)
    parts: int
    received_at: int


class HandsetOffline(Exception):
    """A handset without network can't send."""


class _Handset:
    def __init__(self, number: str, inbox_size: int) -> None:
        self.number = number
        self.behaviour = Behaviour()
        self.inbox: deque[InboxSms] = deque(maxlen=inbox_size)
        self.ids = count(1)
        self.waiting = 0
        self.carried = 0
        self.reachable = asyncio.Event()
        self.reachable.set()
        self.news = asyncio.Event()
        self.outgoing: deque[tuple[CallbackKind, Callback]] = deque()
        self.held: list[tuple[CallbackKind, Callback]] = []
        self.worker: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.carried or self.outgoing or self.held or self.worker)

    def receive(self, sender: str, text: str, parts: int) -> None:
        self.inbox.append(InboxSms(next(self.ids), sender, self.number, text, parts, now_ms()))
        self.news.set()
        self.news = asyncio.Event()


class Simulator:
    """The provider `simulator://`. Options: `from` (its default service number) and `seed` (of its dice)."""

    capabilities = Capabilities(receipts=True, inbound=True, idempotent=True, explains=True)

    def __init__(
        self,
        name: str = "simulator",
        *,
        sender: str = "+12025550100",
        seed: int | None = None,
        inbox_size: int = 200,
        max_handsets: int = 10_000,
        queue_size: int = 100,
    ) -> None:
        self.name = name
        self.sender = sender
        self._dice = random.Random(seed)  # noqa: S311 - dice, which a test must be able to load
        self._key = secrets.token_bytes(32)
        self._run = secrets.token_hex(4)
        self._numbers = count(1)
        self._inbox_size = inbox_size
        self._max_handsets = max_handsets
        self.queue_size = queue_size
        self._stopped = False
        self._handsets: OrderedDict[str, _Handset] = OrderedDict()
        self._accepted: OrderedDict[str, Accepted] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sink: Sink | None = None

    async def start(self, sink: Sink) -> None:
        self._sink = sink

    async def aclose(self) -> None:
        self._sink = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The provider's side.

    async def send(self, sms: OutgoingSms) -> Accepted:
        require_e164(sms.to)
        if dead := _DEAD_NUMBERS.get(sms.to):
            cause, reason, code = dead
            raise Rejected(reason, code=code, cause=cause)
        if known := self._accepted.get(sms.reference):
            return known
        handset = self._handset(sms.to)
        if handset.carried >= self.queue_size:
            raise Unavailable("too many SMS wait for this handset", code="queue_full", retry_after=5)
        parts = len(split(sms.text))
        accepted = Accepted(self.name, (self._new_id(),), parts, receipts=parts)
        self._accepted[sms.reference] = accepted
        if len(self._accepted) > _REPEATS_KEPT:
            self._accepted.popitem(last=False)
        handset.carried += 1
        self._spawn(self._carry(handset, sms, accepted))
        return accepted

    def parse_status(self, request: Callback) -> list[DeliveryReport]:
        report = self._authentic(request)
        if "state" not in report:
            return []
        return [DeliveryReport(report["id"], report["state"], part=report["part"], code=report["code"])]

    def parse_inbound(self, request: Callback) -> list[InboundSms]:
        report = self._authentic(request)
        if "text" not in report:
            return []
        part = SegmentHeader(*report["part"]) if report["part"] else None
        return [InboundSms(report["id"], report["from"], report["to"], report["text"], part)]

    # The handsets' side.

    def phones(self) -> list[str]:
        """The handsets that have been used, the latest first."""
        return list(reversed(self._handsets))

    def behaviour(self, phone: str) -> Behaviour:
        """Return the behaviour of the handset with this number."""
        return self._handset(phone).behaviour

    def configure(self, phone: str, **changes: Any) -> Behaviour:
        """Change some of a handset's `Behaviour`; what waits for it goes out once it is reachable.

        Raises `ValueError` for a value out of range and `TypeError` for an unknown field.
        """
        handset = self._handset(phone)
        handset.behaviour = replace(handset.behaviour, **changes)
        if handset.behaviour.reachable:
            handset.reachable.set()
        else:
            handset.reachable.clear()
        return handset.behaviour

    async def inbox(self, phone: str, after: int = 0, wait: float = 0) -> list[InboxSms]:
        """Return SMS received after the one with id `after`; waits up to `wait` seconds for some."""
        handset = self._handset(phone)
        handset.waiting += 1
        try:
            async with asyncio.timeout(wait):
                while not (self._stopped or any(sms.id > after for sms in handset.inbox)):
                    await handset.news.wait()
        except TimeoutError:
            return []
        finally:
            handset.waiting -= 1
        return [sms for sms in handset.inbox if sms.id > after]

    def stop_waiting(self) -> None:
        """Let everybody go who waits for an inbox: the server is about to stop."""
        self._stopped = True
        for handset in self._handsets.values():
            handset.news.set()

    def text(self, phone: str, to: str, text: str) -> str:
        """The handset sends `text` to the service number `to`; the id of its SMS. Raises `HandsetOffline`."""
        require_e164(phone)
        handset = self._handset(phone)
        if not handset.behaviour.reachable:
            raise HandsetOffline(phone)
        texts = split(text) if handset.behaviour.multipart else [text]
        reference = self._dice.randrange(256)
        ids = [self._new_id() for _ in texts]
        for number, (message_id, piece) in enumerate(zip(ids, texts, strict=True), 1):
            part = (reference, number, len(texts)) if len(texts) > 1 else None
            self._report(handset, "inbound", id=message_id, to=to, text=piece, part=part, **{"from": phone})
        return ids[0]

    # The network between them.

    async def _carry(self, handset: _Handset, sms: OutgoingSms, accepted: Accepted) -> None:
        try:
            self._receipt(handset, accepted, "sent")
            copies = self._copies(handset)
            async with asyncio.timeout(sms.valid_for):
                await asyncio.sleep(handset.behaviour.delay_ms / 1000)
                await handset.reachable.wait()
            for _ in range(copies):
                handset.receive(sms.sender or self.sender, sms.text, accepted.parts)
            if copies:
                self._receipt(handset, accepted, "delivered")
        except TimeoutError:
            self._receipt(handset, accepted, "undelivered", "expired")
        finally:
            handset.carried -= 1

    def _receipt(
        self, handset: _Handset, accepted: Accepted, state: DeliveryState, code: str | None = None
    ) -> None:
        [message_id] = accepted.provider_ids
        for part in range(1, accepted.parts + 1):
            self._report(handset, "status", id=message_id, part=part, state=state, code=code)

    def _report(self, handset: _Handset, kind: CallbackKind, **fields: Any) -> None:
        """Queue a callback, or as many copies as the handset's behaviour makes of it."""
        calls = [(kind, self._signed(kind, fields)) for _ in range(self._copies(handset))]
        if calls and self._dice.random() < handset.behaviour.reorder:
            handset.held += calls
            self._spawn(self._release_later(handset))
        elif calls:
            handset.outgoing.extend([*calls, *handset.held])
            handset.held.clear()
            self._drain(handset)

    def _copies(self, handset: _Handset) -> int:
        if self._dice.random() < handset.behaviour.loss:
            return 0
        return 2 if self._dice.random() < handset.behaviour.duplicate else 1

    async def _release_later(self, handset: _Handset) -> None:
        """Nothing may be held for ever for want of a callback that overtakes it."""
        await asyncio.sleep(_LONGEST_HOLD)
        handset.outgoing.extend(handset.held)
        handset.held.clear()
        self._drain(handset)

    def _drain(self, handset: _Handset) -> None:
        if handset.worker is None and handset.outgoing:
            handset.worker = self._spawn(self._deliver(handset))

    async def _deliver(self, handset: _Handset) -> None:
        try:
            while handset.outgoing and self._sink:
                await self._call(self._sink, *handset.outgoing.popleft())
        finally:
            handset.worker = None

    async def _call(self, sink: Sink, kind: CallbackKind, request: Callback) -> None:
        """Make a callback, again after growing pauses if it fails, as providers do."""
        for attempt in range(_DELIVERY_TRIES):
            try:
                await sink.callback(self.name, kind, request)
            except Exception as failure:  # noqa: BLE001 - whatever it is, a provider tries again
                _log.warning("the %s callback failed (attempt %d): %s", kind, attempt, type(failure).__name__)
                await asyncio.sleep(0.1 * 2**attempt)
            else:
                return

    def _signed(self, kind: CallbackKind, fields: dict[str, Any]) -> Callback:
        url = f"https://simulator.invalid/v1/sms/{self.name}/{kind}"
        body = json.dumps({"event": self._new_id(), **fields}).encode()
        return Callback(url, {SIGNATURE: self._mac(url, body)}, body)

    def _authentic(self, request: Callback) -> dict[str, Any]:
        signature = request.headers.get(SIGNATURE, "")
        if not hmac.compare_digest(signature.encode(), self._mac(request.url, request.body).encode()):
            raise BadSignature("not signed by this simulator")
        report = json.loads(request.body)
        if not isinstance(report, dict):
            raise BadCallback("not an object")
        return report

    def _mac(self, url: str, body: bytes) -> str:
        return hmac.new(self._key, url.encode() + b"\n" + body, hashlib.sha256).hexdigest()

    def _new_id(self) -> str:
        # The run's nonce keeps ids apart that a database remembers from before a restart.
        return f"sim-{self._run}-{next(self._numbers)}"

    def busy(self, number: str) -> bool:
        """Return whether a text or a report of this handset is still on its way."""
        return self._handset(number).busy

    def _handset(self, number: str) -> _Handset:
        require_e164(number)
        handset = self._handsets.get(number)
        if handset is None:
            self._make_room()
            handset = self._handsets[number] = _Handset(number, self._inbox_size)
        self._handsets.move_to_end(number)
        return handset

    def _make_room(self) -> None:
        if len(self._handsets) >= self._max_handsets:
            idle = next((number for number, each in self._handsets.items() if not each.busy), None)
            if idle is not None:
                del self._handsets[idle]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def from_url(url: ProviderUrl, name: str) -> Simulator:
    """The simulator for `simulator://?from=…&seed=…`."""
    url.allow({"from", "seed"})
    seed = int(url.number("seed", 0, low=0, high=2**31)) if "seed" in url.options else None
    return Simulator(name, sender=url.sender("+12025550100"), seed=seed)
