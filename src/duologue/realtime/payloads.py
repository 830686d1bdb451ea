"""Encoding of notices and signals between nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from duologue.realtime.bus import Notice, Signal

encode = msgspec.msgpack.Encoder().encode
decode_notices = msgspec.msgpack.Decoder(list[Notice]).decode
decode_signal = msgspec.msgpack.Decoder(Signal).decode


def payloads(notices: Sequence[Notice], limit: int) -> Iterator[bytes]:
    """Notices encoded once, in pieces of at most `limit` bytes as far as they can be divided."""
    payload = encode(notices)
    if len(payload) > limit and len(notices) > 1:
        half = len(notices) // 2
        yield from payloads(notices[:half], limit)
        yield from payloads(notices[half:], limit)
    else:
        yield payload
