"""`duologue torture`: a run, a saved history checked again, or the checker put to the test."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from duologue_lab.torture.arrive import MOST_USERS
from duologue_lab.torture.checker import check
from duologue_lab.torture.harm import Menu
from duologue_lab.torture.history import BadHistory, History, load
from duologue_lab.torture.load import ActionRates
from duologue_lab.torture.run import Plan, SystemUnderTest, run
from duologue_lab.torture.screen import RunScreen, Verdict, summary
from duologue_lab.torture.selftest import FAULTS, PlantedFault, plant_each
from duologue_lab.torture.system import System, Wanted, running
from duologue_lab.torture.villages import VillageHistory, village_histories
from duologue_lab.torture.world import CannotStart

KINDS: Final = (
    *("node", "postgres", "nats", "worker", "bus", "lock", "clock"),
    *("restore", "rollback", "failover"),
)
"""What can be harmed: see docs/torture.md."""
_LONG: Final = 100_000
"""Messages from which on a history is in its file alone, and judged in pieces."""
_SHORT: Final = Plan(
    users=12, seconds=7, pace=ActionRates(messages=100, cuts=4), kill_every=3, seed=1, retention=2
)
_SHORT_RUNS: Final = 3
"""Histories that are made at most, until each fault has a place in one."""
_FOUND: Final = {True: "[green]found[/]", False: "[bold red]NOT FOUND[/]", None: "[red]no place for it[/]"}


class TortureError(Exception):
    """It can't be done; the message says why."""


class TortureOptions(msgspec.Struct, frozen=True):
    """Options of a run. `urls`: a running system, instead of one started for it; `kill`: the kinds to harm."""

    plan: Plan
    engine: str = "postgresql"
    nodes: int = 3
    workers: int = 1
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
    retention: float,
) -> Plan:
    """Make the plan from the command's flags. Raises `TortureError`."""
    try:
        known = tokens.read_text().split() if tokens else ()
    except OSError as fault:
        raise TortureError(str(fault)) from fault
    chosen = random.randrange(10**6) if seed is None else seed  # noqa: S311 - to be repeatable
    return Plan(users, seconds, ActionRates(rate, cuts), kill_every, chosen, known, retention=retention)


def torture(options: TortureOptions, verify: Callable[[str], bool]) -> bool:
    """Run, check, tell; whether no promise was broken. Raises `TortureError`, and what `verify` raises.

    `verify` gets the URL of the database in the end, and returns whether it is sound.
    """
    console = Console()
    _refuse_nonsense(options)
    console.print(f"seed {options.plan.seed}")
    with contextlib.ExitStack() as stack:
        try:
            path = options.history or Path(f"torture-{options.plan.seed}.jsonl")
            is_long = options.plan.seconds * options.plan.pace.messages > _LONG
            file = stack.enter_context(path.open("wb")) if options.history or is_long else None
            system = stack.enter_context(_system(options))
            history = _run(console, options, system, History(file, keep=not is_long))
            if file:
                file.flush()
            sound = _judge(console, village_histories(path) if is_long else _whole(history))
            if not sound and not file:
                _keep(console, history, path)
            elif sound and not options.history:
                path.unlink(missing_ok=True)
            return (not system.database_url or verify(system.database_url)) and sound
        except (CannotStart, OSError) as fault:
            raise TortureError(str(fault)) from fault


def _run(console: Console, options: TortureOptions, system: System, history: History) -> History:
    victims = [victim for victim in system.victims if victim.kind in options.kill]
    nodes = [victim for victim in system.victims if victim.kind == "node"]
    menu = Menu(victims, system.store, frozenset(options.kill), nodes)
    target = SystemUnderTest(system.urls, menu, system.database_url)
    with RunScreen(console) as screen:
        world = asyncio.run(run(options.plan, target, history, screen.show))
    console.print("; ".join(summary(world)), soft_wrap=True)
    return history


def _refuse_nonsense(options: TortureOptions) -> None:
    if options.engine not in {"sqlite", "postgresql"}:
        raise TortureError("the engine is sqlite or postgresql")
    if unknown := set(options.kill) - {*KINDS, "none"}:
        raise TortureError(f"{min(unknown)} can't be harmed: {', '.join(KINDS)} can")
    if options.engine == "sqlite" and options.workers > 1:
        raise TortureError("several workers need PostgreSQL")
    if not 2 <= options.plan.users <= MOST_USERS:
        raise TortureError(f"there can be 2 to {MOST_USERS} users")


@contextlib.contextmanager
def _system(options: TortureOptions) -> Iterator[System]:
    if options.urls:
        yield System([url.rstrip("/") for url in options.urls], "", [])
        return
    with (
        tempfile.TemporaryDirectory(prefix="duologue-torture-") as folder,
        running(_wanted(options), Path(folder)) as system,
    ):
        yield system


def _wanted(options: TortureOptions) -> Wanted:
    noise = options.plan.seed + 1 if "bus" in options.kill else 0
    clocks, standby = "clock" in options.kill, "failover" in options.kill
    return Wanted(options.engine, options.nodes, options.workers, noise, clocks, standby)


def _judge(console: Console, parts: Iterable[VillageHistory]) -> bool:
    verdict = Verdict(console)
    for village in parts:
        verdict.add(village, check(village.history.entries))
    verdict.end()
    return not verdict.found


def _whole(history: History) -> list[VillageHistory]:
    """A history that is short enough to be judged in one piece."""
    return [VillageHistory(history, array("q", range(len(history))))]


def _keep(console: Console, history: History, path: Path) -> None:
    """Save the history that proves a violation."""
    with path.open("wb") as file:
        copy = History(file)
        for at, entry in zip(history.times, history.entries, strict=True):
            copy.note(at, entry)
    console.print(f"The history is in {path}: duologue torture --check {path}")


def check_file(path: Path) -> bool:
    """Return whether a saved history keeps every promise. Raises `TortureError`."""
    try:
        return _judge(Console(), village_histories(path))
    except (OSError, BadHistory) as fault:
        raise TortureError(str(fault)) from fault


def _load(path: Path) -> History:
    try:
        return load(path)
    except (OSError, BadHistory) as fault:
        raise TortureError(str(fault)) from fault


def self_test(path: Path | None) -> bool:
    """Plant every fault into a good history, saved or made for it; whether each was found. Raises `TortureError`.

    A fault that has no place in a history that was made for it, since the machine was busy, is planted into another.
    """
    console = Console()
    missed: list[PlantedFault] = []
    left: Sequence[PlantedFault] = FAULTS
    for number in range(1 if path else _SHORT_RUNS):
        history = _load(path) if path else _short_run(console, _SHORT.seed + number)
        if not _judge(console, _whole(history)):
            raise TortureError("the history isn't a good one to begin with")
        found = list(plant_each(history.entries, left))
        missed += [fault for fault, caught in found if caught is False]
        left = [fault for fault, caught in found if caught is None]
        for fault, caught in found:
            console.print(f"{fault.name}: {_FOUND[caught]} as “{fault.rule}”")
        if not left:
            break
    missed += left
    console.print(f"{len(missed)} faults were missed." if missed else "[bold green]Every fault was found.[/]")
    return not missed


def _short_run(console: Console, seed: int) -> History:
    # Restores undo much of so short a history, locks stop it, and a clock that jumps has too much of it trimmed:
    # too little is left to plant each fault into.
    options = TortureOptions(msgspec.structs.replace(_SHORT, seed=seed), engine="sqlite", kill=["node"])
    try:
        with _system(options) as system:
            return _run(console, options, system, History())
    except CannotStart as fault:
        raise TortureError(str(fault)) from fault
