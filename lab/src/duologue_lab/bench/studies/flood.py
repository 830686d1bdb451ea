"""Effect of one client at full speed on others: latency of a normal pair, alone and beside it.

    .venv/bin/python -m duologue_lab.bench.studies.flood

The pair talks at a fixed rate, whatever the answers take (an open loop), so a stall is counted in full. Two
times are told for each message: until its sender has the `sent` (it is committed then), and until its
recipient has the event. The flooder is a process of its own, of lower priority because it shares a core with
the pair; it reads what it is answered, and comes back when it is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import Final
from urllib.parse import urlsplit

import httpx
import uvloop

from duologue_lab.bench.chat import pace
from duologue_lab.bench.cores import split_cores
from duologue_lab.bench.http import Http
from duologue_lab.bench.measured_server import fresh_place
from duologue_lab.bench.meter import quantiles, seconds_array
from duologue_lab.bench.people import BenchUser, People
from duologue_lab.bench.progress import ProgressBars
from duologue_lab.bench.talk import Talker, Tally, clock, talkers_of

CHUNK: Final = 200  # frames that are written at once
ROUNDS: Final = 3  # turns of each kind
PATIENCE: Final = 60.0  # seconds
KINDS: Final = ("send", "ping", "junk")
TOLD: Final = {"ack": "committed", "delivery": "delivered"}

Times = dict[str, list[float]]
"""Seconds that each message took, to where it got."""


async def talk(tally: Tally, sender: Talker, count: int, rate: float) -> Times:
    """Have so many messages sent; how long each took."""
    for what in tally.latencies:
        tally.latencies[what] = seconds_array()
    tally.since = clock()
    tally.until = tally.ends_at = tally.since + count / rate
    await pace([sender], rate, tally)
    await tally.wait_until_done(PATIENCE)
    return {what: list(tally.latencies[what]) for what in TOLD}


def frame(text: str) -> bytes:
    """A client's text frame. Its mask is zero, so that the payload need not be touched."""
    payload = text.encode()
    if len(payload) <= 125:
        return bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload
    return bytes((0x81, 0x80 | 126)) + len(payload).to_bytes(2) + bytes(4) + payload


def flood(port: int, token: str, what: str, chat_id: str) -> None:
    """Never returns."""
    os.nice(5)
    numbers = itertools.count()
    while True:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"GET /v1/socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
                b"Authorization: Bearer %s\r\n\r\n" % token.encode()
            )
            connection.sendall(frame('{"op":"hello"}'))
            threading.Thread(target=drain, args=(connection,), daemon=True).start()
            try:
                while True:
                    connection.sendall(
                        b"".join(frame(one(what, chat_id, next(numbers))) for _ in range(CHUNK))
                    )
            except OSError:
                continue


def one(what: str, chat_id: str, number: int) -> str:
    if what == "send":
        return f'{{"op":"send","chat_id":"{chat_id}","text":"flood","client_id":"{os.getpid()}-{number}"}}'
    return {"ping": '{"op":"ping"}', "junk": '{"op":"junk"}'}[what]


def drain(connection: socket.socket) -> None:
    try:
        while connection.recv(1 << 20):
            pass
    except OSError:
        pass


def report(name: str, limits: str, times: Times, alone: Times) -> None:
    for what, label in TOLD.items():
        got, usual = quantiles(times[what]), quantiles(alone[what])
        print(
            f"limits {limits:3}  {name:10}  {label}  p50 {got.p50:7.2f} ms (x{got.p50 / usual.p50:5.1f})"
            f"   p99 {got.p99:7.2f} ms (x{got.p99 / usual.p99:5.1f})   worst {got.max:7.1f} ms"
        )


async def measure(url: str, limits: str, count: int, rate: float) -> None:
    """All cases in turn, several times over: whatever else the machine does then falls on all of them."""
    results: dict[str, Times] = {what: {told: [] for told in TOLD} for what in ("", *KINDS)}
    with closing(Http(url)) as http:
        pair, (eve, _, eves_chat) = await People(http, (), ProgressBars()).pairs(2)
    tally = Tally()
    talkers = talkers_of(tally, [pair], "How are you?")
    for talker in talkers:
        await talker.open(url)
    await talk(tally, talkers[0], count // ROUNDS, rate)  # to warm up
    for _ in range(ROUNDS):
        for what, times in results.items():
            with flooding(url, eve, what, eves_chat) if what else nullcontext():
                await asyncio.sleep(1)
                new = await talk(tally, talkers[0], count // ROUNDS, rate)
            for told in TOLD:
                times[told] += new[told]
    for talker in talkers:
        talker.close()
    for what, times in results.items():
        report(f"{what} flood" if what else "alone", limits, times, results[""])


def drained(url: str) -> None:
    """Wait until what a flooder left in the queues is worked off: until no more is stored."""
    count, before = -1.0, -2.0
    while count != before:
        time.sleep(0.25)
        before, count = count, stored(url)


def stored(url: str) -> float:
    """Return the number of operations that went through the group commit so far."""
    metrics = httpx.get(f"{url}/metrics", trust_env=False, timeout=PATIENCE).text
    [line] = [line for line in metrics.splitlines() if line.startswith("duologue_batch_operations_sum")]
    return float(line.split()[1])


@contextmanager
def flooding(url: str, eve: BenchUser, what: str, chat_id: str) -> Iterator[None]:
    """The flooder, for as long as the context lasts."""
    options = ("--flood", what, "--port", str(urlsplit(url).port), "--token", eve.token, "--chat", chat_id)
    process = subprocess.Popen([sys.executable, "-m", "duologue_lab.bench.studies.flood", *options])
    try:
        yield
    finally:
        process.kill()
        process.wait()
        drained(url)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=100, help="messages a second of the normal pair")
    parser.add_argument("--flood", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--token", help=argparse.SUPPRESS)
    parser.add_argument("--chat", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        flood(options.port, options.token, options.flood, options.chat)
    for limits in ("on", "off"):
        with fresh_place("sqlite", None, split_cores(), limits=limits == "on") as place:
            uvloop.run(measure(place.url, limits, options.messages, options.rate))


if __name__ == "__main__":
    main()
