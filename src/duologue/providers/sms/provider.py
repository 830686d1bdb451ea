"""Interface of every SMS provider, and the values that it takes and returns.

One contract suite (`tests/contract/test_sms_providers.py`) runs identically over all providers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import parse_qsl, urlsplit

DeliveryState = Literal["queued", "sent", "delivered", "undelivered", "failed"]
"""Where an SMS is: `queued` and `sent` are on the way, the other three are final."""

CallbackKind = Literal["status", "inbound"]
RejectionCause = Literal["number", "opted_out", "content", "provider"]

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities of a provider. The contract suite checks that they are true."""

    receipts: bool
    """Final states come back, so that "delivered" means that the phone has it."""
    inbound: bool
    """What a handset sends to a service number reaches us."""
    idempotent: bool
    """The same `reference` sent again is never a second SMS: an unknown outcome may be retried."""
    explains: bool
    """Failures are told apart. If not, each one is `Unavailable` with an unknown outcome."""
    acknowledgement: str = ""
    """What our answer to a callback must say; nothing for most."""


@dataclass(frozen=True, slots=True)
class OutgoingSms:
    """One text to one phone. The text never shows in a repr: it may hold a sign-in code."""

    to: str
    """E.164."""
    text: str = field(repr=False)
    reference: str
    """Ours: unique per SMS, up to 36 URL-safe characters. The idempotency reference where one is taken."""
    sender: str | None = None
    """The service number or name to send from; None: the provider's own `from=`."""
    valid_for: float = 600
    """Seconds after which the network must give up."""
    callback_base: str | None = None
    """Public base of the callbacks, e.g. `https://chat.example/v1/sms`; None: ask for no receipts."""
    duplicate_ok: bool = False
    """A second copy does no harm (a sign-in code), so fail-over may follow an unknown outcome."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the SMS. It is not yet sent, let alone delivered."""

    provider: str
    """Name of the provider that took it; its callbacks arrive under this name."""
    provider_ids: tuple[str, ...]
    """The ids that receipts will carry: one, or one per part."""
    parts: int
    receipts: int = 1
    """How many `delivered` receipts each id gets before it is delivered: 1, or one per part."""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """Report on an SMS, or on one part. May come late, twice and out of order.

    Two receipts with the same provider id, state, part and event are one receipt repeated.
    """

    provider_id: str
    state: DeliveryState
    part: int | None = None
    """1-based, where the provider says which part it means."""
    event: str | None = None
    """The provider's id of this report, where parts can be told apart by nothing else."""
    code: str | None = None
    """The provider's reason, as it gave it."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """Place of a text in a concatenated message (3GPP TS 23.040, 9.2.3.24.1)."""

    reference: int
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as its bytes, and the name of their alphabet (see `alphabets`)."""

    data: bytes = field(repr=False)
    alphabet: str


@dataclass(frozen=True, slots=True)
class InboundSms:
    """A handset's text to a service number. `provider_id` is the same for every repeat of it."""

    provider_id: str
    sender: str
    """As the provider wrote it. Only E.164 is sure; other spellings are resolved with `region`."""
    to: str | None
    """The service number; None where the provider doesn't tell (a phone with one SIM)."""
    text: str = field(repr=False)
    part: SegmentHeader | None = None
    """Set if this is one part of a longer text, to be put together by (sender, to, reference)."""
    encoded: Encoded | None = field(default=None, repr=False)
    """The same text as bytes, where the network may have cut it between any two of them."""
    region: str | None = None
    """The region (`FR`) of numbers that lack a country code, where the operator named one."""


@dataclass(frozen=True, slots=True)
class GivenId:
    """An id that a provider gave us for an SMS, and the last digits of the number that the SMS went to."""

    provider_id: str
    tail: str
    """Empty: nobody noted them."""


