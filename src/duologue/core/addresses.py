"""Network addresses: whose request it is, and which addresses count as one."""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REMEMBERED: Final = 10_000
"""Remotes; each takes about 500 bytes."""
_SHORT: Final = 64
"""Characters of an `X-Forwarded-For` that is remembered."""
_WITH_PORT: Final = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::\d{1,5})?")


def parse_networks(text: str) -> list[Network]:
    """Comma-separated networks of proxies, such as `10.0.0.0/8, ::1`. Raises `ValueError` with what is wrong."""
    return [_network(item.strip()) for item in text.split(",") if item.strip()]


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as fault:
        raise ValueError(f"trusted_proxies: {text} is not a network such as 10.0.0.0/8 ({fault})") from None
    if network.prefixlen == 0:
        raise ValueError(f"trusted_proxies: {text} is everybody, so anybody could claim any address")
    return network


def client_address(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """Return the client's address: the peer's, or, behind a trusted proxy, the one that the proxy names.

    `X-Forwarded-For` is read from its end, the part that our own proxies wrote, up to the first address that is
    none of them. What a client puts there itself is never looked at. The result is in canonical form; a peer
    without an address (a socket of another kind) stays as it is.
    """
    address = _parse(peer)
    for hop in reversed(forwarded.split(",")):
        if address is None or not any(address in network for network in trusted):
            break
        said = _parse(hop)
        if said is None:
            break
        address = said
    return peer if address is None else str(address)


def _parse(text: str) -> Address | None:
    """An address; some proxies add its port. IPv4 in IPv6 is IPv4, and a zone is nobody else's business."""
    found = _WITH_PORT.fullmatch(text.strip())
    bare = (found[1] or found[2] or "") if found else text.strip()
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
    return address


def asker(text: str) -> str:
    """Return the network that shares a verification: one IPv4 address, or a /64 of IPv6, which is one household."""
    address = _parse(text)
    if address is None:
        return "unknown"
    return str(address) if address.version == 4 else _block(address, 64)


def address_block(text: str) -> str:
    """The block that counts as one for limits: a /24, or a /48 of IPv6, since anybody can have a whole one."""
    address = _parse(text)
    if address is None:
        return "unknown"
    return _block(address, 24 if address.version == 4 else 48)


def _block(address: Address, prefix: int) -> str:
    return str(ipaddress.ip_network((address, prefix), strict=False))


def is_among(text: str, networks: Sequence[Network]) -> bool:
    """Return whether an address lies in one of the networks."""
    address = _parse(text) if networks else None
    return address is not None and any(address in network for network in networks)


def is_local(text: str) -> bool:
    """Return whether the request was made on this very machine."""
    address = _parse(text)
    return address is not None and address.is_loopback


class Remote(msgspec.Struct, frozen=True, gc=False):
    """Origin of a request: its address, the block that counts as one, and whether it is this machine."""

    address: str
    block: str
    local: bool


class Remotes:
    """Tells where each request comes from, behind the `trusted` proxies. Remembers the latest addresses."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._known: OrderedDict[tuple[str, str], Remote] = OrderedDict()

    def is_proxy(self, peer: str) -> bool:
        """Tell whether `peer` is one of the trusted proxies."""
        return is_among(peer, self._trusted)

    def find(self, peer: str, forwarded: Iterable[str]) -> Remote:
        """Return the origin of a request that `peer` made, with these values of `X-Forwarded-For`."""
        said = ", ".join(forwarded) if self._trusted else ""
        key = (peer, said)
        remote = self._known.get(key)
        if remote is None:
            address = client_address(peer, said, self._trusted)
            remote = Remote(address, address_block(address), is_local(address))
            if len(said) <= _SHORT:
                self._known[key] = remote
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return remote
