"""`duologue backup`: a copy of the whole database, made beside a running server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from duologue.cli.verify import VerifyError, verify
from duologue.storage.audit import backup as store
from duologue.storage.engine.engines import sqlite_path

STDOUT: Final = "-"
_TELL_EVERY: Final = 10.0
"""Seconds from one line about the progress to the next, where there is no terminal."""
_LOOK_EVERY: Final = 0.2
"""Seconds between two looks at a `pg_dump` that is running."""
_MB: Final = 1_000_000  # bytes


class BackupError(Exception):
    """There is no backup; the message says why."""


def backup(url: str, target: str, *, thorough: bool) -> None:
    """Copy the database to a file, or to stdout for `-`. `thorough`: the copy has to pass `duologue verify`, too.

    A file appears under its name only when it is whole, checked and on the disk. Raises `BackupError`.
    """
    console = Console(stderr=True)
    path = sqlite_path(url)
    folder = _folder_for(target, path)
    began = time.monotonic()
    try:
        with _stops() as stopped, _draft(folder) as draft:
            with _progress(console, stopped) as watch:
                if path:
                    _copy_file(path, draft, watch)
                else:
                    _dump(url, draft, watch)
            if thorough:
                _verify(path, draft, console)
            size = draft.stat().st_size
            _publish(draft, target)
    except store.CannotBackUp as fault:
        raise BackupError("It was stopped; nothing is left of it." if stopped else str(fault)) from fault
    except OSError as fault:
        raise BackupError(f"{fault.filename or target}: {fault.strerror}") from fault
    took = time.monotonic() - began
    console.print(f"{size / _MB:,.1f} MB were backed up in {took:.1f} s.", soft_wrap=True, highlight=False)


def _folder_for(target: str, path: Path | None) -> Path:
    """The folder for the draft. Raises `BackupError` for a target that can't be."""
    if target == STDOUT:
        if sys.stdout.isatty():
            raise BackupError("It is no text: send it to a file or into a pipe.")
        return Path(tempfile.gettempdir())
    file = Path(target)
    if path and file.resolve() in store.files_of(path):
        raise BackupError(f"{target} belongs to the database itself: name another file.")
    if file.exists():
        raise BackupError(f"{target} is there already, and a backup overwrites nothing: name a new file.")
    if not file.parent.is_dir():
        raise BackupError(f"There is no folder {file.parent}.")
    return file.parent


@contextlib.contextmanager
def _stops() -> Iterator[list[int]]:
    """The signals to stop that came, which do nothing else meanwhile."""
    came: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """An empty file that only its owner can read, gone at the end."""
    descriptor, name = tempfile.mkstemp(prefix=".duologue-", suffix=".part", dir=folder)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        for file in (name, f"{name}-journal"):
            Path(file).unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(console: Console, stopped: list[int]) -> Iterator[store.Watch]:
    """Tell how far it is: always on a terminal, else every ten seconds."""
    line = Live(console=console, transient=True, auto_refresh=False)
    with line if console.is_terminal else contextlib.nullcontext() as live:
        told_at = time.monotonic()

        def watch(size: int) -> bool:
            nonlocal told_at
            copied = f"{size / _MB:,.0f} MB copied"
            if live and time.monotonic() - told_at > _LOOK_EVERY:
                told_at = time.monotonic()
                live.update(Text(copied), refresh=True)
            elif time.monotonic() - told_at > _TELL_EVERY:
                told_at = time.monotonic()
                console.print(copied)
            return bool(stopped)

        yield watch


def _copy_file(path: Path, draft: Path, watch: store.Watch) -> None:
    needed, free = store.size_of(path), shutil.disk_usage(draft.parent).free
    if free < needed:
        raise BackupError(
            f"{draft.parent} has room for {free / _MB:,.0f} MB; up to {needed / _MB:,.0f} MB are needed."
        )
    store.copy(path, draft, watch)
    store.check(draft, watch)


def _dump(url: str, draft: Path, watch: store.Watch) -> None:
    """Have `pg_dump` write its custom format, which `pg_restore` reads."""
    program = shutil.which("pg_dump")
    if program is None:
        raise BackupError("pg_dump is not on PATH: install the client programs of your PostgreSQL's release.")
    arguments, environment = store.dump_command(program, url)
    with draft.open("wb") as output:
        dump = subprocess.Popen(  # noqa: S603 - the operator's own program, by the operator's own settings
            arguments,
            stdout=output,
            stderr=subprocess.PIPE,
            env=os.environ | environment,
            # Ctrl-C is for us; we pass it on.
            start_new_session=True,
        )
        errors = None
        while errors is None:
            if watch(draft.stat().st_size):
                dump.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                _, errors = dump.communicate(timeout=_LOOK_EVERY)
    if dump.returncode:
        raise store.CannotBackUp(errors.decode(errors="replace").strip())


def _verify(path: Path | None, draft: Path, console: Console) -> None:
    """Hold the copy to all that a database promises."""
    if path is None:
        raise BackupError("A dump of PostgreSQL can't be verified before it is restored: leave --verify out.")
    try:
        sound = verify(f"sqlite:///{draft.resolve()}", console)
    except VerifyError as fault:
        raise BackupError(str(fault)) from fault
    if not sound:
        raise BackupError("The copy is not sound, and neither is the database: it was not kept.")


def _publish(draft: Path, target: str) -> None:
    """Give a whole backup its name, or send it on. Raises `OSError`, `BackupError`."""
    if target == STDOUT:
        with draft.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with draft.open("rb") as source:
        os.fsync(source.fileno())
    # Unlike a renaming, this never takes the place of a file that has come meanwhile.
    os.link(draft, target)
    draft.unlink()
    folder = os.open(draft.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
