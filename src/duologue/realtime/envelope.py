"""Sealed payloads: between nodes everything is encrypted and authenticated, numbered and dated.

Whoever reads the network between nodes learns who publishes how much, and no content. Whoever writes to it can
neither make a payload that opens nor use an old one again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from duologue.clock import SECOND, Clock

NOTICES: Final = b"n"
SIGNAL: Final = b"s"
BEAT: Final = b"b"
"""The sender is there, and has published nothing that was not heard before this."""
LEAVE: Final = b"l"
"""The sender stops: nothing more will come from it."""

_HEAD: Final = struct.Struct(">c16sQQ")
"""The kind, the sender, its count of payloads, and when it was sealed in epoch milliseconds."""
_TAG: Final = 16
"""Bytes by which encryption lengthens a body."""
_FRESH: Final = 10 * SECOND
"""Milliseconds: what was sealed longer ago, or so far ahead, is not believed. Clocks must agree better than that."""
_SENDERS: Final = 1_024
"""Senders that are remembered at most. Only payloads that open make one remembered."""


class PayloadRefused(Exception):
    """A payload that is not believed; `reason` is `forged`, `stale` or `repeated`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A payload that one of us sealed, `age` milliseconds ago.

    `missed` if others from the same sender did not arrive before it, or may not have.
    """

    kind: bytes
    sender: bytes
    body: bytes
    age: int
    missed: bool


def _cipher(key: bytes, sender: bytes) -> AESGCM:
    # A key for each sender: each counts its payloads from 1, and no key may ever see a nonce twice.
    return AESGCM(hmac.digest(key, b"sender " + sender, hashlib.sha256))


class Sealer:
    """Seals what this process publishes. Never share one between processes: a nonce would be used twice."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self.sender = os.urandom(16)
        self._cipher = _cipher(key, self.sender)
        self._clock = clock
        self._count = 0

    def seal(self, kind: bytes, body: bytes = b"") -> bytes:
        """The payload that brings `body` to the other nodes."""
        self._count += 1
        head = _HEAD.pack(kind, self.sender, self._count, self._clock())
        return head + self._cipher.encrypt(self._count.to_bytes(12), body, head)


class Opener:
    """Opens what others have sealed with one of these keys, each payload once."""

    def __init__(self, keys: Sequence[bytes], clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._known: dict[bytes, tuple[AESGCM, int]] = {}

    def open(self, payload: bytes) -> Opened:
        """Raises `PayloadRefused`."""
        if len(payload) < _HEAD.size + _TAG:
            raise PayloadRefused("forged")
        kind, sender, count, sealed_at = _HEAD.unpack_from(payload)
        cipher, last = self._known.get(sender, (None, 0))
        if cipher is None:
            cipher, body = self._identify(sender, count, payload)
            missed = True
        else:
            body = _decrypt(cipher, count, payload)
            missed = count != last + 1
        age = self._clock() - sealed_at
        if not -_FRESH <= age <= _FRESH:
            raise PayloadRefused("stale")
        if count <= last:
            raise PayloadRefused("repeated")
        self._remember(sender, cipher, count)
        return Opened(kind, sender, body, age, missed)

    def _remember(self, sender: bytes, cipher: AESGCM, count: int) -> None:
        """The newest stand last; the one not heard for longest makes room."""
        self._known.pop(sender, None)
        self._known[sender] = (cipher, count)
        if len(self._known) > _SENDERS:
            del self._known[next(iter(self._known))]

    def _identify(self, sender: bytes, count: int, payload: bytes) -> tuple[AESGCM, bytes]:
        """Find the key of a sender that is not known yet."""
        for key in self._keys:
            cipher = _cipher(key, sender)
            try:
                body = _decrypt(cipher, count, payload)
            except PayloadRefused:
                continue
            return cipher, body
        raise PayloadRefused("forged")


def _decrypt(cipher: AESGCM, count: int, payload: bytes) -> bytes:
    head, sealed = payload[: _HEAD.size], payload[_HEAD.size :]
    try:
        return cipher.decrypt(count.to_bytes(12), sealed, head)
    except InvalidTag:
        raise PayloadRefused("forged") from None
