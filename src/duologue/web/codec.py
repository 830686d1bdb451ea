"""The two subprotocols: the same frames as JSON text or as MessagePack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from duologue.errors import ApiError
from duologue.protocol.frames import (
    SUBPROTOCOL_MSGPACK,
    AnyClientFrame,
    ClientFrame,
)
from duologue.web.problems import invalid_body


class BadFrame(Exception):
    """What came is no frame at all in this subprotocol."""


class Codec:
    """Frames to bytes and back."""

    def __init__(self, library: Any, *, binary: bool) -> None:
        self.binary = binary
        self.encode: Callable[[Any], bytes] = library.Encoder().encode
        self._decode = library.Decoder(AnyClientFrame).decode
        self._decode_any = library.Decoder().decode

    def decode(self, payload: bytes, *, binary: bool) -> ClientFrame:
        """Raises `BadFrame`, and `ApiError` `invalid` with the frame's `ref` and `client_id` if they can be read."""
        if binary != self.binary:
            raise BadFrame
        try:
            return self._decode_frame(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise BadFrame from fault

    def _decode_frame(self, payload: bytes) -> ClientFrame:
        try:
            frame: ClientFrame = self._decode(payload)
        except msgspec.ValidationError as fault:
            # Raised at the first thing that is wrong: only now is it seen whether the rest is even well-formed.
            raise self._explained(payload, fault) from fault
        return frame

    def _explained(self, payload: bytes, fault: msgspec.ValidationError) -> ApiError:
        error = invalid_body(fault)
        frame = self._decode_any(payload)
        if isinstance(frame, dict):
            error.extra |= {
                name: frame[name] for name in ("ref", "client_id") if isinstance(frame.get(name), str)
            }
        return error

    def from_json(self, frame: bytes) -> bytes:
        """A frame that was encoded once, as JSON, for every reader."""
        return self.encode(msgspec.json.decode(frame)) if self.binary else frame


_JSON: Final = Codec(msgspec.json, binary=False)
_MSGPACK: Final = Codec(msgspec.msgpack, binary=True)


def codec_of(subprotocol: str | None) -> Codec:
    """JSON unless MessagePack was agreed on."""
    return _MSGPACK if subprotocol == SUBPROTOCOL_MSGPACK else _JSON
