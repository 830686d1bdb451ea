"""The bus of many nodes: NATS core, one publish for each committed batch, every node filtering for its own users.

NATS may lose what is under way when a connection breaks, and a connection may be silent without being broken. Every
payload is numbered, so a receiver knows when some are missing; every half second a ping asks the server for an
answer, so a node knows up to when it has heard what there was.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import math
import random
import ssl
import time
from collections import deque
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from duologue.clock import Clock
from duologue.realtime.bus import BEAT_EVERY, BusHandler, Notice, Signal
from duologue.realtime.envelope import BEAT, LEAVE, NOTICES, SIGNAL, Sealer
from duologue.realtime.payloads import encode, payloads
from duologue.realtime.sealed_inbox import SealedInbox

_log = logging.getLogger(__name__)

_SUBJECT: Final = "sealed"
_PAYLOAD: Final = 256 * 1024
"""Bytes that one publish may carry; NATS itself allows a megabyte by default."""
_WAITING: Final = 4_096
"""Payloads that may wait to be sent; beyond that they are dropped: receivers see it by their numbers."""
_START_WITHIN: Final = 10
"""Seconds to find a server."""
_END_WITHIN: Final = 2
"""Seconds to hand over what waits."""
_RECONNECT_WAIT: Final = 0.2
"""Seconds between tries, at least."""
_PING_EVERY: Final = 5
"""Seconds between the client library's own pings, of which two may be unanswered until it connects anew."""
_PINGS_MISSED: Final = 2  # pings
_ANSWER_WITHIN: Final = 60
"""Seconds for an answer to our ping: longer than the library takes to give up the connection."""
_CONNECTED_FOR: Final = 3.0
"""Seconds without an answer until this node says that it is cut off."""


