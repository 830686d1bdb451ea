"""Ids for handsets' messages over SMPP, which gives them none."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from collections import deque

_REPEATED_WITHIN = 60
"""Seconds before a lost connection and after the next one: what a carrier was not told is safe, it repeats."""
_RETRIED_WITHIN = 3600
"""Seconds for which a carrier may wait before it repeats what we could not store."""
_REPEATS_KEPT = 100  # texts


class Deliveries:
    """An id for each message that a carrier hands over.

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
