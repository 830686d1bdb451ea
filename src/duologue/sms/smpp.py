"""SMPP 3.4 to any carrier: a transceiver that stays bound, with a bounded window and receipts.

asyncio drives the connection, smpplib encodes the PDUs (`smpp_pdu` says why not its client). Other libraries
were weighed and left: aiosmpplib gives up at any status that isn't in the standard and hides which submission
failed how; smpp34 confirms a handset's message before we have stored it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import random
import secrets
import ssl
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

from duologue.sms.address import ProviderUrl
from duologue.sms.provider import (
    Accepted,
    Capabilities,
    OutgoingSms,
    Rejected,
    Sink,
    Unavailable,
    WithoutCallbacks,
    require_e164,
)
from duologue.sms.smpp_link import BindRefused, Link, LinkLost
from duologue.sms.smpp_pdu import (
    HEADER,
    Alphabet,
    Ids,
    Pdu,
    address,
    inbound,
    is_receipt,
    normal_id,
    receipt,
    refusal,
    submissions,
    validity,
)

_log = logging.getLogger(__name__)

# Pauses between tries: from a quarter of a second, doubled up to half a minute.
_FIRST_PAUSE, _MOST_DOUBLINGS = 0.25, 7
_STABLE_AFTER = 10
# Seconds before a lost connection and after the next one: what a carrier was not told is safe, it repeats.
_REPEATED_WITHIN = 60
# Seconds for which a carrier may wait before it repeats what we could not store.
_RETRIED_WITHIN = 3600
_REPEATS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Account:
    """What the carrier gave us, and how its SMSC likes to be spoken to."""

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
    ids: Ids = "same"
    tls: ssl.SSLContext | None = None


class Smpp(WithoutCallbacks):
    """The provider `smpp://system_id:password@host:port?from=…`."""

    capabilities = Capabilities(receipts=True, inbound=True, idempotent=False, explains=True)

    def __init__(self, name: str, account: Account) -> None:
        self.name = name
        self._account = account
        self._timeout = account.timeout
        self._window = asyncio.Semaphore(account.window)
        self._references = count(secrets.randbelow(256))
        self._link: Link | None = None
        self._tried = asyncio.Event()
        self._trouble = "it does not answer"
        self._task: asyncio.Task[None] | None = None
        self._sink: Sink | None = None
        self._deliveries = _Deliveries()

    async def start(self, sink: Sink) -> None:
        self._sink = sink
        self._task = asyncio.create_task(self._stay_bound())

    async def aclose(self) -> None:
        if self._link is not None:
            await self._link.unbind()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def send(self, sms: OutgoingSms) -> Accepted:
        require_e164(sms.to)
        link = await self._bound_link()
        parts = [
            self._addressed(sms) | part
            for part in submissions(sms.text, self._account.alphabet, next(self._references) & 0xFF)
        ]
        ids: list[str] = []
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
        return Accepted(self.name, tuple(ids), len(parts))

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

    async def _bound_link(self) -> Link:
        """The connection; waits only for the first try at one: fail-over is quick while the carrier is down."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._tried.wait()
        if self._link is None:
            raise Unavailable(f"{self.name} is not bound: {self._trouble}", retry_after=5)
        return self._link

    async def _submit(self, link: Link, part: dict[str, Any]) -> str:
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
        return normal_id((answer.body.message_id or b"").decode("latin-1"), self._account.ids)

    async def _submit_patiently(self, link: Link, part: dict[str, Any]) -> str:
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
        link = await Link.connect(
            self._account.host,
            self._account.port,
            self._deliver,
            timeout=self._timeout,
            enquire_every=self._account.enquire_every,
            tls=self._account.tls,
        )
        self._deliveries.connected()
        serving = asyncio.create_task(link.run())
        try:
            await link.bind(self._account.system_id, self._account.password, self._account.system_type)
            self._deliveries.bound()
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
            self._deliveries.disconnected()

    async def _deliver(self, pdu: Pdu, data: bytes) -> None:
        assert self._sink is not None
        if not is_receipt(pdu):
            body = data[HEADER.size :]
            provider_id = self._deliveries.id_of(pdu.sequence, body)
            try:
                await self._sink.inbound(self.name, [inbound(pdu, provider_id, self._account.alphabet)])
            except Exception:
                self._deliveries.comes_again(body, provider_id)
                raise
        elif found := receipt(pdu, self._account.ids):
            await self._sink.receipts(self.name, [found])


