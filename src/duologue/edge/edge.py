"""Bounds on the connections of a process."""

from __future__ import annotations

from dataclasses import dataclass, field

from duologue.core.addresses import Remotes
from duologue.core.rates import Rates
from duologue.edge.connection_caps import ConnectionCaps
from duologue.edge.connection_rate import ConnectionRate
from duologue.edge.hosts import Hosts
from duologue.edge.http_watch import ConnectionWatch, Patience


@dataclass(frozen=True, slots=True)
class Edge:
    """The bounds that all connections of a process share."""

    caps: ConnectionCaps = field(default_factory=ConnectionCaps)
    hosts: Hosts = field(default_factory=Hosts)
    watch: ConnectionWatch = field(default_factory=lambda: ConnectionWatch(Patience()))
    rate: ConnectionRate = field(default_factory=lambda: ConnectionRate(Rates(limited=False), Remotes(())))
