"""Results as tables, and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from duologue import __version__
from duologue_lab.bench.against import Comparison
from duologue_lab.bench.result import Machine, Result

_MACHINE: Final = {
    "echoes_per_second": "echoes/s",
    "echo_cpu_us": "server µs/echo",
    "round_trip_ms": "round trip, ms",
    "connects_per_second": "connects/s",
    "kib_per_socket": "KiB/socket",
    "start_seconds": "start, s",
    "rows_per_second": "rows/s",
    "commit_ms": "commit, ms",
}


class BenchReport(msgspec.Struct, kw_only=True):
    """All of a run, as `--json` writes it. `machines` and `runs` are in the order in which they were measured."""

    version: str
    at: str
    system: str
    cores: int
    machines: list[tuple[str, Machine]] = []
    runs: list[Result] = []
    medians: list[Result] = []
    comparisons: list[Comparison] = []


def new_report() -> BenchReport:
    """One of this machine, with nothing in it yet."""
    return BenchReport(
        version=__version__,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        cores=psutil.cpu_count() or 1,
    )


def save(report: BenchReport, path: Path) -> None:
    """Write it as JSON. Raises `OSError`."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def show(report: BenchReport, console: Console) -> None:
    """Print the medians."""
    console.print(_machine_table(report.machines))
    if shares := next((result.shares for result in report.medians if result.shares), None):
        console.print(f"Core shares are of {', '.join(shares)}.", highlight=False)
    for engine in dict.fromkeys(result.engine for result in report.medians):
        results = [result for result in report.medians if result.engine == engine]
        console.print(_figure_table(engine, results))
        if any(result.latencies for result in results):
            console.print(_latency_table(engine, results))
    for result in report.medians:
        for warning in result.warnings:
            console.print(f"[yellow]{result.engine}, {_case(result)}: {warning}.[/yellow]", highlight=False)


def _machine_table(machines: Sequence[tuple[str, Machine]]) -> Table:
    table = Table(title="This machine at its best", title_justify="left", title_style="bold")
    table.add_column("figure")
    names = dict.fromkeys(engine for engine, _ in machines)
    columns = [_middle_machine([machine for name, machine in machines if name == engine]) for engine in names]
    for engine in names:
        table.add_column(engine, justify="right")
    for field, label in _MACHINE.items():
        table.add_row(label, *(_number(column[field]) if field in column else "" for column in columns))
    return table


def _middle_machine(machines: Sequence[Machine]) -> dict[str, float]:
    maps = [msgspec.structs.asdict(machine) for machine in machines]
    return {
        field: median(each[field] for each in maps) for field, value in maps[0].items() if value is not None
    }


def _figure_table(engine: str, results: Sequence[Result]) -> Table:
    table = Table(title=engine, title_justify="left", title_style="bold")
    table.add_column("case", max_width=30)
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    for result in results:
        rows = [(name, _number(value)) for name, value in result.figures.items()]
        rows += [("core shares, %", _shares(result.shares))] if result.shares else []
        rows += [
            (f"[cyan]{name}[/cyan]", f"[cyan]{value:.2f}[/cyan]") for name, value in result.ratios.items()
        ]
        for index, row in enumerate(rows):
            table.add_row(_case(result) if index == 0 else "", *row)
        table.add_section()
    return table


def _shares(shares: dict[str, float]) -> str:
    return " ".join(f"{value:.0f}" for value in shares.values())


def _case(result: Result) -> str:
    named = f"{result.scenario}, {result.case}" if result.case else result.scenario
    return f"{named} ({result.build})" if result.build else named


def _latency_table(engine: str, results: Sequence[Result]) -> Table:
    table = Table(title=f"{engine}: latency in ms", title_justify="left", title_style="bold")
    table.add_column("case", max_width=30)
    table.add_column("of", no_wrap=True)
    for name in ("p50", "p90", "p99", "p99.9", "max"):
        table.add_column(name, justify="right")
    for result in results:
        for index, (what, got) in enumerate(result.latencies.items()):
            times = (got.p50, got.p90, got.p99, got.p999, got.max)
            table.add_row(_case(result) if index == 0 else "", what, *map(_number, times))
        table.add_section()
    return table


def _number(value: float) -> str:
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
