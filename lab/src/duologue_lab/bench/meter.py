"""Measuring: CPU of each side, how busy their cores are, and latencies."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import psutil
from hdrh.histogram import HdrHistogram

from duologue_lab.bench.cores import Cores

_LONGEST: Final = 3_600_000_000
"""Microseconds."""
BUSY: Final = 0.9
"""The share of its core from which the generator may be what is measured."""


class Quantiles(msgspec.Struct, frozen=True):
    """A distribution of waiting times, in milliseconds."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    count: int


def quantiles(seconds: Iterable[float]) -> Quantiles:
    """Quantiles of waiting times, from an HdrHistogram with three significant digits."""
    histogram = HdrHistogram(1, _LONGEST, 3)
    for microseconds, count in Counter(max(1, round(wait * 1e6)) for wait in seconds).items():
        histogram.record_value(microseconds, count)
    cuts = [histogram.get_value_at_percentile(cut) / 1000 for cut in (50, 90, 99, 99.9, 100)]
    p50, p90, p99, p999, longest = cuts
    return Quantiles(p50, p90, p99, p999, longest, histogram.get_total_count())


def seconds_array() -> array[float]:
    """Return an empty array for waiting times in seconds, eight bytes each."""
    return array("d")


class Spent(msgspec.Struct, frozen=True):
    """Seconds between two readings: of the clock, of CPU on each side, and of each pinned core's working time.

    A core is None where the sides have none of their own.
    """

    wall: float
    server: float
    database: float
    generator: float
    server_core: float | None
    generator_core: float | None

    def shares(self) -> dict[str, float]:
        """Each side's share of one core, and what others took of the two cores, in percent."""
        used = {"server": self.server, "database": self.database, "generator": self.generator}
        for name, core, own in (
            ("others beside the server", self.server_core, self.server + self.database),
            ("others beside the generator", self.generator_core, self.generator),
        ):
            if core is not None:
                used[name] = max(0.0, core - own)
        return {name: 100 * cpu / self.wall for name, cpu in used.items()}

    def warnings(self) -> list[str]:
        """Reasons to doubt the figures."""
        own, all_in = self.generator / self.wall, (self.generator_core or 0) / self.wall
        if own > BUSY:
            return [f"the generator took {own:.0%} of its core: it may be what was measured"]
        if all_in > BUSY:
            return [
                f"the generator's core was {all_in:.0%} busy, mostly with others: latencies include that wait"
            ]
        return []


def total(laps: Sequence[Spent]) -> Spent:
    """The sum over all parts."""
    maps = [msgspec.structs.asdict(lap) for lap in laps]
    sums = {name: sum(lap[name] for lap in maps) for name, first in maps[0].items() if first is not None}
    return msgspec.convert({"server_core": None, "generator_core": None} | sums, Spent)


class Meter:
    """Reads the clocks of the server, its database and of this process, which is the generator."""

    def __init__(self, server: psutil.Process | None, database: psutil.Process | None, cores: Cores) -> None:
        self._server = server
        self._database = database
        self._cores = cores
        self._me = psutil.Process()
        self._last = self._read()

    def lap(self) -> Spent:
        """Return what was spent since the last lap, or since this meter was made."""
        now = self._read()
        last, self._last = self._last, now
        wall, server, database, generator, *cores = (
            None if new is None or old is None else new - old for new, old in zip(now, last, strict=True)
        )
        return Spent(wall or 0, server or 0, database or 0, generator or 0, *cores)

    def _read(self) -> Sequence[float | None]:
        return (
            time.perf_counter(),
            family_cpu(self._server),
            family_cpu(self._database),
            own_cpu(self._me),
            _busy(self._cores.server),
            _busy(self._cores.generator),
        )


def own_cpu(process: psutil.Process) -> float:
    """CPU seconds of one process."""
    times = process.cpu_times()
    return float(times.user + times.system)


def family_cpu(process: psutil.Process | None) -> float:
    """CPU seconds of a process and its descendants, those that have ended included."""
    spent = 0.0
    for member in _family(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


def family_memory(process: psutil.Process) -> int:
    """Bytes of resident memory of a process and its descendants."""
    held = 0
    for member in _family(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            held += member.memory_info().rss
    return held


def _family(process: psutil.Process | None) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)] if process else []


def _busy(core: int | None) -> float | None:
    if core is None:
        return None
    times = psutil.cpu_times(percpu=True)[core]
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