def _jitter() -> float:
    """A factor that keeps nodes that lost their carrier together from coming back together."""
    return random.uniform(0.5, 1)  # noqa: S311


class _Deliveries:
    """Ids for handsets' messages, for SMPP gives them none.

    The sequence number tells apart what comes over one connection. A repeat is known by its bytes, but only where
    one is to be expected, for people do write "ok" twice: after a lost connection, for what came just before; and
    for what we asked to come again, because we failed to store it or to notice that we had.
    """

    def __init__(self) -> None:
        self._run = secrets.token_hex(4)
        self._connection = 0
        self._latest: deque[tuple[float, bytes, str]] = deque(maxlen=_REPEATS_KEPT)
        self._expected: dict[bytes, tuple[float, str]] = {}

    def connected(self) -> None:
        self._connection += 1

    def bound(self) -> None:
        """From now on the carrier repeats what it must."""
        until = _now() + _REPEATED_WITHIN
        for digest, (expiry, provider_id) in self._expected.items():
            self._expected[digest] = (min(expiry, until), provider_id)

    def disconnected(self) -> None:
        since = _now() - _REPEATED_WITHIN
        for at, digest, provider_id in self._latest:
            if at >= since:
                self._expect(digest, math.inf, provider_id)
        self._latest.clear()

    def comes_again(self, body: bytes, provider_id: str) -> None:
        self._expect(hashlib.sha256(body).digest(), _now() + _RETRIED_WITHIN, provider_id)

    def id_of(self, sequence: int, body: bytes) -> str:
        digest = hashlib.sha256(body).digest()
        expiry, provider_id = self._expected.pop(digest, (0.0, ""))
        if expiry < _now():
            provider_id = f"{self._run}-{self._connection}-{sequence}"
        self._latest.append((_now(), digest, provider_id))
        return provider_id

    def _expect(self, digest: bytes, until: float, provider_id: str) -> None:
        self._expected[digest] = (until, provider_id)
        if len(self._expected) > _REPEATS_KEPT:
            del self._expected[next(iter(self._expected))]


def _now() -> float:
    return asyncio.get_running_loop().time()


def from_url(url: ProviderUrl, name: str) -> Smpp:
    """The provider for `smpp://system_id:password@host:2775?from=…` (`smpps://` with TLS, port 3550).

    Options: `from`, `system_type`, `window` (10), `timeout` (10 s), `alphabet` (gsm, or latin1 for carriers
    that don't take the GSM alphabet), `ids` (same, or hex for carriers that answer in hexadecimal and report
    in decimal). Raises `BadProviderUrl`.
    """
    url.allow({"from", "system_type", "window", "timeout", "alphabet", "ids"})
    user, password = url.credentials("smpp://system_id:password@smsc.example:2775?from=12345")
    if not url.host:
        raise url.refuse("needs a host: write smpp://system_id:password@smsc.example:2775?from=12345.")
    # 4.1.5: longer ones would be cut short and refused by the carrier, with nothing to show why.
    if len(user) > 15 or len(password) > 8:
        raise url.refuse("takes a system_id of at most 15 and a password of at most 8 characters (SMPP 3.4).")
    alphabet, ids = url.options.get("alphabet", "gsm"), url.options.get("ids", "same")
    if alphabet not in {"gsm", "latin1"} or ids not in {"same", "hex"}:
        raise url.refuse("takes alphabet=gsm or alphabet=latin1, and ids=same or ids=hex.")
    tls = ssl.create_default_context() if url.scheme == "smpps" else None
    account = Account(
        url.host,
        url.port or (3550 if tls else 2775),
        user,
        password,
        sender=url.sender(),
        system_type=url.options.get("system_type", ""),
        window=int(url.number("window", 10, low=1, high=1000)),
        timeout=url.number("timeout", 10, low=0.1, high=60),
        alphabet=cast("Alphabet", alphabet),
        ids=cast("Ids", ids),
        tls=tls,
    )
    return Smpp(name, account)
