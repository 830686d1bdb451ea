"""The command: which scenarios, on which engines, how often."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from picows import WSError
from rich.console import Console

from duologue_lab.bench.against import OTHER, THIS, compare, show_comparisons, source_of
from duologue_lab.bench.chat import chat
from duologue_lab.bench.connect import connect, idle
from duologue_lab.bench.cores import Cores, split_cores
from duologue_lab.bench.fanin import fanin
from duologue_lab.bench.files import allow_files
from duologue_lab.bench.http import Http, RequestFailed
from duologue_lab.bench.machine import measure_machine
from duologue_lab.bench.measured_server import (
    ENGINES,
    GIVEN,
    MeasuredServer,
    database_server,
    fresh_place,
    given_place,
)
from duologue_lab.bench.people import People, read_tokens
from duologue_lab.bench.posts import posts
from duologue_lab.bench.progress import ProgressBars
from duologue_lab.bench.reads import chats, history, history_and_chats
from duologue_lab.bench.report import BenchReport, new_report, save, show
from duologue_lab.bench.result import Machine, Result, medians
from duologue_lab.bench.setup import BenchOptions, BenchSetup, Scenario
from duologue_lab.bench.start import start
from duologue_lab.bench.sync import sync
from duologue_lab.servers.postgres import PostgresServer
from duologue_lab.servers.process import ServerError

SCENARIOS: Final[dict[str, Scenario]] = {
    "chat": chat,
    "connect": connect,
    "idle": idle,
    "history": history,
    "chats": chats,
    "fanin": fanin,
    "sync": sync,
    "start": start,
    "posts": posts,
}
_IF_NAMED: Final = {"posts"}
"""Scenarios that are left out unless they are named."""
_OF_ITS_OWN: Final = {"history", "chats", "start"}
"""They fill the store or stop the server, which one can't do to a server that others use."""


_MACHINE_SECONDS: Final = 2.0  # seconds
_PICTURES: Final = (".png", ".svg", ".pdf")
_RATES: Final = (200.0, 1_000.0, 5_000.0)
_SWEEP: Final = (250.0, 500.0, 1_000.0, 2_000.0, 3_000.0, 4_000.0, 5_000.0, 7_000.0, 9_000.0)


class BenchFailed(Exception):
    """The benchmark couldn't be run, or the server did something wrong; the message is a sentence."""


class Run(msgspec.Struct, frozen=True):
    """Scenarios and engines to measure, and where the results go. An empty list means all of them."""

    scenarios: Sequence[str] = ()
    engines: Sequence[str] = ()
    url: str = ""
    tokens: Path | None = None
    options: BenchOptions = BenchOptions()
    repeat: int = 1
    json: Path | None = None
    plot: Path | None = None
    against: Path | None = None
    """A checkout of another build, which is measured in turns with this one."""


def bench(run: Run) -> BenchReport:
    """Measure, print and save. Raises `BenchFailed`."""
    report = new_report()
    try:
        run = _completed(run)
        allow_files()
        with ProgressBars() as watch:
            for engine in run.engines:
                _measure_engine(run, engine, watch, report)
    except (OSError, RuntimeError, ValueError, RequestFailed, ServerError, WSError) as fault:
        raise BenchFailed(str(fault) or type(fault).__name__) from fault
    report.medians = medians(report.runs)
    show(report, Console())
    if run.json:
        save(report, run.json)
    if run.against:
        report.comparisons = compare(report.runs)
        show_comparisons(report.comparisons, Console())
        if run.json:
            save(report, run.json)
    if run.plot:
        importlib.import_module("duologue_lab.bench.plot").draw(report.medians, run.plot)
    return report


def _completed(run: Run) -> Run:
    """With everything that wasn't named. Raises `ValueError` for what there isn't."""
    for named, known in ((run.scenarios, SCENARIOS), (run.engines, ENGINES)):
        if unknown := [name for name in named if name not in known]:
            raise ValueError(f"{unknown[0]}: there is only {', '.join(known)}")
    for path in (run.json, run.plot):
        if path and not path.absolute().parent.is_dir():
            raise ValueError(f"{path}: there is no such folder")
    possible = [name for name in SCENARIOS if name not in _IF_NAMED and not (run.url and name in _OF_ITS_OWN)]
    scenarios = run.scenarios or (["chat"] if run.plot else possible)
    if run.plot and ("chat" not in scenarios or run.plot.suffix not in _PICTURES):
        raise ValueError(f"a plot shows chat, as {' or '.join(_PICTURES)}")
    if run.against:
        source_of(run.against)
        if run.url or run.plot:
            raise ValueError("two builds are measured on servers of their own, and not drawn")
    engines = [GIVEN] if run.url else run.engines or ENGINES
    options = run.options
    if not options.rates:
        options = msgspec.structs.replace(options, rates=_SWEEP if run.plot else _RATES)
    return msgspec.structs.replace(run, scenarios=scenarios, engines=engines, options=options)


def _measure_engine(run: Run, engine: str, watch: ProgressBars, report: BenchReport) -> None:
    cores = Cores() if run.url else split_cores()
    with database_server(engine, cores) as postgres:
        for turn in range(run.repeat):
            watch.run = label = f"{engine} {turn + 1}/{run.repeat}"
            seconds = min(_MACHINE_SECONDS, run.options.seconds)
            machine = uvloop.run(measure_machine(postgres, engine, cores, seconds, watch))
            report.machines.append((engine, machine))
            for name, scenario in _steps(run.scenarios):
                for build in _builds(run, turn):
                    watch.run = f"{label}: {name} {build}".rstrip()
                    with _place(run, engine, postgres, cores, build) as place:
                        results = uvloop.run(_drive(run, scenario, place, machine, watch))
                    for result in results:
                        result.engine, result.build = engine, build
                    report.runs += results


def _builds(run: Run, turn: int) -> Sequence[str]:
    """Return the builds to measure, in another order at each turn: who comes first finds the machine as it was."""
    if not run.against:
        return ("",)
    return (THIS, OTHER) if turn % 2 else (OTHER, THIS)


def _place(
    run: Run, engine: str, postgres: PostgresServer | None, cores: Cores, build: str
) -> AbstractContextManager[MeasuredServer]:
    if run.url:
        return given_place(run.url)
    source = source_of(run.against) if run.against and build == OTHER else None
    return fresh_place(engine, postgres, cores, limits=run.options.limits, source=source)


def _steps(names: Sequence[str]) -> Iterator[tuple[str, Scenario]]:
    """Return the functions to run for these names. Both scenarios that read pages share one filled store."""
    both = "history" in names and "chats" in names
    for name in names:
        if not both or name not in {"history", "chats"}:
            yield name, SCENARIOS[name]
        elif name == "history":
            yield "history and chats", history_and_chats


async def _drive(
    run: Run, scenario: Scenario, place: MeasuredServer, machine: Machine, watch: ProgressBars
) -> list[Result]:
    with closing(Http(place.url)) as http, _uncollected():
        tokens = read_tokens(run.tokens) if run.tokens else []
        people = People(http, tokens, watch)
        return await scenario(BenchSetup(place, machine, run.options, people, http, watch))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: with many sockets it takes longer than what is to be measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
