"""Messages per second through the HTTP API: 200 senders, each with one `POST /v1/messages` under way.

    python -m bench.http [--seconds 10] [--senders 200] [--text 200]

The server and its database share a core, the generator has another. Batch sizes are from the server's `/metrics`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
import uvloop

from bench.engines import ENGINES, fresh_store
from duologue.bench.http import Http
from duologue.lab.server import DuologueServer

_BUCKET = re.compile(r'duologue_batch_operations_bucket\{le="([^"]+)"\} (\S+)')


def batches(url: str) -> dict[float, float]:
    """Return the number of commits that held at most so many writes."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310 - our own server
        return {float(limit): float(count) for limit, count in _BUCKET.findall(answer.read().decode())}


def middle(before: dict[float, float], after: dict[float, float]) -> str:
    """Between which bounds the median batch of the time in between lies."""
    counts = {limit: after[limit] - before[limit] for limit in after}
    half = counts[float("inf")] / 2
    limits = sorted(counts)
    place = next(index for index, limit in enumerate(limits) if counts[limit] >= half)
    return f"{limits[place - 1] + 1:.0f}-{limits[place]:.0f}" if place else "1"


def spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(url: str, server: psutil.Process, senders: int, seconds: float, text: str) -> str:
    http = Http(url)
    tokens: list[Any] = []
    for number in range(senders):
        answer = await http.ask("POST", "/v1/sessions", body={"phone": f"+3361{number:07d}"})
        tokens.append(answer["token"])
    times: list[float] = []
    started = time.perf_counter()

    async def send(number: int) -> None:
        count = 0
        while (begun := time.perf_counter()) < started + seconds:
            count += 1
            client_id = f"{number:08x}-0000-7000-8000-{count:012x}"
            body = {"to": f"+3362{number:07d}", "text": text, "client_id": client_id}
            await http.ask("POST", "/v1/messages", tokens[number], body)
            times.append(time.perf_counter() - begun)

    before, mine, theirs = batches(url), spent(psutil.Process()), spent(server)
    await asyncio.gather(*(send(number) for number in range(senders)))
    elapsed = time.perf_counter() - started
    count = len(times)
    result = (
        f"{count / elapsed:8,.0f} messages/s   p50 {median(times) * 1e3:.1f} ms, p99"
        f" {quantiles(times, n=100)[98] * 1e3:.1f} ms   batches: median {middle(before, batches(url))} writes"
        f"   server {1e6 * (spent(server) - theirs) / count:.0f} µs, generator"
        f" {1e6 * (spent(psutil.Process()) - mine) / count:.0f} µs CPU a message"
    )
    http.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--senders", type=int, default=200)
    parser.add_argument("--text", type=int, default=200, help="characters in a message")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    for engine in ENGINES:
        # What is started from here on inherits the core: the database, then the server.
        os.sched_setaffinity(0, cores[:1])
        with fresh_store(engine) as store, tempfile.TemporaryDirectory() as folder:
            env = {"DUOLOGUE_DATABASE_URL": store, "DUOLOGUE_RATE_LIMITS": "off"}
            with DuologueServer(Path(folder) / "data", env=env) as server:
                os.sched_setaffinity(0, cores[-1:])
                process = psutil.Process(server.pid)
                text = "x" * options.text
                print(
                    f"{engine:12} {uvloop.run(measure(server.url, process, options.senders, options.seconds, text))}"
                )


if __name__ == "__main__":
    main()
