"""Handling of receipts and inbound texts from the SMS network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import Counter

from duologue.clock import Clock
from duologue.core.delivery.relay_policy import storable
from duologue.core.replies import Replies
from duologue.errors import ApiError
from duologue.model import decode_id
from duologue.providers.sms.failover import find
from duologue.providers.sms.provider import (
    BadCallback,
    BadSignature,
    Callback,
    CallbackKind,
    DeliveryReport,
    GivenId,
    InboundSms,
    Provider,
)
from duologue.storage.database import Database, Tx
from duologue.storage.tables import outbox, sms_ids

_log = logging.getLogger(__name__)

_RECEIPTS: Final = Counter(
    "duologue_sms_receipts_total", "Receipts from SMS providers.", ["provider", "state"]
)
_INBOUND: Final = Counter("duologue_sms_inbound_total", "Texts from handsets.", ["provider"])


class SmsCallbacks:
    """The `Sink` of every provider, and the door for those that call back over HTTP."""

    def __init__(
        self, provider: Provider, db: Database, clock: Clock, replies: Replies, wake: Callable[[], None]
    ) -> None:
        self._provider = provider
        self._db = db
        self._clock = clock
        self._replies = replies
        self._wake = wake

    async def accept(self, name: str, kind: CallbackKind, request: Callback) -> str:
        """Take a callback by HTTP; return what the provider wants to hear, mostly nothing.

        Raises `ApiError` `not_found` (no such provider), `bad_signature`, `invalid`.
        """
        source = find(self._provider, name)
        if source is None:
            raise ApiError("not_found", "There is no such SMS provider here.")
        try:
            await self.callback(name, kind, request)
        except BadSignature as fault:
            _log.warning("a callback in the name of %s is not from it", name)
            raise ApiError("bad_signature") from fault
        except BadCallback as fault:
            raise ApiError("invalid", str(fault)) from fault
        return source.capabilities.acknowledgement

    async def callback(self, provider: str, kind: CallbackKind, request: Callback) -> None:
        """Raises `BadSignature`, `BadCallback`."""
        source = find(self._provider, provider)
        if source is None:
            raise BadSignature(f"no provider is called {provider}")
        if kind == "status":
            await self.receipts(provider, source.parse_status(request))
        else:
            await self.inbound(provider, source.parse_inbound(request))

    async def receipts(self, provider: str, receipts: Sequence[DeliveryReport]) -> None:
        """Note what the network says. Codes are not followed one by one: what matters is who redeems them."""
        source = find(self._provider, provider)
        sure = source is not None and source.capabilities.idempotent
        await self._db.directory().write(_record, provider, receipts, self._clock(), adopt=not sure)
        self._wake()
        for receipt in receipts:
            _RECEIPTS.labels(provider, receipt.state).inc()
            if receipt.state in ("undelivered", "failed"):
                _log.info(
                    "an SMS was %s by %s (%s)", receipt.state, provider, receipt.code or "no reason given"
                )

    async def inbound(self, provider: str, messages: Sequence[InboundSms]) -> None:
        """Take what phones wrote; never logged."""
        for sms in messages:
            await self._replies.receive(provider, sms)
            _INBOUND.labels(provider).inc()

    async def given(self, provider: str, ids: Sequence[GivenId]) -> None:
        """Remember ids under which receipts will come, whatever the SMS is for."""
        rows = [(storable(each.provider_id), each.tail) for each in ids]
        await self._db.directory().write(sms_ids.give, provider, rows, self._clock())

    async def known(self, provider: str, folded: Sequence[str]) -> list[GivenId]:
        """Those of the ids that were given whose folded form is one of these."""
        found = await self._db.directory().read(sms_ids.known, provider, [storable(form) for form in folded])
        return [GivenId(*row) for row in found]


def _record(tx: Tx, provider: str, receipts: Sequence[DeliveryReport], now: int, *, adopt: bool) -> None:
    # Two parts' receipts at once, or one and the provider's answer, would each miss the other.
    tx.lock_logs()
    for receipt in receipts:
        provider_id, event, code = map(
            storable, (receipt.provider_id, receipt.event or "", receipt.code or "")
        )
        known = outbox.record_receipt(
            tx, provider, provider_id, receipt.state, receipt.part or 0, event, code, now
        )
        if known is not None:
            outbox.fold(tx, known, now)
        elif adopt:
            _adopt(tx, provider, provider_id, now)


def _adopt(tx: Tx, provider: str, provider_id: str, now: int) -> None:
    """Take a report under our own reference as proof that the SMS was taken, although its answer never came.

    It mustn't be sent again. (With an idempotent provider that does no harm, and tells how many receipts to expect.)
    """
    reference = decode_id("rly", provider_id)
    if reference is not None and (row := outbox.tried(tx, reference)):
        outbox.sent(tx, row, provider, (provider_id,), 0, 1, now)
