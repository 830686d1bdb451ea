"""The system under torture, all of it ours: nodes, PostgreSQL and NATS from wheels."""

from __future__ import annotations

import contextlib
import io
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import psutil
import psycopg
from msgspec.structs import replace

from duologue_lab.servers.lossy_nats import lossy_proxy
from duologue_lab.servers.nats import nats_server
from duologue_lab.servers.process import ServerError
from duologue_lab.servers.server import DuologueServer
from duologue_lab.servers.wrong_clock import WrongClock
from duologue_lab.torture.cluster import Cluster
from duologue_lab.torture.harm import StoreFaults, Victim
from duologue_lab.torture.world import CannotStart

_LOCKED: Final = "LOCK TABLE logs, messages IN ACCESS EXCLUSIVE MODE"
_NOISY_NODE: Final = "duologue_lab.torture.noisy_node"
_NOISE: Final = "TORTURE_NOISE"


class Wanted(msgspec.Struct, frozen=True):
    """System to start: an engine, and so many nodes with so many workers each.

    `noise`: the seed of what their bus loses, repeats and delays; 0: nothing. `clocks`: their clocks can be set.
    `standby`: PostgreSQL has one.
    """

    engine: str = "postgresql"
    nodes: int = 3
    workers: int = 1
    noise: int = 0
    clocks: bool = False
    standby: bool = False


class System(msgspec.Struct):
    """A running system: where its nodes are, its database, and what of it can be harmed."""

    urls: list[str]
    database_url: str
    victims: list[Victim]
    store: StoreFaults | None = None


@contextlib.contextmanager
def running(wanted: Wanted, folder: Path) -> Iterator[System]:
    """A system of one's own, gone at the end. Raises `CannotStart`."""
    with contextlib.ExitStack() as stack:
        try:
            start = _on_sqlite if wanted.engine == "sqlite" else _on_postgres
            system = start(stack, wanted, folder)
        except ServerError as fault:
            raise CannotStart(str(fault)) from fault
        yield system


def _on_sqlite(stack: contextlib.ExitStack, wanted: Wanted, folder: Path) -> System:
    path = folder / "duologue.db"
    only = replace(wanted, nodes=1, workers=1)
    nodes = _nodes(stack, folder, only, {"DATABASE_URL": f"sqlite:///{path}"})
    store = StoreFaults(
        partial(_copy_sqlite, path, folder / "copy.db"),
        partial(_restore_sqlite, path, folder / "copy.db"),
        partial(_lock_sqlite, path),
    )
    return System(_urls(nodes), f"sqlite:///{path}", nodes, store)


def _copy_sqlite(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def _restore_sqlite(path: Path, copy: Path) -> None:
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    shutil.copyfile(copy, path)


def _lock_sqlite(path: Path, seconds: float) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


def _on_postgres(stack: contextlib.ExitStack, wanted: Wanted, folder: Path) -> System:
    cluster = Cluster(stack, standby=wanted.standby)
    server = Victim("postgres", cluster.kill, cluster.start, stop=cluster.stop, pids=cluster.pids)
    env = {"DATABASE_URL": cluster.url, "SECRET": secrets.token_hex(32)}
    others = [server]
    if wanted.workers == 1 or wanted.nodes > 1:
        bus_url, nats = _nats(stack, wanted)
        env |= {"BUS_URL": bus_url}
        others.append(nats)
    nodes = _nodes(stack, folder, wanted, env)
    store = StoreFaults(cluster.copy, cluster.restore, partial(_lock_postgres, cluster.url), server)
    if wanted.standby:
        store.cut_off, store.promote = cluster.cut_off, cluster.promote
    return System(_urls(nodes), cluster.url, nodes + others, store)


def _lock_postgres(url: str, seconds: float) -> None:
    with contextlib.suppress(psycopg.Error), psycopg.connect(url) as connection:
        connection.execute(_LOCKED)
        time.sleep(seconds)


def _nats(stack: contextlib.ExitStack, wanted: Wanted) -> tuple[str, Victim]:
    nats = stack.enter_context(nats_server())
    url = stack.enter_context(lossy_proxy(nats.url, wanted.noise)) if wanted.noise else nats.url
    return url, Victim("nats", partial(nats.stop, kill=True), nats.start, nats.stop, pids=nats.pids)


def _urls(nodes: list[Victim]) -> list[str]:
    return [node.name.partition(" at ")[2] for node in nodes]


def _nodes(
    stack: contextlib.ExitStack, folder: Path, wanted: Wanted, settings: Mapping[str, str]
) -> list[Victim]:
    settings = {**settings, "RATE_LIMITS": "off", "SIGN_IN": "open", "LOG_LEVEL": "warning"}
    env = {f"DUOLOGUE_{name}": value for name, value in settings.items()}
    victims = []
    for number in range(wanted.nodes):
        env |= {"DUOLOGUE_WORKERS": str(wanted.workers), _NOISE: str(wanted.noise and wanted.noise + number)}
        program = _NOISY_NODE if wanted.noise else "duologue.cli"
        clock = WrongClock(folder / f"clock{number}") if wanted.clocks else None
        node = DuologueServer(folder / f"node{number}", env=env, program=program, clock=clock)
        stack.callback(_close, node)
        node.start()
        name = f"node {number} at {node.url}"
        log, pids, set_clock = partial(_log, node), partial(_pids, node), clock.set if clock else None
        victims.append(Victim(name, node.kill, node.start, node.stop, log, pids, wanted.workers, set_clock))
    return victims


def _log(node: DuologueServer) -> str:
    return node.log


def _pids(node: DuologueServer) -> list[int]:
    """A node's process and its workers."""
    return [node.pid, *(child.pid for child in psutil.Process(node.pid).children(recursive=True))]


def _close(node: DuologueServer) -> None:
    """Without the log that it prints for tests."""
    with contextlib.redirect_stderr(io.StringIO()):
        node.close()
