"""CPU microseconds per message, by stage: of the server's code, and of PostgreSQL's processes.

    .venv/bin/python -m duologue_lab.bench.studies.profile [chat] [--engine postgresql] [--rate 1000] [--seconds 10]

Scenarios of `duologue bench` (`chat` unless others are named), against a server that samples itself on a timer of its
own CPU time (`sampled.py`). A stage's share of what was sampled, times the CPU that the process used, is its
cost; so the table adds up to all that was used.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from duologue_lab.bench.command import SCENARIOS
from duologue_lab.bench.cores import Cores, on_core, split_cores
from duologue_lab.bench.files import allow_files
from duologue_lab.bench.http import Http
from duologue_lab.bench.measured_server import ENGINES, MeasuredServer, database_server, fresh_store
from duologue_lab.bench.meter import Meter, Spent
from duologue_lab.bench.people import People
from duologue_lab.bench.progress import ProgressBars
from duologue_lab.bench.result import Machine, Result
from duologue_lab.bench.setup import BenchOptions, BenchSetup
from duologue_lab.bench.studies.stages import Frame, samples, stage_of
from duologue_lab.servers.postgres import PostgresServer
from duologue_lab.servers.process import Command, Process, environment
from duologue_lab.servers.server import ADDRESS

Key = TypeVar("Key")
Costs = defaultdict[Key, float]
"""CPU seconds."""
PROFILED: Final = ("chat", "connect", "fanin", "sync")
"""Those that measure once for each of their results."""
UNMEASURED: Final = Machine(
    echoes_per_second=1,
    echo_cpu_us=1,
    round_trip_ms=1,
    connects_per_second=1,
    kib_per_socket=1,
    start_seconds=1,
)
"""Ratios to the machine aren't shown here."""


class Moment(NamedTuple):
    """Number of samples, and the CPU seconds used so far."""

    offset: int
    modes: dict[str, float]
    """Of the server, in user and in system mode."""
    database: dict[str, float]
    """Of each kind of PostgreSQL process."""


class Window(NamedTuple):
    """Samples and CPU from one lap of a meter to the next."""

    before: Moment
    after: Moment
    spent: Spent


class SampledMeter(Meter):
    """A meter that also notes which samples are of its last lap."""

    def __init__(self, place: MeasuredServer, file: Path) -> None:
        super().__init__(place.server, place.database, place.cores)
        self._place = place
        self._file = file
        self._moment = moment(place, file)
        self.window: Window | None = None

    def lap(self) -> Spent:
        before, self._moment = self._moment, moment(self._place, self._file)
        spent = super().lap()
        self.window = Window(before, self._moment, spent)
        return spent


class SampledSetup(BenchSetup, frozen=True):
    """Hands out meters that note their samples, and keeps them."""

    file: Path
    meters: list[SampledMeter]

    def meter(self) -> Meter:
        self.meters.append(SampledMeter(self.place, self.file))
        return self.meters[-1]


def moment(place: MeasuredServer, file: Path) -> Moment:
    assert place.server
    times = place.server.cpu_times()
    modes = {"user": times.user, "system": times.system}
    return Moment(file.stat().st_size, modes, database_cpu(place.database))


@contextlib.contextmanager
def sampled_place(
    engine: str, postgres: PostgresServer | None, cores: Cores, *, limits: bool
) -> Iterator[tuple[MeasuredServer, Path]]:
    """A server on its own core, and the file that its samples go to."""
    with fresh_store(postgres) as (folder, store_url), contextlib.ExitStack() as stack:
        file = folder / "samples"
        flags = (
            "--port",
            "0",
            "--data-dir",
            str(folder),
            "--database-url",
            store_url,
            "--log-level",
            "warning",
        )
        rates = ("--rate-limits", "on" if limits else "off")
        argv = (
            sys.executable,
            "-m",
            "duologue_lab.bench.studies.sampled",
            str(file),
            "serve",
            *flags,
            *rates,
        )
        with on_core(cores.server):
            process = Process(Command(argv, ADDRESS, "stdout", environment("DUOLOGUE_"), folder))
        stack.callback(process.stop)
        stack.enter_context(on_core(cores.generator))
        place = MeasuredServer(
            engine=engine,
            url=process.ready[0],
            cores=cores,
            server=psutil.Process(process.pid),
            database=psutil.Process(postgres.process.pid) if postgres and postgres.process else None,
            store_url=store_url,
        )
        yield place, file


def database_cpu(postmaster: psutil.Process | None) -> dict[str, float]:
    """CPU seconds of each kind of PostgreSQL process so far; those that serve clients by mode."""
    cpu: defaultdict[str, float] = defaultdict(float)
    for process in postmaster.children() if postmaster else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            times, name = process.cpu_times(), " ".join(process.cmdline()).removeprefix("postgres: ")
            if name.startswith("postgres "):
                cpu["backends, user"] += times.user
                cpu["backends, system"] += times.system
            else:
                cpu[name.strip()] += times.user + times.system
    return cpu


