"""Opaque cursors: where in a user's list a page begins, and a check that it is this user's and this list's."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from duologue.errors import ApiError

_POSITION: Final = 6  # bytes
_CHECK: Final = 6  # bytes


def encode_cursor(listing: str, user_id: int, position: int) -> str:
    """A cursor for `position` in one of a user's lists."""
    head = position.to_bytes(_POSITION)
    return base64.urlsafe_b64encode(head + _check(listing, user_id, head)).decode()


def decode_cursor(listing: str, user_id: int, cursor: str) -> int:
    """The position inside. Raises `ApiError` `invalid_cursor` for any that this list didn't give this user."""
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    head, check = raw[:_POSITION], raw[_POSITION:]
    if check != _check(listing, user_id, head):
        raise ApiError("invalid_cursor", errors={"cursor": "was not given out by this list"})
    return int.from_bytes(head)


def _check(listing: str, user_id: int, head: bytes) -> bytes:
    return hashlib.blake2b(b"%s.%d." % (listing.encode(), user_id) + head, digest_size=_CHECK).digest()
