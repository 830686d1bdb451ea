"""The bounds of connections, made from settings."""

from __future__ import annotations

import resource
from typing import Final
from urllib.parse import urlsplit

from duologue.config import Settings
from duologue.core.addresses import Remotes, parse_networks
from duologue.core.rates import Rates
from duologue.edge.connection_caps import ConnectionCaps
from duologue.edge.connection_rate import ConnectionRate
from duologue.edge.edge import Edge
from duologue.edge.hosts import Hosts

DESCRIPTORS: Final = 65_536
"""What a process asks of the system: it gets it where the system's hard limit allows."""
RESERVE: Final = 160
"""Descriptors kept for the store, the bus, SMS providers, and connections beyond the caps or over the rate."""
_ANY_ADDRESS: Final = {"", "0.0.0.0", "::"}  # noqa: S104 - compared with, not listened on


def raise_descriptor_limit() -> None:
    """Ask for as many descriptors as a busy server needs: many systems give 1,024 unless they are asked for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room_for_connections(descriptors: int) -> int:
    """Return the number of connections that fit into so many descriptors; of few, half are reserved."""
    return descriptors - min(RESERVE, descriptors // 2)


def edge_of(settings: Settings, rates: Rates, remotes: Remotes) -> Edge:
    """Make the bounds on this process's connections. Raises `ValueError` for networks that are none."""
    return Edge(_caps(settings), _hosts(settings), rate=ConnectionRate(rates, remotes))


def address_cap(settings: Settings) -> int:
    """Connections that one network may have to a process; 0 is no cap. It is fairness, so benchmarks lift it."""
    return settings.max_connections_per_address if settings.rate_limits == "on" else 0


def _caps(settings: Settings) -> ConnectionCaps:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = 0 if descriptors == resource.RLIM_INFINITY else room_for_connections(descriptors)
    caps = [cap for cap in (room, settings.max_connections) if cap]
    return ConnectionCaps(
        min(caps, default=0), address_cap(settings), parse_networks(settings.trusted_proxies)
    )


def _hosts(settings: Settings) -> Hosts:
    """Any name will do where a code proves who somebody is.

    Elsewhere a page that gives its own name the address of a developer's machine could sign in there, or read codes.
    """
    if settings.sign_in != "open" and not settings.simulated:
        return Hosts()
    public = urlsplit(settings.public_url).hostname or ""
    return Hosts((public, settings.host), any_address=settings.host in _ANY_ADDRESS)
