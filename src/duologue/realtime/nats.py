"""The bus of many nodes: NATS core, one publish for each committed batch, every node filtering for its own users.

NATS may lose what is under way when a connection breaks. That is fine: a feed sees the gap at the next event, and
whenever a connection was lost, here or at the publisher, every feed looks at the log.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from duologue.realtime.bus import Handler, Notice, Signal
from duologue.realtime.payloads import decode_notices, decode_signal, encode, payloads

_log = logging.getLogger(__name__)

_EVENTS: Final = "events"
_SIGNALS: Final = "signals"
_RECHECK: Final = "recheck"
_PAYLOAD: Final = 256 * 1024
"""Bytes that one publish may carry; NATS itself allows a megabyte by default."""
_WAITING: Final = 4_096
"""Payloads that may wait for the connection; beyond that they are dropped, and all nodes told to look at the log."""
_START_TIMEOUT: Final = 10
_RECONNECT_WAIT: Final = 0.2
_RECHECK_WITHIN: Final = 0.5


class NatsBus:
    """`Bus` over NATS.

    `url` is `nats://[user:password@]host[:port][,host2…][?prefix=duologue][&creds=FILE]`, or `tls://…`; nodes of one
    system share a prefix.
    """

    alone = False

    def __init__(self, url: str) -> None:
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
        self._handler: Handler | None = None
        self._outbox: deque[tuple[str, bytes]] = deque()
        self._news = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._rechecks: set[asyncio.TimerHandle] = set()

    async def start(self, handler: Handler) -> None:
        """Raises `TimeoutError` when no server answers."""
        self._handler = handler
        async with asyncio.timeout(_START_TIMEOUT):
            self._client = await nats.connect(
                self._servers,
                name="duologue",
                no_echo=True,
                tls=self._tls,
                user_credentials=self._credentials,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_WAIT * random.uniform(1, 3),  # noqa: S311 - jitter
                reconnected_cb=self._on_reconnected,
                disconnected_cb=self._on_disconnected,
                error_cb=self._on_error,
            )
        await self._client.subscribe(f"{self._prefix}.{_EVENTS}", cb=self._on_events)
        await self._client.subscribe(f"{self._prefix}.{_SIGNALS}", cb=self._on_signal)
        await self._client.subscribe(f"{self._prefix}.{_RECHECK}", cb=self._on_recheck)
        await self._client.flush()
        self._sender = asyncio.create_task(self._send_forever())

    async def close(self) -> None:
        if self._client is None:
            return
        if self._sender:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        for timer in self._rechecks:
            timer.cancel()
        if self._client.is_connected:
            for subject, payload in self._outbox:
                await self._client.publish(subject, payload)
            await self._client.flush()
        await self._client.close()
        self._client = self._handler = None

    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    def wants(self, user_id: int) -> bool:  # noqa: ARG002 - only the other nodes know
        return True

    def publish(self, notices: Sequence[Notice]) -> None:
        """This node's own followers hear at once; NATS takes it to the others."""
        if self._handler:
            self._handler.deliver(notices)
        for payload in payloads(notices, _PAYLOAD):
            self._queue(_EVENTS, payload)

    def publish_signal(self, signal: Signal) -> None:
        if self._handler:
            self._handler.signal(signal)
        self._queue(_SIGNALS, encode(signal))

    def _queue(self, subject: str, payload: bytes) -> None:
        if len(self._outbox) >= _WAITING:
            self._outbox.clear()
            self._outbox.append((f"{self._prefix}.{_RECHECK}", b""))
        self._outbox.append((f"{self._prefix}.{subject}", payload))
        self._news.set()

    async def _send_forever(self) -> None:
        assert self._client
        while True:
            await self._news.wait()
            self._news.clear()
            while self._outbox and self._client.is_connected:
                subject, payload = self._outbox.popleft()
                try:
                    await self._client.publish(subject, payload)
                except nats.errors.Error as fault:
                    _log.warning("NATS did not take a batch: %s", fault)
                    self._outbox.append((f"{self._prefix}.{_RECHECK}", b""))
                    break

    async def _on_events(self, message: Msg) -> None:
        if self._handler:
            self._handler.deliver(decode_notices(message.data))

    async def _on_signal(self, message: Msg) -> None:
        if self._handler:
            self._handler.signal(decode_signal(message.data))

    async def _on_recheck(self, _: Msg) -> None:
        self._recheck_soon()

    async def _on_reconnected(self) -> None:
        """What was published while the connection was down has reached nobody, from here or to here."""
        _log.warning("NATS is back")
        self._queue(_RECHECK, b"")
        self._recheck_soon()

    async def _on_disconnected(self) -> None:
        _log.warning("NATS is gone")

    async def _on_error(self, fault: Exception) -> None:
        _log.warning("NATS: %s", fault or type(fault).__name__)
        if isinstance(fault, nats.errors.SlowConsumerError):
            self._recheck_soon()

    def _recheck_soon(self) -> None:
        """With jitter: the nodes must not all read their logs at once."""
        loop = asyncio.get_running_loop()

        def recheck() -> None:
            self._rechecks.discard(timer)
            if self._handler:
                self._handler.recheck()

        timer = loop.call_later(random.uniform(0, _RECHECK_WITHIN), recheck)  # noqa: S311 - jitter
        self._rechecks.add(timer)
