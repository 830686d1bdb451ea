"""A load balancer as operators have one: it asks each node whether it is ready, and spreads the rest over those."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import count
from urllib.parse import urlsplit

import httpx

ASKS_EVERY = 0.1


class Balancer:
    """TCP from one port to whichever node is ready, in turns; nothing sticks."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._nodes = nodes
        self._ready: list[str] = []
        self._turn = count()
        self._pumps: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []
        self.url = ""

    async def watch(self) -> None:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            while True:
                answers = await asyncio.gather(
                    *(http.get(f"{node}/readyz") for node in self._nodes), return_exceptions=True
                )
                self._ready = [
                    node
                    for node, answer in zip(self._nodes, answers, strict=True)
                    if isinstance(answer, httpx.Response) and answer.is_success
                ]
                await asyncio.sleep(ASKS_EVERY)

    async def until_ready(self, nodes: int) -> None:
        async with asyncio.timeout(60):
            while len(self._ready) < nodes:
                await asyncio.sleep(ASKS_EVERY)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(len(self._ready)):
            node = urlsplit(self._ready[next(self._turn) % len(self._ready)])
            with contextlib.suppress(OSError):
                theirs = await asyncio.open_connection(node.hostname, node.port)
                break
        else:
            writer.transport.abort()
            return
        self._ends += [writer, theirs[1]]
        for source, sink in ((reader, theirs[1]), (theirs[0], writer)):
            task = asyncio.create_task(_pump(source, sink))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def close(self) -> None:
        for task in self._pumps:
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for end in self._ends:
            end.transport.abort()
        await asyncio.sleep(0)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()
        await sink.wait_closed()


@contextlib.asynccontextmanager
async def balancer(nodes: Sequence[str]) -> AsyncIterator[Balancer]:
    """A balancer before these nodes, all of which are ready."""
    between = Balancer(nodes)
    watching = asyncio.create_task(between.watch())
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    between.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        await between.until_ready(len(nodes))
        yield between
    finally:
        watching.cancel()
        await between.close()
        server.close()
        await server.wait_closed()
        await asyncio.gather(watching, return_exceptions=True)
