"""The server's secret: made on the first start, or given; the same on every node."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

_BYTES: Final = 32  # bytes
_CODE_SPACE: Final = 1_000_000  # codes of six digits


def load_secret(path: Path) -> bytes:
    """The secret in a file of mode 0600, which is made if need be. Several processes may try at once.

    Raises `PermissionError` with what to do when others can read it, and `ValueError` when it isn't whole: a code
    that follows from an empty secret could be worked out by anybody.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path} can be read by others: run `chmod 600 {path}`.")
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise ValueError(
            f"{path} is damaged: it must hold {2 * _BYTES} hexadecimal digits. Restore it, or delete it and a new one"
            " is made: codes under way are void then, sessions are not."
        )
    return secret


def _make(path: Path) -> None:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole or not at all, and only for the first who comes.
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink(missing_ok=True)


def secret_of(given: str) -> bytes:
    """The secret that follows from the setting of that name."""
    return hashlib.sha256(given.encode()).digest()


def bus_key(secret: bytes) -> bytes:
    """The key of what nodes tell each other: it tells nothing of the secret, nor of what else follows from it."""
    return hmac.digest(secret, b"bus between nodes, 1", hashlib.sha256)


def code_for(secret: bytes, verification_id: int) -> str:
    """The six digits of a verification: HMAC-SHA-256 of its random id, so they need not be stored.

    Whoever holds the database but not the secret learns nothing of them. The bias of the reduction is 2**-44.
    """
    digest = hmac.digest(secret, b"sign-in code %d" % verification_id, hashlib.sha256)
    return f"{int.from_bytes(digest[:8]) % _CODE_SPACE:06d}"


def same_code(given: str, right: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def acquaintance(secret: bytes, phone: str, block: str) -> str:
    """A name for a number together with a network that it signed in from, which tells neither of them."""
    return hmac.digest(secret, f"signed in {phone} {block}".encode(), hashlib.sha256)[:16].hex()
