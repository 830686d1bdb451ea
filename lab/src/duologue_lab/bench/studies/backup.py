"""Effect of a backup on those who write: latency of sends alone and beside `duologue backup`, in turns.

    .venv/bin/python -m duologue_lab.bench.studies.backup --engine sqlite --messages 1000000 --rate 100

The store is filled first (a million messages of 100 characters are some 250 MB on SQLite). Then the same people write
at the same rate, in turns of the length that a backup takes on the idle machine: one turn alone, one beside a backup.
Each turn tells the p50 and p99 of a send's acknowledgement; the last lines tell their ratios, and how much longer a
backup took than on the idle machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil
import uvloop

from duologue_lab.bench.chat import online, pace
from duologue_lab.bench.cores import split_cores
from duologue_lab.bench.fill import fill
from duologue_lab.bench.http import Http
from duologue_lab.bench.machine import measure_machine
from duologue_lab.bench.measured_server import ENGINES, MeasuredServer, database_server, fresh_place
from duologue_lab.bench.meter import quantiles
from duologue_lab.bench.people import People
from duologue_lab.bench.progress import ProgressBars
from duologue_lab.bench.result import Machine
from duologue_lab.bench.setup import BenchOptions, BenchSetup
from duologue_lab.bench.talk import Talker, Tally, clock, talkers_of

SOCKETS: Final = 40  # sockets that write
TURNS: Final = 3  # turns with a backup, and as many without
PATIENCE: Final = 60.0  # seconds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=100.0)
    return parser.parse_args()


def backup(url: str) -> float:
    """Seconds that a backup takes, on whichever core is free. Raises `RuntimeError`."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        target = str(Path(folder, "copy"))
        command = [sys.executable, "-m", "duologue.cli", "backup", target, "--database-url", url]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            psutil.Process(process.pid).cpu_affinity([])
            _, told = process.communicate()
        if process.returncode:
            raise RuntimeError(told.decode())
        return time.perf_counter() - began


async def write(tally: Tally, talkers: list[Talker], rate: float, seconds: float) -> tuple[float, float]:
    """Have messages sent for so long; the p50 and p99 of their acknowledgements in milliseconds."""
    del tally.latencies["ack"][:]
    tally.since = clock()
    tally.until = tally.ends_at = tally.since + seconds
    await pace(talkers, rate, tally)
    await tally.wait_until_done(PATIENCE)
    got = quantiles(tally.latencies["ack"])
    return got.p50, got.p99


async def measure(place: MeasuredServer, machine: Machine, messages: int, rate: float) -> None:
    http = Http(place.url)
    with ProgressBars() as watch:
        people = People(http, [], watch)
        pairs = await people.pairs(SOCKETS // 2)
        with watch.stage("filling the store", messages) as advance:
            await asyncio.to_thread(fill, place.store_url, pairs[0], messages, advance)
        setup = BenchSetup(place, machine, BenchOptions(seconds=1.0), people, http, watch)
    tally = Tally()
    talkers = talkers_of(tally, pairs[1:], "x" * 100)
    await online(setup, talkers)
    idle = await asyncio.to_thread(backup, place.store_url)
    print(
        f"{place.engine}, {messages:,} messages, {rate:.0f} sends a second; a backup takes {idle:.1f} s alone"
    )
    ratios, times = [], []
    for _ in range(TURNS):
        p50, p99 = await write(tally, talkers, rate, max(idle, 5.0))
        beside = asyncio.create_task(asyncio.to_thread(backup, place.store_url))
        during = await write(tally, talkers, rate, max(idle, 5.0))
        times.append(await beside)
        ratios.append((during[0] / p50, during[1] / p99))
        print(
            f"alone {p50:.1f}, {p99:.1f} ms; beside one {during[0]:.1f}, {during[1]:.1f} ms, {times[-1]:.1f} s"
        )
    p50s, p99s = zip(*ratios, strict=True)
    print(f"p50 x {statistics.median(p50s):.2f}, p99 x {statistics.median(p99s):.2f}")
    print(f"a backup takes x {statistics.median(times) / idle:.2f} as long as on the idle machine")
    for talker in talkers:
        talker.close()
    http.close()


def main() -> None:
    asked = arguments()
    cores = split_cores()
    with database_server(asked.engine, cores) as postgres:
        with ProgressBars() as watch:
            machine = uvloop.run(measure_machine(postgres, asked.engine, cores, 0.5, watch))
        with fresh_place(asked.engine, postgres, cores) as place:
            uvloop.run(measure(place, machine, asked.messages, asked.rate))


if __name__ == "__main__":
    main()
