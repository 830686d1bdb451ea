"""Integers written as `1.0` or `1e0`: JSON Schema takes them for integers, and some libraries send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


def decode_whole_floats(
    decode: Callable[[bytes], Any], payload: bytes, kind: Any, fault: msgspec.ValidationError
) -> Any:
    """Decode again a payload refused with `fault`, taking whole floats for integers. Raises `ValidationError`.

    `decode` decodes anything, `kind` is the type that was expected. Only what was refused comes here, so that others
    don't pay for it. Raises `msgspec.ValidationError`, which is `fault` if something else was wrong.
    """
    if "got `float`" not in str(fault):
        raise fault
    try:
        value = _with_integers(decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise fault from None
    return msgspec.convert(value, kind)


def _with_integers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _with_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    return value
