"""What an idle, signed-in socket costs: resident memory of one node that holds many.

    .venv/bin/python -m bench.idle --sockets 10000

Each socket belongs to a user of its own, has said hello and caught up. The client is another process: this one.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
from pathlib import Path

import httpx
import psutil
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from duologue.lab.server import DuologueServer

SPARE_FILES = 500
AT_ONCE = 100
SETTLE = 5.0
HOLD = 30.0
"""Seconds in which each socket is pinged at least once."""


class Idler(WSListener):
    """Says hello, waits until it has caught up, and then does nothing but answer pings."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.caught_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, f'{{"op":"hello","token":"{self.token}"}}'.encode())

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT and b'"caught_up"' in frame.get_payload_as_bytes():
            self.caught_up.set_result(None)


async def sign_in(http: httpx.AsyncClient, number: int) -> str:
    answer = await http.post("/v1/sessions", json={"phone": f"+336{number:08d}"})
    return str(answer.raise_for_status().json()["token"])


async def connect(url: str, token: str) -> WSTransport:
    address = f"ws{url.removeprefix('http')}/v1/socket"
    transport, listener = await ws_connect(lambda: Idler(token), address, enable_auto_pong=True)
    assert isinstance(listener, Idler)
    await listener.caught_up
    return transport


async def measure(server: DuologueServer, sockets: int) -> None:
    node = psutil.Process(server.pid)
    limits = httpx.Limits(max_connections=AT_ONCE)
    tokens: list[str] = []
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60, trust_env=False) as http:
        for first in range(0, sockets, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, sockets))
            tokens += await asyncio.gather(*(sign_in(http, number) for number in numbers))
    await asyncio.sleep(SETTLE)
    before = node.memory_info().rss
    print(f"{before / 2**20:8.1f} MiB with {sockets} users signed in and no socket")
    open_sockets = []
    for first in range(0, sockets, AT_ONCE):
        batch = tokens[first : first + AT_ONCE]
        open_sockets += await asyncio.gather(*(connect(server.url, token) for token in batch))
    await asyncio.sleep(SETTLE)
    after = node.memory_info().rss
    print(f"{after / 2**20:8.1f} MiB with {len(open_sockets)} idle sockets")
    print(f"{(after - before) / 2**10 / len(open_sockets):8.2f} KiB per socket")
    busy = node.cpu_times()
    await asyncio.sleep(HOLD)
    rest = node.cpu_times()
    print(f"{(sum(rest[:2]) - sum(busy[:2])) / HOLD * 100:8.2f} % of a core to hold them")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=10_000)
    sockets = parser.parse_args().sockets
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < sockets + SPARE_FILES:
        raise SystemExit(f"{sockets} sockets need a file limit of {sockets + SPARE_FILES}; it is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (sockets + SPARE_FILES, hard))  # the server inherits it
    with tempfile.TemporaryDirectory() as folder, DuologueServer(Path(folder)) as server:
        uvloop.run(measure(server, sockets))


if __name__ == "__main__":
    main()
