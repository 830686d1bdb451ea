"""SMPP 3.4 to any carrier: a transceiver that stays bound, with a bounded window and receipts.

asyncio drives the connection, smpplib encodes the PDUs (`smpp_pdu` says why not its client). Other libraries
were weighed and left: aiosmpplib gives up at any status that isn't in the standard and hides which submission
failed how; smpp34 confirms a handset's message before we have stored it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

import phonenumbers

from duologue.providers.sms.address import ProviderUrl
from duologue.providers.sms.provider import (
    Accepted,
    Capabilities,
    OutgoingSms,
    Rejected,
    Sink,
    Unavailable,
    WithoutCallbacks,
    require_e164,
)
from duologue.providers.sms.smpp_connection import BindRefused, LinkLost, SmppConnection
from duologue.providers.sms.smpp_ids import IdsOption
from duologue.providers.sms.smpp_inward import Habits, Inward
from duologue.providers.sms.smpp_pdu import Alphabet, address, message_id, refusal, submissions, validity

_log = logging.getLogger(__name__)

# Pauses between tries: from a quarter of a second, doubled up to half a minute.
_FIRST_PAUSE, _MOST_DOUBLINGS = 0.25, 7
_STABLE_AFTER = 10  # seconds
_PASSWORD, _LONG_PASSWORD = 8, 64
"""Characters that SMPP 3.4 allows (5.2.2), and that SMSCs take which are less strict."""


@dataclass(frozen=True, slots=True)
class SmppAccount:
    """Credentials from the carrier, and the ways of its SMSC."""

    host: str
    port: int
    system_id: str
    password: str = field(repr=False)
    sender: str = ""
    system_type: str = ""
    window: int = 10
    """Submissions that may wait for an answer at a time."""
    timeout: float = 10
    """Seconds to wait for an answer, and for a connection."""
    enquire_every: float = 30
    """Seconds of silence after which the link is checked."""
    alphabet: Alphabet = "gsm"
    ids: IdsOption = "auto"
    """How the ids of answers and of receipts are spelled; `auto` learns it."""
    region: str | None = None
    """The region (`FR`) of numbers that come without a country code."""
    tls: ssl.SSLContext | None = None


class Smpp(WithoutCallbacks):
    """The provider `smpp://system_id:password@host:port?from=…`."""

    capabilities = Capabilities(receipts=True, inbound=True, idempotent=False, explains=True)

    def __init__(self, name: str, account: SmppAccount) -> None:
        self.name = name
        self._account = account
        self._timeout = account.timeout
        self._window = asyncio.Semaphore(account.window)
        self._references = count(secrets.randbelow(256))
        self._link: SmppConnection | None = None
        self._tried = asyncio.Event()
        self._trouble = "it does not answer"
        self._task: asyncio.Task[None] | None = None
        self._inward = Inward(name, Habits(account.alphabet, account.ids, account.region, account.sender))

    async def start(self, sink: Sink) -> None:
        self._inward.sink = sink
        self._task = asyncio.create_task(self._stay_bound())

    @property
    def bound(self) -> bool:
        """True while there is a connection on which texts can be sent."""
        return self._link is not None

    async def aclose(self) -> None:
        if self._link is not None:
            await self._link.unbind()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._inward.aclose()

    async def send(self, sms: OutgoingSms) -> Accepted:
        require_e164(sms.to)
        link = await self._bound_link()
        parts = [
            self._addressed(sms) | part
            for part in submissions(sms.text, self._account.alphabet, next(self._references) & 0xFF)
        ]
        ids: list[str] = []
        with self._inward.sending():
            try:
                await self._submit_all(link, parts, ids)
            except Unavailable as failure:
                if failure.outcome_unknown:
                    await self._inward.unanswered(sms.to)
                raise
            finally:
                await self._inward.given(ids, sms.to)
        return Accepted(self.name, tuple(ids), len(parts))

    async def _submit_all(
        self, link: SmppConnection, parts: Sequence[dict[str, Any]], ids: list[str]
    ) -> None:
        """Submit all parts of one SMS, and add the id of each to `ids` as it comes."""
        for part in parts:
            try:
                ids.append(
                    await self._submit_patiently(link, part) if ids else await self._submit(link, part)
                )
            except (Rejected, Unavailable) as failure:
                if not ids:
                    raise
                # Some parts are on their way: another try would make the phone show the first ones twice.
                told = f"{self.name} took only {len(ids)} of {len(parts)} parts"
                raise Unavailable(told, code=failure.code, outcome_unknown=True) from None

    def _addressed(self, sms: OutgoingSms) -> dict[str, Any]:
        source_ton, source_npi, source = address(sms.sender or self._account.sender)
        ton, npi, destination = address(sms.to)
        return {
            "source_addr_ton": source_ton,
            "source_addr_npi": source_npi,
            "source_addr": source,
            "dest_addr_ton": ton,
            "dest_addr_npi": npi,
            "destination_addr": destination,
            "registered_delivery": 1,
            "validity_period": validity(sms.valid_for),
        }

    async def _bound_link(self) -> SmppConnection:
        """The connection; waits only for the first try at one: fail-over is quick while the carrier is down."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._tried.wait()
        if self._link is None:
            raise Unavailable(f"{self.name} is not bound: {self._trouble}", retry_after=5)
        return self._link

    async def _submit(self, link: SmppConnection, part: dict[str, Any]) -> str:
        """Submit one part; its id."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._window.acquire()
        except TimeoutError:
            raise Unavailable(f"{self.name} has a full window", retry_after=1) from None
        try:
            answer = await link.request("submit_sm", **part)
        except TimeoutError:
            raise Unavailable(f"{self.name} did not answer", outcome_unknown=True) from None
        except LinkLost as lost:
            raise Unavailable(f"{self.name} lost its connection", outcome_unknown=lost.sent) from None
        finally:
            self._window.release()
        if answer.status:
            raise refusal(self.name, answer.status)
        return message_id(answer)

    async def _submit_patiently(self, link: SmppConnection, part: dict[str, Any]) -> str:
        """Submit a part that must follow others, waiting out a throttling carrier up to the time-out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        for attempt in count():
            pause = 0.1 * 2**attempt
            try:
                return await self._submit(link, part)
            except Unavailable as busy:
                if busy.outcome_unknown or loop.time() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _stay_bound(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await self._one_connection()
            except (OSError, TimeoutError, LinkLost, BindRefused) as problem:
                self._trouble = f"{type(problem).__name__}: {problem}"
            self._tried.set()
            failures = 0 if loop.time() - began > _STABLE_AFTER else min(failures + 1, _MOST_DOUBLINGS)
            pause = _FIRST_PAUSE * 2**failures * _jitter()
            _log.warning("%s is down, next try in %.1f s: %s", self.name, pause, self._trouble)
            await asyncio.sleep(pause)

    async def _one_connection(self) -> None:
        link = await SmppConnection.connect(
            self._account.host,
            self._account.port,
            self._inward.deliver,
            self._inward.given_late,
            timeout=self._timeout,
            enquire_every=self._account.enquire_every,
            tls=self._account.tls,
        )
        self._inward.deliveries.connected()
        serving = asyncio.create_task(link.run())
        try:
            await link.bind(self._account.system_id, self._account.password, self._account.system_type)
            self._inward.deliveries.bound()
            self._link = link
            self._tried.set()
            _log.info("%s is bound", self.name)
            await serving
        finally:
            if self._link is not None:
                self._trouble = "the connection was lost"
            self._link = None
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            self._inward.deliveries.disconnected()


def _jitter() -> float:
    """A factor that keeps nodes that lost their carrier together from coming back together."""
    return random.uniform(0.5, 1)  # noqa: S311


def from_url(url: ProviderUrl, name: str) -> Smpp:
    """The provider for `smpp://system_id:password@host:2775?from=…` (`smpps://` with TLS, port 3550).

    Options: `from`, `system_type`, `window` (10), `timeout` (10 s), `alphabet` (gsm, or latin1 for carriers
    that don't take the GSM alphabet), `ids` (auto; same, hex or dec if it is known how ids are spelled), `region` (of
    numbers without a country code), `long_password` (yes). Raises `BadProviderUrl`.
    """
    url.allow({"from", "system_type", "window", "timeout", "alphabet", "ids", "region", "long_password"})
    user, password = url.credentials("smpp://system_id:password@smsc.example:2775?from=12345")
    if not url.host:
        raise url.refuse("needs a host: write smpp://system_id:password@smsc.example:2775?from=12345.")
    _check_credentials(url, user, password)
    region = url.options.get("region")
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise url.refuse("option 'region' must be a country such as FR or US.")
    tls = ssl.create_default_context() if url.scheme == "smpps" else None
    account = SmppAccount(
        url.host,
        url.port or (3550 if tls else 2775),
        user,
        password,
        sender=url.sender(),
        system_type=url.options.get("system_type", ""),
        window=int(url.number("window", 10, low=1, high=1000)),
        timeout=url.number("timeout", 10, low=0.1, high=60),
        alphabet=cast("Alphabet", _one_of(url, "alphabet", ("gsm", "latin1"))),
        ids=cast("IdsOption", _one_of(url, "ids", ("auto", "same", "hex", "dec"))),
        region=region,
        tls=tls,
    )
    return Smpp(name, account)


def _check_credentials(url: ProviderUrl, user: str, password: str) -> None:
    """Raise `BadProviderUrl` for what a carrier would cut short and then refuse, with nothing to show why (4.1.5)."""
    longer = _one_of(url, "long_password", ("no", "yes")) == "yes"
    if len(user) > 15 or len(password) > (_LONG_PASSWORD if longer else _PASSWORD):
        raise url.refuse(
            "takes a system_id of at most 15 and a password of at most 8 characters (SMPP 3.4); with"
            " long_password=yes up to 64, for carriers that take them."
        )


def _one_of(url: ProviderUrl, option: str, values: Sequence[str]) -> str:
    """An option that has one of these values; the first one if it isn't given. Raises `BadProviderUrl`."""
    value = url.options.get(option, values[0])
    if value not in values:
        raise url.refuse(f"takes {' or '.join(f'{option}={each}' for each in values)}.")
    return value
