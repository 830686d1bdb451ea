"""Receiver of what other nodes publish: opens it, hands it on, and judges what may be missing."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from prometheus_client import Counter

from duologue.clock import SECOND, Clock
from duologue.realtime.bus import BusHandler
from duologue.realtime.envelope import BEAT, LEAVE, NOTICES, SIGNAL, Opened, Opener, PayloadRefused
from duologue.realtime.payloads import decode_notices, decode_signal

_log = logging.getLogger(__name__)

_REFUSED: Final = Counter("duologue_bus_refused_total", "Payloads that were not believed.", ["reason"])
_MISSED: Final = Counter("duologue_bus_gaps_total", "Times that payloads of another node were missing.")

_WARN_EVERY: Final = 60.0
"""Seconds between two log lines about payloads that were not believed."""
_CLOCKS: Final = SECOND
"""Milliseconds by which the clocks of two nodes may differ without harm."""
_LOST_AFTER: Final = 3_600.0
"""Seconds of silence until a node that did not say good-bye is taken for dead.

It may be cut off and go on storing messages: until then this node can't say that it hears everybody.
"""


class SealedInbox:
    """Passes what verifies on to a handler, and tells it when something may be missing.

    `expected` is the number of other nodes if that is known; else all are expected that were ever heard.
    """

    def __init__(self, keys: Sequence[bytes], clock: Clock, expected: int = 0) -> None:
        self._opener = Opener(keys, clock)
        self._expected = expected
        self._heard: dict[bytes, float] = {}
        self._warned_at = -math.inf
        self._unsaid = 0

    def receive(self, payload: bytes, handler: BusHandler) -> bytes | None:
        """Handle one payload; its sender, or None when it is not believed. Never raises."""
        try:
            opened = self._opener.open(payload)
            self._hand_over(opened, handler)
        except PayloadRefused as refused:
            self._refuse(refused.reason, handler)
        except msgspec.DecodeError:
            self._refuse("unreadable", handler)
        else:
            return opened.sender
        return None

    def _hand_over(self, opened: Opened, handler: BusHandler) -> None:
        delay = max(0, opened.age - _CLOCKS) / SECOND
        self._heard[opened.sender] = time.monotonic() - delay
        if opened.missed:
            _MISSED.inc()
            handler.doubt()
        if opened.kind == NOTICES:
            handler.deliver(decode_notices(opened.body))
        elif opened.kind == SIGNAL:
            handler.signal(decode_signal(opened.body))
        elif opened.kind == LEAVE:
            self.lost(opened.sender)
        elif opened.kind != BEAT:
            raise PayloadRefused("unreadable")

    def _refuse(self, reason: str, handler: BusHandler) -> None:
        """Drop it. It may have been a true one of a node with another secret or clock: the store knows."""
        _REFUSED.labels(reason).inc()
        self._unsaid += 1
        handler.doubt()
        now = time.monotonic()
        if now - self._warned_at >= _WARN_EVERY:
            _log.warning("%d payloads on the bus were refused, the last as %s", self._unsaid, reason)
            self._warned_at, self._unsaid = now, 0

    def lost(self, sender: bytes) -> None:
        """Expect nothing more from this node."""
        self._heard.pop(sender, None)

    def as_of(self) -> float:
        """The monotonic time up to which every other node has been heard."""
        now = time.monotonic()
        for sender in [sender for sender, at in self._heard.items() if now - at > _LOST_AFTER]:
            self.lost(sender)
        if len(self._heard) < self._expected:
            return -math.inf
        return min(self._heard.values(), default=now)
