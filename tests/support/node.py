"""A node inside the test's own process and event loop: as real as `duologue serve`, but one can look into it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from duologue.app.node import Node
from duologue.app.serve import listen
from duologue.config import Settings


@dataclass(frozen=True)
class Running:
    """A node that serves."""

    node: Node
    server: uvicorn.Server
    serving: asyncio.Task[None]
    url: str

    async def stop(self) -> None:
        """As on SIGTERM."""
        self.node.stop_waiting()
        self.server.should_exit = True
        await self.serving


class _Server(uvicorn.Server):
    """Leaves the signals to the test run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def node_running(folder: Path) -> AsyncIterator[Running]:
    """A node on SQLite in `folder`, stopped at the end if it runs still."""
    node = Node(Settings(data_dir=str(folder), sign_in="open"))
    node.prepare()
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        node.asgi(), http=node.protocol(), ws="none", lifespan="on", log_config=None, access_log=False
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    running = Running(node, server, serving, f"http://127.0.0.1:{listener.getsockname()[1]}")
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        yield running
    finally:
        await running.stop()