async def drive(
    scenario: str, options: BenchOptions, place: MeasuredServer, file: Path
) -> list[tuple[Result, Window]]:
    meters: list[SampledMeter] = []
    with ProgressBars() as watch, closing(Http(place.url)) as http:
        people = People(http, (), watch)
        setup = SampledSetup(place, UNMEASURED, options, people, http, watch, file, meters)
        results = await SCENARIOS[scenario](setup)
    windows = [meter.window for meter in meters if meter.window]
    return list(zip(results, windows, strict=True))


def costs(window: Window, file: Path) -> tuple[Costs[str], Costs[tuple[str, str]]]:
    """CPU seconds of the server by stage, and by stage and function."""
    with file.open("rb") as source:
        source.seek(window.before.offset)
        source.readline()  # the file may have been looked at while a line was being written
        whole, _, _ = source.read(window.after.offset - source.tell()).rpartition(b"\n")
        found = list(samples(whole.decode()))
    total = sum(cpu - window.before.modes[mode] for mode, cpu in window.after.modes.items())
    scale = total / sum(sample.used for sample in found)
    stages: Costs[str] = defaultdict(float)
    spots: Costs[tuple[str, str]] = defaultdict(float)
    for sample in found:
        stage = stage_of(sample.stack)
        stages[stage] += sample.used * scale
        spots[stage, spot_of(sample.stack)] += sample.used * scale
    return stages, spots


def dearest(cpu: Mapping[Key, float]) -> list[tuple[Key, float]]:
    return sorted(((key, cost) for key, cost in cpu.items() if cost > 0), key=lambda item: -item[1])


def spot_of(stack: Sequence[Frame]) -> str:
    path, function = Path(stack[0].file), stack[0].function
    return f"{path.parent.name}/{path.name}:{function}" if path.name else function


def show(result: Result, window: Window, file: Path, top: int) -> None:
    """Print the stages, and the functions in which most time was spent."""
    unit = next(name.partition("/")[2] for name in result.figures if name.startswith("server µs/"))
    count = 1e6 * window.spent.server / result.figures[f"server µs/{unit}"]
    stages, spots = costs(window, file)
    before, after = window.before.database, window.after.database
    rows = [("server", stage, cpu) for stage, cpu in dearest(stages)]
    database = {name: cpu - before.get(name, 0.0) for name, cpu in after.items()}
    rows += [("postgres", name, cpu) for name, cpu in dearest(database)]
    total = sum(cpu for _, _, cpu in rows)
    title = f"{result.engine}, {result.scenario}, {result.case}: CPU µs per {unit}"
    table = Table(title=title, title_justify="left")
    for name in ("process", "stage"):
        table.add_column(name)
    for name in ("µs", "share"):
        table.add_column(name, justify="right")
    for process, name, cpu in (*rows, ("all", "", total)):
        table.add_row(process, name, f"{1e6 * cpu / count:.1f}", f"{cpu / total:.1%}")
    console = Console()
    console.print(table)
    modes = {
        mode: 1e6 * (cpu - window.before.modes[mode]) / count for mode, cpu in window.after.modes.items()
    }
    told = ", ".join(f"{cpu:.1f} µs in {mode} mode" for mode, cpu in modes.items())
    console.print(f"{count / window.spent.wall:,.0f} {unit}s/s; the server: {told}", highlight=False)
    console.print(hottest(spots, count, top))


def hottest(spots: Costs[tuple[str, str]], count: float, top: int) -> Table:
    """The functions in which most time was spent, in themselves or in C code that they called."""
    table = Table(title="Functions, without those they call", title_justify="left")
    for name in ("µs", "stage", "function"):
        table.add_column(name, justify="right" if name == "µs" else "left")
    for (stage, spot), cpu in dearest(spots)[:top]:
        table.add_row(f"{1e6 * cpu / count:.1f}", stage, spot)
    return table


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", default=["chat"], metavar="scenario", help=", ".join(PROFILED))
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--sockets", type=int, default=400)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, action="append", help="messages a second of an open loop, too")
    parser.add_argument("--text", type=int, default=200, help="characters in a message")
    parser.add_argument("--limits", action="store_true", help="leave the server's rate limits on")
    parser.add_argument("--top", type=int, default=20, help="how many functions to name")
    return parser.parse_args()


def main() -> None:
    asked = parsed()
    options = BenchOptions(
        sockets=(asked.sockets,),
        users=asked.users,
        seconds=asked.seconds,
        rates=asked.rate or (),
        text=asked.text,
    )
    allow_files()
    cores = split_cores()
    for engine in asked.engine or ENGINES:
        with database_server(engine, cores) as postgres:
            for scenario in asked.scenario:
                with sampled_place(engine, postgres, cores, limits=asked.limits) as (place, file):
                    for result, window in uvloop.run(drive(scenario, options, place, file)):
                        result.engine = engine
                        show(result, window, file, asked.top)


if __name__ == "__main__":
    main()
