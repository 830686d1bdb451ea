"""Network addresses: whose request it is, and which addresses count as one."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(text: str) -> list[Network]:
    """Comma-separated networks, such as `10.0.0.0/8, ::1`. Raises `ValueError`."""
    return [ipaddress.ip_network(item.strip()) for item in text.split(",") if item.strip()]


def client_address(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """Where a request comes from: the peer, or, if that is a trusted proxy, whom it says it speaks for.

    `X-Forwarded-For` is read from its end, the part that our own proxies wrote, up to the first address that is
    none of them. What a client puts there itself is never looked at.
    """
    address = peer
    for hop in [item.strip() for item in reversed(forwarded.split(","))]:
        if not _is_trusted(address, trusted) or _parse(hop) is None:
            break
        address = hop
    return address


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    address = _parse(text)
    return address is not None and any(address in network for network in trusted)


def address_block(text: str) -> str:
    """The block that counts as one asker: a /24, or a /48 of IPv6, since anybody can have a whole one."""
    address = _parse(text)
    if address is None:
        return "unknown"
    prefix = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))


def is_local(text: str) -> bool:
    """Whether the request was made on this very machine."""
    address = _parse(text)
    return address is not None and address.is_loopback
