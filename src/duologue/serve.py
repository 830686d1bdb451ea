"""Running a node: its socket, its signals, its one line when it is ready."""

from __future__ import annotations

import logging
import socket
import sys
from types import FrameType

import uvicorn
from pythonjsonlogger.json import JsonFormatter

from duologue import __version__
from duologue.app import Node
from duologue.config import ConfigError, Settings
from duologue.storage.migrate import SchemaTooNew, SchemaTooOld

_BACKLOG = 2048
_SHUTDOWN_SECONDS = 8
_READABLE = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"
_FIELDS = ["levelname", "name", "message"]
_NAMES = {"levelname": "level", "name": "logger", "message": "event", "exc_info": "exception"}


def configure_logging(level: str) -> None:
    """Everything to stderr: readable on a terminal, one JSON object a line elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter(_READABLE, "%H:%M:%S"))
    else:
        handler.setFormatter(JsonFormatter(_FIELDS, timestamp="timestamp", rename_fields=_NAMES))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


class _Server(uvicorn.Server):
    """Says where it listens once it does, and wakes waiting clients before it stops."""

    def __init__(self, config: uvicorn.Config, node: Node) -> None:
        super().__init__(config)
        self._node = node

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's signature
        """Stop on the first signal, at once on a second; uvicorn would raise it again and spoil the exit code."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            print(f"Duologue {__version__} is ready at http://{name}:{port} - docs at /docs", flush=True)  # noqa: T201 - what it is for

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._node.stop_waiting()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `OSError`, for instance when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(_BACKLOG)
    listener.setblocking(False)  # noqa: FBT003 - the library's signature
    return listener


def serve(settings: Settings) -> bool:
    """Run a node until a signal ends it; whether it started."""
    configure_logging(settings.log_level)
    try:
        node = Node(settings)
        node.prepare()
    except (ValueError, PermissionError, SchemaTooOld, SchemaTooNew) as fault:
        raise ConfigError(str(fault)) from fault
    listener = listen(settings.host, settings.port)
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
    server = _Server(config, node)
    server.run(sockets=[listener])
    return server.started
