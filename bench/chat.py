"""Messages per second over sockets, closed loop: each socket has one message in flight; every event is acked.

    python -m bench.chat [--sockets 400] [--seconds 10] [--text 200]

A message counts when its sender has `sent` and its recipient has the event. The generator takes a core of its own
when there are two; its CPU is reported, because it must not be what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import psutil
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.engines import ENGINES, fresh_store
from duologue.lab.server import DuologueServer

_SENT, _EVENT = b'{"op":"sent"', b'{"op":"event"'
_CREATED = b'"type":"message.created"'


class Tally:
    """What all sockets together have done."""

    def __init__(self) -> None:
        self.sent = 0
        self.delivered = 0
        self.times: list[float] = []
        self.stop_at = 0.0


class Talker(WSListener):
    """One signed-in socket that sends its next message when the last was confirmed."""

    def __init__(self, tally: Tally, token: str, chat_id: str, me: str, text: str) -> None:
        self._tally = tally
        self._hello = b'{"op":"hello","token":"%s"}' % token.encode()
        self._me = b'"sender_id":"%s"' % me.encode()
        self._frame = b'{"op":"send","chat_id":"%s","text":"%s","client_id":"%s-%%d"}' % (
            chat_id.encode(),
            text.encode(),
            me.encode(),
        )
        self._count = 0
        self._seq = 0
        self._acked = 0
        self.ready = asyncio.Event()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.send(WSMsgType.TEXT, self._hello)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        payload = frame.get_payload_as_bytes()
        if payload.startswith(_EVENT):
            self._seq = int(payload[20 : payload.index(b",", 20)])
            if _CREATED in payload and self._me not in payload:
                self._tally.delivered += 1
        elif payload.startswith(_SENT):
            self._tally.sent += 1
            self._tally.times.append(time.perf_counter() - self._started)
            self.talk()
        elif payload.startswith(b'{"op":"caught_up"'):
            self.ready.set()
        elif payload.startswith(b'{"op":"error"'):
            raise AssertionError(payload)
        if frame.last_in_buffer and self._seq > self._acked:
            self._acked = self._seq
            transport.send(WSMsgType.TEXT, b'{"op":"ack","seq":%d}' % self._seq)

    def talk(self) -> None:
        self._started = time.perf_counter()
        if self._started < self._tally.stop_at:
            self._count += 1
            self._transport.send(WSMsgType.TEXT, self._frame % self._count)


async def pairs(url: str, count: int, tally: Tally, text: str) -> list[Talker]:
    made = []
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        for number in range(count):
            sides: list[Any] = []
            for prefix in ("+3361", "+3362"):
                answer = await http.post("/v1/sessions", json={"phone": f"{prefix}{number:07d}"})
                sides.append(answer.json())
            bearer = {"Authorization": f"Bearer {sides[0]['token']}"}
            phone = sides[1]["user"]["phone"]
            chat = (await http.put("/v1/chats", json={"phone": phone}, headers=bearer)).json()
            made += [Talker(tally, side["token"], chat["id"], side["user"]["id"], text) for side in sides]
    return made


def spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(url: str, server: psutil.Process, sockets: int, seconds: float, text: str) -> str:
    tally = Tally()
    talkers = await pairs(url, sockets // 2, tally, text)
    for talker in talkers:
        address = f"ws{url.removeprefix('http')}/v1/socket"
        await ws_connect(
            lambda talker=talker: talker, address, extra_headers={"Sec-WebSocket-Protocol": "duologue.v1"}
        )
        await talker.ready.wait()
    me = psutil.Process()
    server_before, mine_before, started = spent(server), spent(me), time.perf_counter()
    tally.stop_at = started + seconds
    for talker in talkers:
        talker.talk()
    await asyncio.sleep(seconds + 1)
    count = min(tally.sent, tally.delivered)
    cuts = quantiles(tally.times, n=100)
    return (
        f"{count / seconds:8,.0f} messages/s   sent p50 {median(tally.times) * 1e3:.1f} ms, p99"
        f" {cuts[98] * 1e3:.1f} ms   server {1e6 * (spent(server) - server_before) / count:.0f} µs, generator"
        f" {1e6 * (spent(me) - mine_before) / count:.0f} µs CPU a message"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sockets", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=10)
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
                work = measure(
                    server.url,
                    psutil.Process(server.pid),
                    options.sockets,
                    options.seconds,
                    "x" * options.text,
                )
                print(f"{engine:12} {uvloop.run(work)}")


if __name__ == "__main__":
    main()
