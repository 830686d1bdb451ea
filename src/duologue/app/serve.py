"""Running a node: its socket, its signals, its one line when it is ready."""

from __future__ import annotations

import gc
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import uvicorn

from duologue import __version__
from duologue.app.node import Node, sibling_bus
from duologue.app.supervisor import Supervisor
from duologue.config import ConfigError, Settings, warnings
from duologue.logs import configure_logging
from duologue.storage.engine.engines import hold
from duologue.storage.engine.lock import StoreInUse
from duologue.storage.engine.migrate import SchemaTooNew, SchemaTooOld

Ready = Callable[[socket.socket], None]
"""Called once the server takes connections on this socket."""

_log = logging.getLogger(__name__)

_BACKLOG = 2048  # connections that wait to be accepted
_COLLECT_AFTER = 50_000  # objects made since the last garbage collection
_SHUTDOWN_SECONDS = 8  # seconds


class _Server(uvicorn.Server):
    """Says where it listens once it does; drains, and wakes waiting clients, before it stops."""

    def __init__(self, config: uvicorn.Config, node: Node, ready: Ready) -> None:
        super().__init__(config)
        self._node = node
        self._ready = ready
        self._stop_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's signature
        """Stop on the first signal, at once on a second; uvicorn would raise it again and spoil the exit code."""
        self.force_exit = self._stop_at is not None
        self._stop_at = self._stop_at or time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        if self._stop_at is not None and not self.should_exit:
            drain = self._node.settings.drain_seconds
            if drain and not self._node.draining:
                self._node.drain(drain)
            self.should_exit = self.force_exit or time.monotonic() >= self._stop_at + drain
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            # What is there now stays: the collector needn't look at it ever again, nor for every few objects.
            gc.freeze()
            gc.set_threshold(_COLLECT_AFTER, 20, 50)
            self._ready(sockets[0])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._node.stop_waiting()
        await super().shutdown(sockets)


def announce(listener: socket.socket) -> None:
    """Print the one line that says where the server is."""
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    print(f"Duologue {__version__} is ready at http://{name}:{port} - docs at /docs", flush=True)  # noqa: T201 - what it is for


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket; a `shared` port may have several. Raises `OSError`, for instance when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(_BACKLOG)
    listener.setblocking(False)  # noqa: FBT003 - the library's signature
    return listener


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds a port for several that will share it. Raises `OSError` when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind((host, port))
    return holder


def serve(settings: Settings) -> bool:
    """Run a node, or as many workers as are asked for, until a signal ends it; returns whether it started.

    Raises `ConfigError`.
    """
    configure_logging(settings.log_level)
    for warning in warnings(settings):
        _log.warning("%s", warning)
    with ExitStack() as held:
        try:
            held.enter_context(hold(settings.store_url))
            node = Node(settings)
            node.prepare()
        except (ValueError, PermissionError, StoreInUse, SchemaTooOld, SchemaTooNew) as fault:
            raise ConfigError(str(fault)) from fault
        if settings.workers > 1:
            return run_workers(settings)
        return run_node(node, listen(settings.host, settings.port), announce)


def run_node(node: Node, listener: socket.socket, ready: Ready) -> bool:
    """Run one node until a signal ends it; whether it started."""
    config = uvicorn.Config(
        node.asgi(),
        loop="uvloop",
        http=node.protocol(),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = _Server(config, node, ready)
    server.run(sockets=[listener])
    return server.started


def run_workers(settings: Settings) -> bool:
    """Run the workers of one host; whether they started."""
    # Inherited by each, those that replace others too, and stored nowhere.
    key = os.urandom(32)
    with tempfile.TemporaryDirectory(prefix="duologue-") as folder:

        def run(index: int, port: int, ready: Ready) -> bool:
            bus = None if settings.bus_url else sibling_bus(Path(folder), index, settings.workers, key)
            node = Node(settings, bus)
            return run_node(node, listen(settings.host, port, shared=True), ready)

        # Holds the port while workers come and go; it takes no connection itself.
        with reserve(settings.host, settings.port) as reserved:
            port = reserved.getsockname()[1]
            supervisor = Supervisor(
                settings.workers, lambda index, ready: run(index, port, ready), settings.drain_seconds
            )
            return supervisor.run(lambda: announce(reserved))