@dataclass(frozen=True, slots=True)
class Callback:
    """An HTTP request that a provider made to us."""

    url: str = field(repr=False)
    """As the provider saw it: public scheme, host and port, path and query (signatures cover it)."""
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)

    @property
    def query(self) -> dict[str, str]:
        """The query's fields, empty ones included."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))


class SmsError(Exception):
    """An SMS that was not, or perhaps not, accepted. Never holds a secret or a text."""

    def __init__(self, reason: str, *, code: str | None = None) -> None:
        super().__init__(f"{reason} ({code})" if code else reason)
        self.reason = reason
        self.code = code


class Rejected(SmsError):
    """Permanently refused, and surely not sent: the same request would fail again.

    `cause` says whose fault it is: only `provider` (its account, route or sender) leaves a chance
    elsewhere.
    """

    def __init__(self, reason: str, *, code: str | None = None, cause: RejectionCause = "number") -> None:
        super().__init__(reason, code=code)
        self.cause: RejectionCause = cause


class Unavailable(SmsError):
    """Not now: network, throttling, a provider in trouble, or an account to be put right.

    `retry_after` is in seconds. With `outcome_unknown` the SMS may have been sent all the same.
    """

    def __init__(
        self,
        reason: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(reason, code=code)
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown


class BadSignature(Exception):
    """A callback that is not from the provider: answer 403."""


class BadCallback(Exception):
    """An authentic callback that makes no sense: answer 422."""


class BadProviderUrl(ValueError):
    """A provider URL with a mistake. Its text says what to do, and quotes no secret."""


class Sink(Protocol):
    """Receiver of a provider's receipts and inbound texts.

    Each method returns once the matter is durable; if it raises, the provider offers it again later.
    """

    async def callback(self, provider: str, kind: CallbackKind, request: Callback) -> None:
        """A callback request, to be treated exactly as one that arrived by HTTP."""

    async def receipts(self, provider: str, receipts: Sequence[DeliveryReport]) -> None:
        """Receipts from a provider that has a connection of its own."""

    async def inbound(self, provider: str, messages: Sequence[InboundSms]) -> None:
        """Handsets' texts from a provider that has a connection of its own."""

    async def given(self, provider: str, ids: Sequence[GivenId]) -> None:
        """Remember ids under which receipts will come."""

    async def known(self, provider: str, folded: Sequence[str]) -> list[GivenId]:
        """Those of the ids that were given whose folded form (no case, no leading zeros) is one of these."""


class Provider(Protocol):
    """A way to send SMS: `start` it, `send` any number at a time, `aclose` it."""

    @property
    def name(self) -> str:
        """Its name in callback paths, receipts and logs."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def start(self, sink: Sink) -> None:
        """Open what stays open, without waiting for the other side: `send` tells if that is down."""

    async def aclose(self) -> None:
        """Close connections and end tasks; a `send` under way fails with an unknown outcome."""

    async def send(self, sms: OutgoingSms) -> Accepted:
        """Hand one SMS over, within the provider's time-out.

        Raises `Rejected` (never try again) or `Unavailable` (its flag: the SMS may be on its way).
        """

    def parse_status(self, request: Callback) -> list[DeliveryReport]:
        """The receipts in a callback; none if it speaks of something else.

        Raises `BadSignature` or `BadCallback`. Pure: a repeat gives the same answer.
        """

    def parse_inbound(self, request: Callback) -> list[InboundSms]:
        """The handsets' texts in a callback; none if it speaks of something else. Raises as above."""


class WithoutCallbacks:
    """Base of providers that nobody calls back over HTTP: whoever claims to do so is an impostor."""

    def parse_status(self, request: Callback) -> list[DeliveryReport]:
        raise BadSignature(f"no provider calls back at {urlsplit(request.url).path}")

    def parse_inbound(self, request: Callback) -> list[InboundSms]:
        raise BadSignature(f"no provider calls back at {urlsplit(request.url).path}")


def require_e164(number: str) -> None:
    """Raise `Rejected` unless `number` has the form of E.164."""
    if not _E164.fullmatch(number):
        raise Rejected("the number is not in E.164 form", cause="number")
