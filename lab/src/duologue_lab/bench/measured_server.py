"""The server that is measured: one that runs already, or one started for it."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import psutil

from duologue_lab.bench.cores import Cores, on_core
from duologue_lab.servers.postgres import PostgresServer, postgres_server
from duologue_lab.servers.process import delete_folder, temporary_folder
from duologue_lab.servers.server import DuologueServer

ENGINES: Final = ("sqlite", "postgresql")
GIVEN: Final = "given"
"""The engine of a server that isn't ours: unknown."""
_THIS_MACHINE: Final = {"127.0.0.1", "::1", "localhost"}
_AS_INSTALLED: Final = {"shared_buffers": "128MB", "max_wal_size": "1GB"}
"""What PostgreSQL has where nobody has set anything; our tests' servers are smaller."""
_LOG_SHOWN: Final = 3000
"""Characters."""


class MeasuredServer(msgspec.Struct, kw_only=True):
    """A server, and what is known of the processes behind it."""

    engine: str
    url: str
    cores: Cores = Cores()
    server: psutil.Process | None = None
    database: psutil.Process | None = None
    store_url: str = ""
    start: Callable[[], object] | None = None
    """Starts the server anew, after `stop`, and returns when it says that it is ready."""
    stop: Callable[[], object] | None = None
    beside: Callable[[], AbstractContextManager[MeasuredServer]] | None = None
    """Another server like this one, with a store of its own."""


@contextlib.contextmanager
def given_place(url: str) -> Iterator[MeasuredServer]:
    """A server that runs already. Its process is found if it runs on this machine and we may see it."""
    parts = urlsplit(url)
    here = parts.hostname in _THIS_MACHINE and parts.port is not None
    yield MeasuredServer(engine=GIVEN, url=url.rstrip("/"), server=_listener(parts.port) if here else None)


def _listener(port: int | None) -> psutil.Process | None:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", 0) == port
            if listens and connection.pid:
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass
    return None


@contextlib.contextmanager
def database_server(engine: str, cores: Cores) -> Iterator[PostgresServer | None]:
    """The PostgreSQL that all servers of a run share, on the server's core; None with SQLite."""
    with ExitStack() as stack:
        server = None
        if engine == "postgresql":
            with on_core(cores.server):
                server = stack.enter_context(postgres_server(_AS_INSTALLED))
        yield server


@contextlib.contextmanager
def fresh_store(postgres: PostgresServer | None) -> Iterator[tuple[Path, str]]:
    """A folder and the URL of an empty store, both gone at the end. The store is as durable as an operator's."""
    folder = temporary_folder()
    try:
        with ExitStack() as stack:
            url = (
                stack.enter_context(postgres.database())
                if postgres
                else f"sqlite:///{folder / 'duologue.db'}"
            )
            yield folder, url
    finally:
        delete_folder(folder)


@contextlib.contextmanager
def fresh_place(
    engine: str,
    postgres: PostgresServer | None,
    cores: Cores,
    *,
    limits: bool = False,
    source: Path | None = None,
) -> Iterator[MeasuredServer]:
    """A new server with an empty store, on its own core; the generator gets the other.

    `limits` keeps rate limits. `source`: where the server's packages are, if it is another build.
    """
    with fresh_store(postgres) as (folder, store_url):
        rates = "on" if limits else "off"
        flags = ("--database-url", store_url, "--rate-limits", rates, "--log-level", "warning")
        server = DuologueServer(folder, *flags, env={"PYTHONPATH": str(source)} if source else None)
        with _quiet_end(server), on_core(cores.generator):

            def start() -> None:
                with on_core(cores.server):
                    server.start()

            start()
            database = psutil.Process(postgres.process.pid) if postgres and postgres.process else None
            yield MeasuredServer(
                engine=engine,
                url=server.url,
                cores=cores,
                server=psutil.Process(server.pid),
                database=database,
                store_url=store_url,
                start=start,
                stop=server.stop,
                beside=partial(fresh_place, engine, postgres, cores, limits=limits, source=source),
            )


@contextlib.contextmanager
def _quiet_end(server: DuologueServer) -> Iterator[None]:
    """The server is gone at the end; the end of its log is shown only if something failed."""
    try:
        yield
    except Exception:
        sys.stderr.write(server.log[-_LOG_SHOWN:])
        raise
    finally:
        with contextlib.redirect_stderr(io.StringIO()):
            server.close()
