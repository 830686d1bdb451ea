"""A picture: latency against load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from duologue_lab.bench.result import Result

_OFFERED: Final = "offered/s"


def draw(results: Sequence[Result], path: Path) -> None:
    """Delivery p50 and p99 of each engine over the offered rates. Raises `OSError`, `ValueError`."""
    mpl.rcParams["svg.hashsalt"] = "duologue"  # the same figures give the same file
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for number, engine in enumerate(dict.fromkeys(result.engine for result in results)):
        points = sorted(
            (result.figures[_OFFERED], result.latencies["delivery"].p50, result.latencies["delivery"].p99)
            for result in results
            if result.engine == engine and _OFFERED in result.figures and "delivery" in result.latencies
        )
        rates, p50, p99 = zip(*points, strict=True)
        axes.plot(rates, p50, "o-", color=f"C{number}", label=f"{engine}, p50")
        axes.plot(rates, p99, "o--", color=f"C{number}", label=f"{engine}, p99")
    axes.set_xlabel("offered load, messages/s")
    axes.set_ylabel("send to delivery, ms (log)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_title("Latency against load")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path)
