"""The two subprotocols: the same frames as JSON text or as MessagePack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from duologue.edge.problems import invalid_body
from duologue.edge.whole_numbers import decode_whole_floats
from duologue.errors import ApiError
from duologue.protocol.frames import (
    SUBPROTOCOL_MSGPACK,
    AnyClientFrame,
    ClientFrame,
)

_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BadFrame(Exception):
    """Bytes that are no value of this subprotocol: they can't be decoded."""


class NotAMap(ApiError):
    """A value that can be decoded and is no map (an array, a number, a string, null), so it is no frame."""


class Codec:
    """Frames to bytes and back."""

    def __init__(self, library: Any, *, binary: bool) -> None:
        self.binary = binary
        self._encode: Callable[[Any], bytes] = library.Encoder().encode
        self._decode = library.Decoder(AnyClientFrame).decode
        self._decode_any = library.Decoder().decode

    def decode(self, payload: bytes, *, binary: bool) -> ClientFrame:
        """Return the frame in `payload`.

        Raises `BadFrame`, `NotAMap`, and `ApiError` `invalid` with the frame's `ref` and `client_id` if these can be
        read.
        """
        if binary != self.binary:
            raise BadFrame
        try:
            frame: ClientFrame = self._decode(payload)
        except msgspec.ValidationError as fault:
            return self._decode_again(payload, fault)
        except _MALFORMED as fault:
            raise BadFrame from fault
        return frame

    def _decode_again(self, payload: bytes, fault: msgspec.ValidationError) -> ClientFrame:
        """Take whole floats for integers. Raises as `decode`."""
        try:
            frame: ClientFrame = decode_whole_floats(self._decode_any, payload, AnyClientFrame, fault)
        except msgspec.ValidationError as still:
            raise self._explained(payload, still) from still
        return frame

    def _explained(self, payload: bytes, fault: msgspec.ValidationError) -> ApiError:
        error = invalid_body(fault)
        try:
            # Only the first thing that was wrong is known: the rest may not even be well-formed.
            frame = self._decode_any(payload)
        except _MALFORMED as worse:
            raise BadFrame from worse
        if not isinstance(frame, dict):
            return NotAMap("invalid", "A frame is a map with `op`.", errors=error.errors)
        error.extra |= {
            name: frame[name] for name in ("ref", "client_id") if isinstance(frame.get(name), str)
        }
        return error

    def from_json(self, frame: bytes) -> bytes:
        """One that was encoded once, as JSON, for every reader, for those of the binary subprotocol."""
        return self._encode(msgspec.json.decode(frame))


_JSON: Final = Codec(msgspec.json, binary=False)
_MSGPACK: Final = Codec(msgspec.msgpack, binary=True)


def codec_of(subprotocol: str | None) -> Codec:
    """JSON unless MessagePack was agreed on."""
    return _MSGPACK if subprotocol == SUBPROTOCOL_MSGPACK else _JSON
