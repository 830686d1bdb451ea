"""Two builds in turns: how often each figure of this one is that of the other.

Machines are faster at one minute than at the next, by up to a half. What is measured in turns falls on both builds
alike, so the ratio of two neighbours says more than either figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from duologue_lab.bench.result import Result

THIS: Final = "this"
OTHER: Final = "other"
"""The builds' names in a report."""


class Comparison(msgspec.Struct, frozen=True):
    """Ratios of one figure, this build to the other: one for each turn, in their order."""

    engine: str
    case: str
    figure: str
    ratios: Sequence[float]


def source_of(checkout: Path) -> Path:
    """Return the folder that the packages of a checkout are in. Raises `ValueError` if it is none of Duologue's."""
    source = checkout.absolute() / "src"
    if not (source / "duologue" / "__init__.py").is_file():
        raise ValueError(f"{checkout}: there is no checkout of Duologue")
    return source


def compare(runs: Sequence[Result]) -> list[Comparison]:
    """Compare what both builds did in the same turn."""
    builds: dict[str, dict[tuple[str, str], list[Result]]] = {THIS: {}, OTHER: {}}
    for run in runs:
        builds[run.build].setdefault((run.engine, f"{run.scenario}, {run.case}"), []).append(run)
    found = []
    for (engine, case), mine in builds[THIS].items():
        pairs = list(zip(map(_figures, mine), map(_figures, builds[OTHER][engine, case]), strict=True))
        for name in pairs[0][0]:
            ratios = [this[name] / other[name] for this, other in pairs if other.get(name) and name in this]
            if ratios:
                found.append(Comparison(engine, case, name, ratios))
    return found


def _figures(result: Result) -> dict[str, float]:
    return result.figures | dict(_times(result))


def _times(result: Result) -> Iterator[tuple[str, float]]:
    for what, got in result.latencies.items():
        yield f"{what} p50", got.p50
        yield f"{what} p99", got.p99


def show_comparisons(found: Sequence[Comparison], console: Console) -> None:
    """Print the median of each ratio, and the lowest and highest."""
    table = Table(title="This build / the other", title_justify="left", title_style="bold")
    for column in ("engine", "case", "figure"):
        table.add_column(column)
    for column in ("median", "lowest", "highest"):
        table.add_column(column, justify="right")
    for each in found:
        spread = (median(each.ratios), min(each.ratios), max(each.ratios))
        table.add_row(each.engine, each.case, each.figure, *(f"{ratio:.2f}" for ratio in spread))
    console.print(table)
