"""Part of the wiring: from settings to the relay, its policy, and those who hear from phones."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from duologue.clock import HOUR, SECOND, SteadyClock
from duologue.config import Settings
from duologue.core.delivery.relay_policy import RelayPolicy, parse_numbers, parse_sender
from duologue.core.delivery.sms_relay import SmsRelay
from duologue.core.given_codes import GivenCodes
from duologue.core.quiet_hours import parse_quiet_hours
from duologue.core.replies import Replies
from duologue.core.sms_callbacks import SmsCallbacks
from duologue.core.sms_policy import MILLION, Spending, parse_countries, parse_prices
from duologue.core.strangers import Strangers
from duologue.model import Relay
from duologue.providers.sms.address import parse, split_urls
from duologue.providers.sms.provider import Provider
from duologue.providers.sms.simulator import Simulator
from duologue.storage.database import Database
from duologue.storage.tables.sms_relay import RelayRule

_GRACE: Final = 5.0
"""Seconds that an SMS under way gets when the node stops."""
_SIMULATED_NUMBERS: Final = [f"+1202555{number:04d}" for number in range(101, 111)]
"""As many as a developer will try at once; the numbers are set aside for fiction."""


class SmsServices:
    """All that a node does with SMS besides codes. Raises `ValueError` for settings that make no sense."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        clock: SteadyClock,
        provider: Provider,
        rule: RelayRule,
        secret: bytes | None,
        strangers: Strangers,
    ) -> None:
        """`secret` is what sign-in codes follow from; None where there are none."""
        self._stop_by = 0.0
        policy = _policy(settings, provider)
        base = f"{settings.public_url.rstrip('/')}/v1/sms" if settings.public_url else None
        self.relay = SmsRelay(
            db,
            clock,
            provider,
            rule,
            policy,
            valid_for=settings.relay_valid_hours * HOUR,
            callback_base=base,
            doubtful=lambda: clock.doubtful,
        )
        codes = GivenCodes(secret) if secret else None
        self.replies = Replies(db, clock, provider, policy, strangers, codes, clock.settled)
        self.callbacks = SmsCallbacks(provider, db, clock, self.replies, self.relay.wake)

    def start(self) -> None:
        """Run the background loops."""
        self._relaying = asyncio.create_task(self.relay.run())
        self._sweeping = asyncio.create_task(self.replies.run())

    def stop(self) -> None:
        """Begin no SMS any more; those under way have so many seconds from here on."""
        self._stop_by = self._stop_by or time.monotonic() + _GRACE
        self.relay.stop()

    async def close(self) -> None:
        """Wait for them, within bounds: a provider that isn't heard out may be asked twice."""
        self.stop()
        self._sweeping.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0, self._stop_by - time.monotonic())):
                await asyncio.gather(self._relaying, self.replies.close())


def relay_rule(settings: Settings) -> RelayRule:
    """Return the rule when the relay looks at a message."""
    unregistered = Relay.OFF if settings.relay_unregistered == "off" else Relay.ALWAYS
    return RelayRule(Relay[settings.relay.upper()], unregistered, settings.relay_delay * SECOND)


def spending(settings: Settings, provider: Provider | None) -> Spending:
    """Return the allowed destinations and prices of SMS. Raises `ValueError` for settings that make no sense."""
    return Spending(
        allowed=parse_countries(settings.sms_countries),
        denied=parse_countries(settings.sms_denied_countries),
        # Simulated ones cost nothing.
        daily_budget=0 if isinstance(provider, Simulator) else round(settings.sms_daily_budget * MILLION),
        prices=parse_prices(settings.sms_prices),
        unassigned=settings.sms_unassigned_numbers or isinstance(provider, Simulator),
    )


def _policy(settings: Settings, provider: Provider) -> RelayPolicy:
    simulated = isinstance(provider, Simulator)
    numbers = parse_numbers(settings.sms_numbers)
    return RelayPolicy(
        app=settings.sms_app_name,
        language=settings.sms_language or None,
        services=numbers or (_SIMULATED_NUMBERS if simulated else []),
        quiet=parse_quiet_hours(settings.relay_quiet_hours),
        spending=spending(settings, provider),
        sender_budget=0 if simulated else round(settings.relay_sender_budget * MILLION),
        invite_once=settings.relay_unregistered == "invited",
        unanswered=settings.relay_unanswered,
        code_senders=_code_senders(settings),
    )


def _code_senders(settings: Settings) -> frozenset[str]:
    """The numbers or names that codes come from, and the empty one if that is the provider's own sender."""
    if settings.sms_code_sender:
        return frozenset({parse_sender(settings.sms_code_sender)})
    own = (parse(url).options.get("from", "") for url in split_urls(settings.provider_url))
    # SMPP takes numbers without their plus.
    return frozenset({"", *(name for sender in own if sender for name in (sender, f"+{sender}"))})
