"""Measuring the machine itself: how fast it echoes frames and stores rows when nothing else is asked of it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import psutil

from duologue_lab.bench.cores import Cores, on_core
from duologue_lab.bench.http import each
from duologue_lab.bench.measured_server import fresh_store
from duologue_lab.bench.meter import own_cpu, quantiles
from duologue_lab.bench.progress import ProgressBars
from duologue_lab.bench.raw import Inserted
from duologue_lab.bench.result import Machine
from duologue_lab.connection import ClientConnection, connect
from duologue_lab.servers.postgres import PostgresServer
from duologue_lab.servers.process import Command, Process, environment

_SOCKETS: Final = 400  # sockets
_CONNECTING: Final = 100  # sockets at once
_FRAME: Final = b"x" * 200
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:\d+")
_RAW: Final = (sys.executable, "-m", "duologue_lab.bench.raw")


async def measure_machine(
    postgres: PostgresServer | None, engine: str, cores: Cores, seconds: float, watch: ProgressBars
) -> Machine:
    """Measure the best that this machine can do. Rows are left out for a database that we may not fill."""
    with watch.stage("measuring the machine", 2) as advance:
        with on_core(cores.generator), _echo_server(cores) as (process, start_seconds):
            echo = await _measure_echo(process, start_seconds, seconds)
        advance()
        if engine not in {"sqlite", "postgresql"}:
            return echo
        inserted = await asyncio.to_thread(_measure_inserts, postgres, cores, seconds)
        return msgspec.structs.replace(echo, **msgspec.structs.asdict(inserted))


@contextmanager
def _echo_server(cores: Cores) -> Iterator[tuple[Process, float]]:
    started = time.perf_counter()
    with on_core(cores.server):
        process = Process(Command((*_RAW, "echo"), _ADDRESS, "stdout", environment("DUOLOGUE_"), Path("/")))
    try:
        yield process, time.perf_counter() - started
    finally:
        process.kill()


class _Pinger:
    """A socket that sends a frame whenever the last one has come back."""

    def __init__(self) -> None:
        self.count = 0
        self.ends_at = 0.0
        self.times: list[float] | None = None

    async def open(self, url: str) -> None:
        self._link: ClientConnection = await connect(url, self._heard)

    def start(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self._next()

    def _next(self) -> None:
        self._sent_at = time.perf_counter()
        if self._sent_at < self.ends_at:
            self._link.say(_FRAME)

    def _heard(self, _: bytes) -> None:
        self.count += 1
        if self.times is not None:
            self.times.append(time.perf_counter() - self._sent_at)
        self._next()

    def close(self) -> None:
        self._link.cut()


async def _measure_echo(process: Process, start_seconds: float, seconds: float) -> Machine:
    url, server = process.ready[0], psutil.Process(process.pid)
    memory, began = server.memory_info().rss, time.perf_counter()
    pingers = [_Pinger() for _ in range(_SOCKETS)]
    await each(lambda pinger: pinger.open(url), pingers, _CONNECTING, lambda: None)
    connected = time.perf_counter() - began
    kib = (server.memory_info().rss - memory) / 1024 / _SOCKETS
    cpu, began = own_cpu(server), time.perf_counter()
    for pinger in pingers:
        pinger.start(began + seconds)
    await asyncio.sleep(seconds)
    count, cpu = sum(pinger.count for pinger in pingers), own_cpu(server) - cpu
    elapsed = time.perf_counter() - began
    await asyncio.sleep(0.1)
    single = pingers[0]
    single.times = []
    single.start(time.perf_counter() + min(seconds, 0.5))
    await asyncio.sleep(min(seconds, 0.5))
    for pinger in pingers:
        pinger.close()
    return Machine(
        echoes_per_second=count / elapsed,
        echo_cpu_us=1e6 * cpu / count,
        round_trip_ms=quantiles(single.times).p50,
        connects_per_second=_SOCKETS / connected,
        kib_per_socket=kib,
        start_seconds=start_seconds,
    )


def _measure_inserts(postgres: PostgresServer | None, cores: Cores, seconds: float) -> Inserted:
    with fresh_store(postgres) as (_, url), on_core(cores.server):
        done = subprocess.run((*_RAW, "insert", url, str(seconds)), check=True, capture_output=True)
    return msgspec.json.decode(done.stdout, type=Inserted)