class NatsBus:
    """`Bus` over NATS.

    `url` is `nats://[user:password@]host[:port][,host2…][?prefix=duologue][&creds=FILE]`, or `tls://…`; nodes of one
    system share a prefix.
    """

    alone = False

    def __init__(self, url: str, keys: Sequence[bytes], clock: Clock) -> None:
        """The first of the keys seals; payloads of each are believed. Raises `ValueError` when the URL is wrong."""
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = set(options) - {"prefix", "creds"}
        if unknown or not parts.netloc:
            raise ValueError("bus_url must be of the form nats://host:4222?prefix=duologue (also creds=FILE)")
        account, _, hosts = parts.netloc.rpartition("@")
        self._servers = [
            f"{parts.scheme}://{account + '@' if account else ''}{host}" for host in hosts.split(",")
        ]
        self._prefix = options.get("prefix", "duologue")
        self._credentials = options.get("creds")
        self._tls = ssl.create_default_context() if parts.scheme == "tls" else None
        self._client: Client | None = None
        self._handler: BusHandler | None = None
        self._subject = f"{self._prefix}.{_SUBJECT}"
        self._outbox: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._beats: asyncio.Task[None] | None = None
        self._ping: asyncio.Task[None] | None = None
        self._answered_at = -math.inf
        # The names of two systems on one NATS keep them apart even if they share a secret.
        keys = [hmac.digest(key, self._prefix.encode(), hashlib.sha256) for key in keys]
        self._sealer = Sealer(keys[0], clock)
        self._inbox = SealedInbox(keys, clock)

    async def start(self, handler: BusHandler) -> None:
        """Raises `TimeoutError` when no server answers."""
        self._handler = handler
        async with asyncio.timeout(_START_WITHIN):
            client = self._client = await nats.connect(
                self._servers,
                name="duologue",
                no_echo=True,
                tls=self._tls,
                user_credentials=self._credentials,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_WAIT * random.uniform(1, 3),  # noqa: S311 - jitter
                ping_interval=_PING_EVERY,
                max_outstanding_pings=_PINGS_MISSED,
                reconnected_cb=self._on_reconnected,
                disconnected_cb=self._on_disconnected,
                error_cb=self._on_error,
            )
        # Every name below the prefix: what is published under another one doesn't verify, and that is counted.
        await client.subscribe(f"{self._prefix}.*", cb=self._on_payload)
        asked_at = time.monotonic()
        await client.flush()
        self._answered_at = asked_at
        self._sender = asyncio.create_task(self._send_forever(client))
        self._beats = asyncio.create_task(self._beat_forever(client))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        for task in (self._beats, self._sender):
            if task:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._outbox.append(self._sealer.seal(LEAVE))
        for step in (self._hand_over(client), client.close()):
            with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
                async with asyncio.timeout(_END_WITHIN):
                    await step
        if self._ping:
            self._ping.cancel()
            await asyncio.gather(self._ping, return_exceptions=True)
        self._handler = None

    async def _hand_over(self, client: Client) -> None:
        if client.is_connected:
            for payload in self._outbox:
                await client.publish(self._subject, payload)
            await client.flush()

    def connected(self) -> bool:
        if self._client is None or not self._client.is_connected:
            return False
        return time.monotonic() - self._answered_at < _CONNECTED_FOR

    def as_of(self) -> float:
        return min(self._answered_at, self._inbox.as_of())

    def wants(self, user_id: int) -> bool:  # noqa: ARG002 - only the other nodes know
        return True

    def publish(self, notices: Sequence[Notice]) -> None:
        """This node's own followers hear at once; NATS takes it to the others."""
        if self._handler:
            self._handler.deliver(notices)
        for payload in payloads(notices, _PAYLOAD):
            self._queue(self._sealer.seal(NOTICES, payload))

    def publish_signal(self, signal: Signal) -> None:
        if self._handler:
            self._handler.signal(signal)
        self._queue(self._sealer.seal(SIGNAL, encode(signal)))

    def _queue(self, payload: bytes) -> None:
        if self._client is None or not self._client.is_connected:
            return
        if len(self._outbox) >= _WAITING:
            self._outbox.clear()
        self._outbox.append(payload)
        self._news.set()

    async def _send_forever(self, client: Client) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._outbox:
                payload = self._outbox.popleft()
                try:
                    await client.publish(self._subject, payload)
                except nats.errors.Error as fault:
                    _log.warning("NATS did not take a batch: %s", fault)
                    break

    async def _beat_forever(self, client: Client) -> None:
        """Say that this node is there, and ask the server for an answer."""
        while True:
            self._queue(self._sealer.seal(BEAT))
            if self._ping is None or self._ping.done():
                self._ping = asyncio.create_task(self._ask(client))
            await asyncio.sleep(BEAT_EVERY)

    async def _ask(self, client: Client) -> None:
        """Note that the server has answered: until we asked, everything published has come through it.

        The library takes a connection that it is making anew for an answer, and loses its way when an answer comes
        after it gave up waiting: so its state is asked for before and after, and the wait is long.
        """
        asked_at, was_connected = time.monotonic(), client.is_connected
        with contextlib.suppress(OSError, nats.errors.Error):
            await client.flush(_ANSWER_WITHIN)
            if was_connected and client.is_connected:
                self._answered_at = asked_at

    async def _on_payload(self, message: Msg) -> None:
        if self._handler:
            self._inbox.receive(message.data, self._handler)

    async def _on_reconnected(self) -> None:
        """Recheck everything: what was published while the connection was down reached nobody."""
        _log.warning("NATS is back")
        if self._ping:
            # Its question went down with the old connection.
            self._ping.cancel()
        if self._handler:
            self._handler.doubt()
        self._news.set()

    async def _on_disconnected(self) -> None:
        self._answered_at = -math.inf
        _log.warning("NATS is gone")

    async def _on_error(self, fault: Exception) -> None:
        _log.warning("NATS: %s", fault or type(fault).__name__)
        if isinstance(fault, nats.errors.SlowConsumerError) and self._handler:
            self._handler.doubt()
