"""Effect of one client at full speed on others: latency of a normal pair, alone and beside it.

    .venv/bin/python -m bench.flood

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
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import httpx
import uvloop

from duologue.lab.server import DuologueServer
from tests.support.client import PATIENCE, Device, Socket, api_of

CHUNK = 200
ROUNDS = 3
KINDS = ("send", "ping", "junk")


async def talk(
    sender: Socket, reader: Socket, chat_id: str, count: int, rate: float
) -> dict[str, list[float]]:
    """Seconds until each message was confirmed, and until it had arrived."""
    begun: dict[str, float] = {}
    times: dict[str, list[float]] = {"sent": [], "event": []}

    async def listen(side: Socket, op: str) -> None:
        while len(times[op]) < count:
            frame = await side.hear(op)
            client_id = (frame.get("data") or frame).get("client_id")
            if client_id in begun:
                times[op].append(time.perf_counter() - begun[client_id])

    async def write() -> None:
        start = time.perf_counter()
        run = f"{start:.6f}"
        for number in range(count):
            due = start + number / rate
            await asyncio.sleep(max(0, due - time.perf_counter()))
            client_id = f"{run}-{number}"
            begun[client_id] = due
            await sender.say("send", chat_id=chat_id, text="How are you?", client_id=client_id)

    await asyncio.gather(write(), listen(sender, "sent"), listen(reader, "event"))
    return times


def percentile(values: list[float], percent: int) -> float:
    """In milliseconds."""
    return statistics.quantiles(values, n=100)[percent - 1] * 1000


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


def report(name: str, limits: str, times: dict[str, list[float]], alone: dict[str, list[float]]) -> None:
    for op, label in (("sent", "committed"), ("event", "delivered")):
        p50, p99 = percentile(times[op], 50), percentile(times[op], 99)
        factors = p50 / percentile(alone[op], 50), p99 / percentile(alone[op], 99)
        print(
            f"limits {limits:3}  {name:10}  {label}  p50 {p50:7.2f} ms (x{factors[0]:5.1f})"
            f"   p99 {p99:7.2f} ms (x{factors[1]:5.1f})   worst {max(times[op]) * 1000:7.1f} ms"
        )


async def measure(server: DuologueServer, limits: str, count: int, rate: float) -> None:
    """All cases in turn, several times over: whatever else the machine does then falls on all of them."""
    results: dict[str, dict[str, list[float]]] = {what: {"sent": [], "event": []} for what in ("", *KINDS)}
    async with api_of(server.url) as api:
        ana, ben, chat_id = await api.friends()
        eve, _, eves_chat = await api.friends()
        async with ana.online() as sender, ben.online() as reader:
            await talk(sender, reader, chat_id, count // ROUNDS, rate)  # to warm up
            for _ in range(ROUNDS):
                for what, times in results.items():
                    with flooding(server, eve, what, eves_chat) if what else nullcontext():
                        await asyncio.sleep(1)
                        new = await talk(sender, reader, chat_id, count // ROUNDS, rate)
                    for op in times:
                        times[op] += new[op]
    for what, times in results.items():
        report(f"{what} flood" if what else "alone", limits, times, results[""])


def drained(server: DuologueServer) -> None:
    """Wait until what a flooder left in the queues is worked off: until no more is stored."""
    count, before = -1.0, -2.0
    while count != before:
        time.sleep(0.25)
        before, count = count, stored(server)


def stored(server: DuologueServer) -> float:
    """Return the number of operations that went through the group commit so far."""
    metrics = httpx.get(f"{server.url}/metrics", trust_env=False, timeout=PATIENCE).text
    [line] = [line for line in metrics.splitlines() if line.startswith("duologue_batch_operations_sum")]
    return float(line.split()[1])


class flooding:  # noqa: N801
    """The flooder, for as long as the context lasts."""

    def __init__(self, server: DuologueServer, eve: Device, what: str, chat_id: str) -> None:
        self.server = server
        options = ("--flood", what, "--port", str(server.port), "--token", eve.token, "--chat", chat_id)
        self.command = [sys.executable, "-m", "bench.flood", *options]

    def __enter__(self) -> None:
        self.process = subprocess.Popen(self.command)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        drained(self.server)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
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
        with (
            tempfile.TemporaryDirectory() as folder,
            DuologueServer(Path(folder), "--rate-limits", limits) as server,
        ):
            uvloop.run(measure(server, limits, options.messages, options.rate))


if __name__ == "__main__":
    main()
