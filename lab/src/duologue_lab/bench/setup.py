"""The server, users and options that all scenarios use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from duologue_lab.bench.http import Http
from duologue_lab.bench.measured_server import MeasuredServer
from duologue_lab.bench.meter import Meter
from duologue_lab.bench.people import People
from duologue_lab.bench.progress import ProgressBars
from duologue_lab.bench.result import Machine, Result


class BenchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes and rates of all scenarios."""

    sockets: Sequence[int] = (400,)
    users: int = 10_000
    seconds: float = 10.0
    rates: Sequence[float] = ()
    text: int = 200
    large: bool = False
    limits: bool = False
    """Whether a server started for this keeps its rate limits."""

    @property
    def settling(self) -> float:
        """Seconds in which the server comes to rest after users have come or gone."""
        return min(1.0, self.seconds)


class BenchSetup(msgspec.Struct, frozen=True):
    """The server, the users who drive it, and the options of the run."""

    place: MeasuredServer
    machine: Machine
    options: BenchOptions
    people: People
    http: Http
    watch: ProgressBars

    def meter(self) -> Meter:
        """One that starts now."""
        return Meter(self.place.server, self.place.database, self.place.cores)


class Scenario(Protocol):
    """Drives the server and tells what it did."""

    async def __call__(self, setup: BenchSetup, /) -> list[Result]: ...
