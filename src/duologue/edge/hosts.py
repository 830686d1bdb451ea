"""The `Host` header (RFC 9112 section 3.2): well-formed, and in open or simulated mode a name of this very server."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_REMEMBERED: Final = 256
"""Values of `Host` whose verdict is kept: one for each name that clients use."""


class Hosts:
    """Decides which values of `Host` are answered.

    `names` are host names and addresses besides those of loopback; None stands for any name. With `any_address` every
    IP address is answered too: a page can make a browser send a name to this server, but not somebody else's address.
    """

    def __init__(self, names: Collection[str] | None = None, *, any_address: bool = False) -> None:
        self._names = None if names is None else {_plain(name) for name in names if name}
        self._any_address = any_address
        self._verdict = lru_cache(maxsize=_REMEMBERED)(self._judge)

    def fault(self, values: Sequence[bytes], *, required: bool) -> str | None:
        """A sentence that says what is wrong with the `Host` lines of a request, or None.

        HTTP/1.1 demands exactly one; where it isn't `required`, as in HTTP/1.0, it may be missing.
        """
        if len(values) == 1:
            return self._verdict(values[0])
        if not values:
            return "The Host header is missing." if required else None
        return "There is more than one Host header."

    def _judge(self, value: bytes) -> str | None:
        name = host_of(value.decode("latin-1"))
        if name is None:
            return "The Host header is malformed."
        if self._names is None or name in self._names or self._is_local(name):
            return None
        return (
            "This server has no such name. It signs people in without proof, so it answers only to localhost and to"
            " the host of public_url."
        )

    def _is_local(self, name: str) -> bool:
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return self._any_address or (mapped or address).is_loopback


def host_of(text: str) -> str | None:
    """The name in `name[:port]`, in lower case and an IPv6 address without brackets; None if it is malformed."""
    found = _HOST.fullmatch(text)
    if found is None or int(found[2] or 0) > 0xFFFF:
        return None
    if not found[1].startswith("["):
        return _plain(found[1]) or None
    try:
        return str(ipaddress.IPv6Address(found[1][1:-1]))
    except ValueError:
        return None


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")
