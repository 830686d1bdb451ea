"""Results of a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from duologue_lab.bench.meter import Quantiles, Spent


class Machine(msgspec.Struct, frozen=True):
    """The machine's best, measured in the same run: the raw work that every scenario needs.

    The echo is a bare picows server on the server's core; the store is of the same engine, with fsync.
    """

    echoes_per_second: float
    """Frames of 200 bytes there and back, over 400 sockets with one in flight each."""
    echo_cpu_us: float
    round_trip_ms: float
    """One frame there and back on an otherwise idle machine, p50."""
    connects_per_second: float
    kib_per_socket: float
    start_seconds: float
    rows_per_second: float | None = None
    """Rows of 200 bytes, 200 to a commit."""
    commit_ms: float | None = None
    """One row, one commit, p50."""


class Result(msgspec.Struct, kw_only=True):
    """One measurement.

    `figures` are named with their unit; `best` holds what the machine does at best in some of these units, and
    `ratios` the quotients: of a rate, how much of the best was reached; of a time or size, how many times the
    best it is. `build` tells two builds apart that are measured in turns.
    """

    scenario: str
    case: str
    engine: str = ""
    build: str = ""
    figures: dict[str, float] = {}
    shares: dict[str, float] = {}
    """Of one core, in percent."""
    latencies: dict[str, Quantiles] = {}
    ratios: dict[str, float] = {}
    warnings: list[str] = []


def costs(spent: Spent, count: float, unit: str) -> dict[str, float]:
    """CPU microseconds that each of `count` things cost on each side.

    Also how many there would be in a second of a core that server and database had to themselves, which tells more
    than the rate where others use that core too.
    """
    sides = {"server": spent.server, "database": spent.database, "generator": spent.generator}
    told = {f"{side} µs/{unit}": 1e6 * cpu / count for side, cpu in sides.items() if cpu and count}
    served = spent.server + spent.database
    return told | {f"{unit}s/CPU second": count / served} if served else told


def medians(runs: Sequence[Result]) -> list[Result]:
    """The median of every figure over the runs of the same case, in the order of their first run."""
    groups: dict[tuple[str, str, str, str], list[Result]] = {}
    for run in runs:
        groups.setdefault((run.engine, run.scenario, run.case, run.build), []).append(run)
    return [_median(group) for group in groups.values()]


def _median(runs: Sequence[Result]) -> Result:
    first = runs[0]
    return Result(
        scenario=first.scenario,
        case=first.case,
        engine=first.engine,
        build=first.build,
        figures=_middle([run.figures for run in runs]),
        shares=_middle([run.shares for run in runs]),
        latencies={
            name: _middle_quantiles([run.latencies[name] for run in runs if name in run.latencies])
            for name in first.latencies
        },
        ratios=_middle([run.ratios for run in runs]),
        warnings=list(dict.fromkeys(warning for run in runs for warning in run.warnings)),
    )


def _middle(maps: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: median(each[name] for each in maps if name in each) for name in maps[0]}


def _middle_quantiles(distributions: Sequence[Quantiles]) -> Quantiles:
    maps = [msgspec.structs.asdict(distribution) for distribution in distributions]
    return msgspec.convert(_middle(maps) | {"count": sum(each["count"] for each in maps)}, Quantiles)
