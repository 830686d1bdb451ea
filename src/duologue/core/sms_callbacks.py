"""What comes back from the SMS network: receipts, and texts from handsets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter

from duologue.errors import ApiError
from duologue.sms.failover import find
from duologue.sms.provider import (
    BadCallback,
    BadSignature,
    Callback,
    CallbackKind,
    InboundSms,
    Provider,
    Receipt,
)

_log = logging.getLogger(__name__)

_RECEIPTS: Final = Counter(
    "duologue_sms_receipts_total", "Receipts from SMS providers.", ["provider", "state"]
)
_INBOUND: Final = Counter("duologue_sms_inbound_total", "Texts from handsets.", ["provider"])


class SmsCallbacks:
    """The `Sink` of every provider, and the door for those that call back over HTTP."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def accept(self, name: str, kind: CallbackKind, request: Callback) -> None:
        """A callback by HTTP.

        Raises `ApiError` `not_found` (no such provider), `bad_signature`, `invalid`.
        """
        if find(self._provider, name) is None:
            raise ApiError("not_found", "There is no such SMS provider here.")
        try:
            await self.callback(name, kind, request)
        except BadSignature as fault:
            _log.warning("a callback in the name of %s is not from it", name)
            raise ApiError("bad_signature") from fault
        except BadCallback as fault:
            raise ApiError("invalid", str(fault)) from fault

    async def callback(self, provider: str, kind: CallbackKind, request: Callback) -> None:
        """Raises `BadSignature`, `BadCallback`."""
        source = find(self._provider, provider)
        if source is None:
            raise BadSignature(f"no provider is called {provider}")
        if kind == "status":
            await self.receipts(provider, source.parse_status(request))
        else:
            await self.inbound(provider, source.parse_inbound(request))

    async def receipts(self, provider: str, receipts: Sequence[Receipt]) -> None:
        """Count what the network says. Codes are not followed one by one: what matters is who redeems them."""
        for receipt in receipts:
            _RECEIPTS.labels(provider, receipt.state).inc()
            if receipt.state in ("undelivered", "failed"):
                _log.info(
                    "an SMS was %s by %s (%s)", receipt.state, provider, receipt.code or "no reason given"
                )

    async def inbound(self, provider: str, messages: Sequence[InboundSms]) -> None:
        """Nobody is written to by SMS yet, so an answer has no chat to land in. It is counted, never logged."""
        _INBOUND.labels(provider).inc(len(messages))
