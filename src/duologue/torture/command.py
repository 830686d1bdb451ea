"""`duologue torture`: a run, a saved history checked again, or the checker put to the test."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from duologue.torture.arrive import MOST_USERS
from duologue.torture.checker import check
from duologue.torture.history import BadHistory, History, load
from duologue.torture.load import Pace
from duologue.torture.run import Plan, run
from duologue.torture.screen import Screen, summary, verdict
from duologue.torture.selftest import plant_each
from duologue.torture.system import System, running
from duologue.torture.world import CannotStart
from duologue.verify import VerifyError, verify

KINDS: Final = ("node", "postgres", "nats")
"""What can be killed."""
_SHORT: Final = Plan(users=12, seconds=5, pace=Pace(messages=100, cuts=4), kill_every=3, seed=1)


class TortureError(Exception):
    """It can't be done; the message says why."""


class Options(msgspec.Struct, frozen=True):
    """What was asked for. `urls`: a running system, instead of one started for it; `kill`: which kinds to kill."""

    plan: Plan
    engine: str = "postgresql"
    nodes: int = 3
    urls: Sequence[str] = ()
    kill: Sequence[str] = KINDS
    history: Path | None = None


def plan(
    users: int,
    seconds: float,
    rate: float,
    cuts: float,
    kill_every: float,
    seed: int | None,
    tokens: Path | None,
) -> Plan:
    """What the flags of the command say. Raises `TortureError`."""
    try:
        known = tokens.read_text().split() if tokens else ()
    except OSError as fault:
        raise TortureError(str(fault)) from fault
    chosen = random.randrange(10**6) if seed is None else seed  # noqa: S311 - to be repeatable
    return Plan(users, seconds, Pace(rate, cuts), kill_every, chosen, known)


def torture(options: Options) -> bool:
    """Run, check, tell; whether no promise was broken. Raises `TortureError`."""
    console = Console()
    _refuse_nonsense(options)
    console.print(f"seed {options.plan.seed}")
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(options.history.open("wb")) if options.history else None
            system = stack.enter_context(_system(options))
            history = _run(console, options, system, History(file))
            sound = _judge(console, history)
            if not sound and not options.history:
                _keep(console, history, Path(f"torture-{options.plan.seed}.jsonl"))
            return (not system.database_url or verify(system.database_url)) and sound
        except (CannotStart, VerifyError, OSError) as fault:
            raise TortureError(str(fault)) from fault


def _run(console: Console, options: Options, system: System, history: History) -> History:
    victims = [victim for victim in system.victims if victim.kind in options.kill]
    with Screen(console) as screen:
        world = asyncio.run(run(options.plan, system.urls, victims, history, screen.show))
    console.print("; ".join(summary(world)), soft_wrap=True)
    return history


def _refuse_nonsense(options: Options) -> None:
    if options.engine not in {"sqlite", "postgresql"}:
        raise TortureError("the engine is sqlite or postgresql")
    if unknown := set(options.kill) - {*KINDS, "none"}:
        raise TortureError(f"{min(unknown)} can't be killed: {', '.join(KINDS)} can")
    if not 2 <= options.plan.users <= MOST_USERS:
        raise TortureError(f"there can be 2 to {MOST_USERS} users")


@contextlib.contextmanager
def _system(options: Options) -> Iterator[System]:
    if options.urls:
        yield System([url.rstrip("/") for url in options.urls], "", [])
        return
    with (
        tempfile.TemporaryDirectory(prefix="duologue-torture-") as folder,
        running(options.engine, options.nodes, Path(folder)) as system,
    ):
        yield system


def _judge(console: Console, history: History) -> bool:
    began = time.monotonic()
    violations = check(history.entries)
    verdict(console, history, violations, time.monotonic() - began)
    return not violations


def _keep(console: Console, history: History, path: Path) -> None:
    """What proves a violation must not be lost."""
    with path.open("wb") as file:
        copy = History(file)
        for at, entry in zip(history.times, history.entries, strict=True):
            copy.note(at, entry)
    console.print(f"The history is in {path}: duologue torture --check {path}")


def check_file(path: Path) -> bool:
    """Whether a saved history keeps every promise. Raises `TortureError`."""
    return _judge(Console(), _load(path))


def _load(path: Path) -> History:
    try:
        return load(path)
    except (OSError, BadHistory) as fault:
        raise TortureError(str(fault)) from fault


def self_test(path: Path | None) -> bool:
    """Plant every fault into a good history, saved or made for it; whether each was found. Raises `TortureError`."""
    console = Console()
    history = _load(path) if path else _short_run(console)
    if not _judge(console, history):
        raise TortureError("the history isn't a good one to begin with")
    missed = 0
    for fault, found in plant_each(history.entries):
        missed += found is not True
        told = {True: "[green]found[/]", False: "[bold red]NOT FOUND[/]", None: "[red]no place for it[/]"}[
            found
        ]
        console.print(f"{fault.name}: {told} as “{fault.rule}”")
    console.print(f"{missed} faults were missed." if missed else "[bold green]Every fault was found.[/]")
    return not missed


def _short_run(console: Console) -> History:
    options = Options(_SHORT, engine="sqlite")
    try:
        with _system(options) as system:
            return _run(console, options, system, History())
    except CannotStart as fault:
        raise TortureError(str(fault)) from fault
