"""The only wiring: settings in, an application out."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from litestar import Litestar

from duologue import __version__
from duologue.app.asgi import make_app
from duologue.app.edge import address_cap, edge_of
from duologue.app.sms import SmsServices, relay_rule, spending
from duologue.clock import DAY, SECOND, Clock, SteadyClock, steady_ms
from duologue.config import Settings
from duologue.core.accounts import Accounts
from duologue.core.addresses import Remotes, parse_networks
from duologue.core.changes import Changes
from duologue.core.chats import Chats
from duologue.core.chores import Chores
from duologue.core.clock import ClockWatch
from duologue.core.delivery.offline import AlarmLoop
from duologue.core.delivery.relay_policy import parse_sender
from duologue.core.delivery.sms_relay import alarm_rule
from duologue.core.events import Events, Publisher
from duologue.core.exports import Exports
from duologue.core.flush import flush_forever, flush_once
from duologue.core.limits import MAX_FRAME, published
from duologue.core.lookout import Lookout
from duologue.core.messages import Messages
from duologue.core.neighbours import Neighbours
from duologue.core.presence import PresenceTracker
from duologue.core.rates import SIGN_IN, Rates
from duologue.core.reactions import Reactions
from duologue.core.readiness import Readiness
from duologue.core.receipts import Receipts
from duologue.core.retention import tidy_forever, trim_forever
from duologue.core.secret import bus_key, load_secret, secret_of
from duologue.core.services import Services
from duologue.core.sessions import Sessions
from duologue.core.sms_policy import SmsPolicy
from duologue.core.strangers import Strangers
from duologue.core.suspensions import SuspensionWatch
from duologue.core.traces import Traces
from duologue.core.verifications import Verifications, Wording
from duologue.errors import overloaded
from duologue.model import Presets, Relay, ShowPresence, WhoCanWrite
from duologue.protocol.server import ServerInfo
from duologue.providers.sms.registry import open_provider
from duologue.providers.sms.simulator import Simulator
from duologue.realtime.bus import Bus, LocalBus
from duologue.realtime.hub import Hub
from duologue.socket.connection import Connection
from duologue.socket.connection_registry import ConnectionRegistry
from duologue.socket.endpoint import SocketEndpoint
from duologue.socket.transport import http_with_websocket
from duologue.storage.engine.engines import make_database, prepare, sqlite_path
from duologue.storage.tables.sms_relay import RelayRule

_FLUSH: Final = 20.0  # seconds
_FLUSH_TRACES: Final = 3.0  # seconds


class Node:
    """One running server: its parts, made from settings. Workers of one host are given a `bus` of their own."""

    def __init__(self, settings: Settings, bus: Bus | None = None) -> None:
        self.settings = settings
        self.draining = False
        self.clock = SteadyClock()
        self.provider = open_provider(settings.provider_url) if settings.provider_url else None
        rule = relay_rule(settings) if self.provider else None
        presets = _presets(settings, rule)
        self.alarms = alarm_rule(rule) if rule else None
        self.db = make_database(settings.store_url, self.clock, self.alarms, presets)
        self.hub = Hub()
        self.bus = bus or (_nats_bus(settings, self.clock) if settings.bus_url else LocalBus())
        self.sessions = Sessions(self.db, self.clock, self._idle_after, self.clock.settled)
        self.watch = ClockWatch(self.db, self.clock, self.alarms.longest if self.alarms else 0)
        limited = settings.rate_limits == "on"
        self.rates = Rates(limited=limited, always=[SIGN_IN] if settings.sign_in == "sms" else [])
        self.remotes = Remotes(parse_networks(settings.trusted_proxies))
        chats = Chats(self.db, self.clock, limited=limited)
        self.traces = Traces(self.db, self.clock, kept=settings.trace_days > 0, rule=rule)
        self.strangers = Strangers(self.db, self.clock, limited=limited, alarms=self.alarms)
        messages = Messages(self.db, self.clock, chats, self.traces, self.strangers)
        self.receipts = Receipts(self.db, chats, self.traces)
        self.chores = Chores(self.db, self.clock)
        self.presence = PresenceTracker(self.db, self.hub, self.bus, self.clock, self.strangers)
        accounts = self._accounts(presets, limited=limited)
        self.neighbours = self._neighbours()
        self.lookout = self._lookout()
        self.readiness = Readiness(self.db, self.bus, self.clock)
        origins = [origin.strip() for origin in settings.allowed_origins.split(",") if origin.strip()]
        secret = self._secret()
        self.sms = self._wire_sms(rule, secret)
        self.services = self._services(accounts, chats, messages, origins, secret)
        self.registry = ConnectionRegistry(self.services, self.db, self.hub, limited=limited)

    def _services(
        self,
        accounts: Accounts,
        chats: Chats,
        messages: Messages,
        origins: Sequence[str],
        secret: bytes | None,
    ) -> Services:
        """Make the services that routes and sockets call. Raises `ValueError` for settings that make no sense."""
        return Services(
            sessions=self.sessions,
            accounts=accounts,
            chats=chats,
            messages=messages,
            changes=Changes(self.db, self.clock, edit_window=self.settings.edit_window_seconds * SECOND),
            reactions=Reactions(self.db, self.clock),
            receipts=self.receipts,
            strangers=self.strangers,
            presence=self.presence,
            lookout=self.lookout,
            traces=self.traces,
            events=Events(self.db, self.hub, self.sessions, self.traces, self.rates),
            exports=Exports(self.db, chats),
            info=self._info(),
            check_ready=self.check_ready,
            verifications=self._verifications(secret),
            sms_callbacks=self.sms.callbacks if self.sms else None,
            simulator=self.provider if isinstance(self.provider, Simulator) else None,
            rates=self.rates,
            remotes=self.remotes,
            origins=origins,
            public_url=self.settings.public_url.rstrip("/"),
        )

    @property
    def _retention(self) -> int:
        """Milliseconds for which events are kept."""
        return self.settings.event_retention_days * DAY

    @property
    def _idle_after(self) -> int:
        """Milliseconds without use after which a session ends."""
        return self.settings.session_idle_days * DAY

    def _accounts(self, presets: Presets, *, limited: bool) -> Accounts:
        return Accounts(
            self.db, self.clock, self.sessions, self.chores, presets, self.presence, limited=limited
        )

    def _lookout(self) -> Lookout:
        as_of = self.bus.as_of
        if self.neighbours:
            as_of = self.neighbours.alone_as_of
        is_alone = self.bus.alone and not self.neighbours
        return Lookout(self.db, self.hub, self._signed_in, None if is_alone else as_of)

    def _neighbours(self) -> Neighbours | None:
        """Nothing tells a node without a bus that others use its PostgreSQL, too."""
        has_bus = not isinstance(self.bus, LocalBus)
        return None if has_bus or sqlite_path(self.settings.store_url) else Neighbours(self.db, self.clock)

    def _signed_in(self) -> list[Connection]:
        """The sockets that have said hello."""
        return [each for each in self.registry.connections if isinstance(each, Connection) and each.caller]

    def _info(self) -> ServerInfo:
        window = self.settings.edit_window_seconds
        limits = published(self._retention, window, address_cap(self.settings))
        return ServerInfo("duologue", __version__, self.settings.sign_in, limits, self._features())

    def _features(self) -> list[str]:
        """Return the optional features that this server has."""
        offered = {
            "relay": self.sms is not None,
            "sms_replies": self.provider is not None and self.provider.capabilities.inbound,
            "traces": self.settings.trace_days > 0,
        }
        return [name for name, there in offered.items() if there]

    def _wire_sms(self, rule: RelayRule | None, secret: bytes | None) -> SmsServices | None:
        """All that this node does with SMS besides codes. Raises `ValueError` for settings that make no sense."""
        if self.provider is None or rule is None:
            return None
        return SmsServices(self.settings, self.db, self.clock, self.provider, rule, secret, self.strangers)

    def _secret(self) -> bytes | None:
        """The secret that codes follow from, if signing in takes one. Raises `PermissionError`, `ValueError`."""
        settings = self.settings
        if settings.sign_in == "open" or self.provider is None:
            return None
        given = secret_of(settings.secret) if settings.secret else None
        return given or load_secret(Path(settings.data_dir) / "secret")

    def _verifications(self, secret: bytes | None) -> Verifications | None:
        """The rules for codes, if signing in takes one. Raises `ValueError` for settings that make no sense."""
        settings = self.settings
        policy = SmsPolicy(
            spending(settings, self.provider), trust_local=isinstance(self.provider, Simulator)
        )
        if secret is None or self.provider is None:
            return None
        domain = urlsplit(settings.public_url).hostname if settings.public_url else None
        sender = parse_sender(settings.sms_code_sender) if settings.sms_code_sender else None
        wording = Wording(settings.sms_app_name, settings.sms_language or None, domain, sender)
        return Verifications(self.db, self.clock, self.provider, secret, policy, wording)

    def prepare(self) -> None:
        """Make the store's schema ready. Raises `SchemaTooOld`, `SchemaTooNew`."""
        prepare(self.settings.store_url)

    async def check_ready(self) -> str:
        """Return what is amiss though the node can serve; empty if nothing is.

        Raises `ApiError` `overloaded`: the store doesn't answer or takes no writes, or the node is leaving.
        """
        if self.draining:
            raise overloaded("This node is about to stop")
        return await self.readiness.check()

    async def _flush_sessions(self, pause: float) -> None:
        """Write down when sessions were last seen. Whoever holds a socket open uses theirs."""
        for connection in self._signed_in():
            if connection.caller:
                self.sessions.record_use(connection.caller)
        await self.sessions.flush(pause)

    def _forget(self) -> None:
        """Forget all that was remembered of the store: it may have gone back to an older state."""
        self.receipts.forget()
        self.strangers.forget()
        self.services.chats.forget()

    def drain(self, seconds: float) -> None:
        """The node will stop after so many seconds: it isn't ready any more, and sends its sockets elsewhere."""
        self.draining = True
        self.registry.drain(seconds)

    def stop_waiting(self) -> None:
        """Let everybody go who waits for events: the server is about to stop."""
        self.services.events.stop()
        if self.sms:
            self.sms.stop()
        if isinstance(self.provider, Simulator):
            self.provider.stop_waiting()

    @contextlib.asynccontextmanager
    async def running(self, _: Litestar) -> AsyncIterator[None]:
        """Everything started, and stopped in the reverse order."""
        await self.bus.start(self.hub)
        await self.db.open(Publisher(self.bus, self.hub, self._forget))
        await self.watch.start()
        if self.neighbours:
            await self.neighbours.arrive()
        if self.provider and self.sms:
            await self.provider.start(self.sms.callbacks)
        loops = [
            asyncio.create_task(trim_forever(self.db, self.clock.settled, self._retention)),
            asyncio.create_task(
                tidy_forever(
                    self.db, self.clock.settled, self._idle_after, max(1, self.settings.trace_days) * DAY
                )
            ),
            asyncio.create_task(flush_forever(_FLUSH, self._flush_sessions, self.receipts.flush)),
            asyncio.create_task(flush_forever(_FLUSH_TRACES, self.traces.flush)),
            asyncio.create_task(self.chores.run()),
            asyncio.create_task(self.registry.keep_alive()),
            asyncio.create_task(self.presence.call_rolls()),
            asyncio.create_task(self.lookout.run()),
            asyncio.create_task(SuspensionWatch(self.db, self.hub, self.clock).run()),
            asyncio.create_task(self.watch.run()),
        ]
        if self.neighbours:
            loops.append(asyncio.create_task(self.neighbours.run()))
        if self.sms and self.alarms:
            self.sms.start()
            answering = AlarmLoop(self.db, self.clock, self.alarms, [self.sms.relay])
            loops.append(asyncio.create_task(answering.run()))
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self.registry.ended()
            if self.sms:
                await self.sms.close()
            if self.provider:
                await self.provider.aclose()
            await flush_once(self._flush_sessions, self.receipts.flush, self.traces.flush)
            await self.db.close()
            await self.bus.close()

    def protocol(self) -> type[asyncio.Protocol]:
        """The class that uvicorn makes of each connection: HTTP, and sockets on the same port."""
        edge = edge_of(self.settings, self.rates, self.remotes)
        return http_with_websocket(SocketEndpoint(self.registry), max_message=MAX_FRAME, edge=edge)

    def asgi(self) -> Litestar:
        return make_app(self.services, [self.running])


def _presets(settings: Settings, rule: RelayRule | None) -> Presets:
    """The preferences of users who chose nothing."""
    return Presets(
        WhoCanWrite[settings.who_can_write.upper()],
        ShowPresence[settings.presence.upper()],
        settings.discoverable,
        rule.default if rule else Relay.OFF,
    )


def _nats_bus(settings: Settings, clock: Clock) -> Bus:
    """Loaded when it is asked for: a single node starts the sooner. Raises `ValueError`."""
    secrets = filter(None, (settings.secret, settings.previous_secret))
    keys = [bus_key(secret_of(secret)) for secret in secrets]
    bus: Bus = importlib.import_module("duologue.realtime.nats").NatsBus(settings.bus_url, keys, clock)
    return bus


def sibling_bus(folder: Path, index: int, count: int, key: bytes) -> Bus:
    """The bus of one worker, loaded when it is asked for; `key` is known to the workers of this host alone."""
    bus: Bus = importlib.import_module("duologue.realtime.siblings").SiblingBus(
        folder, index, count, key, steady_ms
    )
    return bus
