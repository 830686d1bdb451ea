"""Signing in by SMS: the rules over a real store with a clock set by hand, and a phone network to look into."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import httpx

from duologue.clock import DAY, MINUTE, SECOND
from duologue.core.accounts import SignedIn
from duologue.core.secret import code_for
from duologue.core.sms_policy import SmsPolicy
from duologue.core.verifications import Verifications, Wording
from duologue.errors import ApiError
from duologue.providers.sms.provider import (
    Accepted,
    Capabilities,
    OutgoingSms,
    Sink,
    SmsError,
    WithoutCallbacks,
)
from duologue.storage.database import OneShard
from duologue.storage.tables.verifications import Verification
from tests.support.spending import split_spending

SECRET = b"s" * 32
NOON = 1_800_000_000_000
OWNER, STRANGER = "198.51.100.7", "203.0.113.9"
"""Two addresses in different networks."""
HEADERS = ("cache-control", "content-type", "x-content-type-options")


def elsewhere(number: int) -> str:
    """An address in a network of its own."""
    return f"100.{64 + number // 256}.{number % 256}.1"


def apart(number: int) -> str:
    """A phone number in a block of its own."""
    return f"+336{number:04d}0000"


class Clock:
    """Epoch milliseconds that pass when told to."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def pass_by(self, ms: int) -> None:
        self.now += ms


class Phones(WithoutCallbacks):
    """The world outside: every handset, and a provider that fails when told to."""

    name = "outside"
    capabilities = Capabilities(receipts=False, inbound=False, idempotent=False, explains=True)

    def __init__(self) -> None:
        self.inbox: dict[str, list[OutgoingSms]] = defaultdict(list)
        self.fault: SmsError | None = None
        self.faults: deque[SmsError] = deque()
        """What its next answers are, before `fault`."""
        self.asked = 0

    async def start(self, sink: Sink) -> None:
        """There is nothing to open."""

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def send(self, sms: OutgoingSms) -> Accepted:
        self.asked += 1
        await asyncio.sleep(0)
        if self.faults:
            raise self.faults.popleft()
        if self.fault:
            raise self.fault
        self.inbox[sms.to].append(sms)
        return Accepted(self.name, (sms.reference,), 1)

    @property
    def sent(self) -> int:
        return sum(map(len, self.inbox.values()))


class Desk:
    """One node's rules for codes, and how people use them."""

    def __init__(
        self, db: OneShard, clock: Clock, phones: Phones, wording: Wording | None = None, **changes: Any
    ) -> None:
        self.db = db
        self.clock = clock
        self.phones = phones
        self.policy = SmsPolicy(**split_spending({"trust_local": False} | changes))
        self.rules = Verifications(db, clock, phones, SECRET, self.policy, wording or Wording())

    async def start(self, phone: str, address: str = OWNER) -> Verification:
        """A code that was sent."""
        return await self.rules.start(phone, address)

    async def ask(self, phone: str, address: str = OWNER) -> Verification | ApiError:
        """A code that was sent, or why none was."""
        try:
            return await self.start(phone, address)
        except ApiError as fault:
            return fault

    async def refusal(self, phone: str, address: str = OWNER) -> ApiError:
        """Return the reason that no code is sent."""
        told = await self.ask(phone, address)
        assert isinstance(told, ApiError), "a code was sent"
        return told

    async def granted(self, wishes: Iterable[tuple[str, str]]) -> int:
        """Return how many of these requests (number, address) are granted, one after the other."""
        before = self.phones.sent
        for phone, address in wishes:
            told = await self.ask(phone, address)
            if isinstance(told, ApiError):
                assert 1 <= _wait(told) <= DAY
        return self.phones.sent - before

    def code_of(self, verification: Verification) -> str:
        """The code, as its phone shows it."""
        text = self.phones.inbox[verification.phone][-1].text
        assert code_in(text) == code_for(SECRET, verification.id)
        return code_in(text)

    async def redeem(self, verification: Verification, code: str, address: str = OWNER) -> SignedIn:
        return await self.rules.redeem(verification.id, code, "phone", address)

    async def guess(self, verification: Verification, address: str = OWNER) -> ApiError:
        """The error that a wrong code ends in."""
        try:
            await self.redeem(verification, wrong(code_for(SECRET, verification.id)), address)
        except ApiError as fault:
            return fault
        raise AssertionError("a wrong code was taken")

    async def sign_in(self, phone: str, address: str = OWNER) -> SignedIn:
        """Ask for a code and redeem it, waiting as long as one may have to: ten minutes."""
        told = await self.ask(phone, address)
        if isinstance(told, ApiError):
            assert _wait(told) <= 10 * MINUTE, f"locked out for {_wait(told) / MINUTE} minutes"
            self.clock.pass_by(_wait(told))
            told = await self.start(phone, address)
        return await self.redeem(told, self.code_of(told), address)


def _wait(fault: ApiError) -> int:
    """For how long (ms) one is put off."""
    assert fault.code == "rate_limited", fault
    assert fault.retry_after is not None
    return round(fault.retry_after * SECOND)


def code_in(text: str) -> str:
    """The six digits in an SMS: once for people, and perhaps once for browsers."""
    [code] = set(re.findall(r"\b\d{6}\b", text))
    return str(code)


def wrong(code: str) -> str:
    """Another code."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


class SmsApi:
    """A node in sms mode with simulated phones, over HTTP. `forwarded` is what a trusted proxy says of the client."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def ask(self, phone: str, *forwarded: str) -> httpx.Response:
        """The answer to a wish for a code."""
        body = {"phone": phone}
        return await self.http.post("/v1/verifications", json=body, headers=_forwarded(forwarded))

    async def start(self, phone: str, *forwarded: str) -> dict[str, Any]:
        answer = await self.ask(phone, *forwarded)
        assert answer.status_code == HTTPStatus.ACCEPTED, answer.text
        started: dict[str, Any] = answer.json()
        return started

    async def texts(self, phone: str, after: int = 0, wait: float = 0) -> list[dict[str, Any]]:
        """Return the texts that a handset got."""
        params = {"after": after, "wait": wait}
        answer = await self.http.get(f"/v1/sim/phones/{phone}/messages", params=params)
        assert answer.is_success, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def code(self, phone: str, after: int = 0) -> str:
        """The code in the last SMS, once there is one."""
        return code_in((await self.texts(phone, after, wait=20))[-1]["text"])

    async def redeem(self, verification_id: str, code: str, *forwarded: str, **extra: Any) -> httpx.Response:
        body = {"verification_id": verification_id, "code": code, **extra}
        return await self.http.post("/v1/sessions", json=body, headers=_forwarded(forwarded))

    async def sign_in(self, phone: str, *forwarded: str, **extra: Any) -> dict[str, Any]:
        """A new session for a number."""
        got = await self.texts(phone)
        started = await self.start(phone, *forwarded)
        code = await self.code(phone, after=int(got[-1]["id"]) if got else 0)
        answer = await self.redeem(started["id"], code, *forwarded, **extra)
        assert answer.status_code == HTTPStatus.CREATED, answer.text
        signed_in: dict[str, Any] = answer.json()
        return signed_in


def _forwarded(said: tuple[str, ...]) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", line) for line in said]


def bearer(signed_in: Mapping[str, Any]) -> dict[str, str]:
    """The header that goes with a session's requests."""
    return {"Authorization": f"Bearer {signed_in['token']}"}


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["code"]
