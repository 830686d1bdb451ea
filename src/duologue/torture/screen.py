"""What a run shows: a table that lives while it goes on, lines where there is no terminal, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from duologue.torture.book import Violation
from duologue.torture.history import History, line
from duologue.torture.world import World

_A_LINE_EVERY: Final = 10.0
_SHOWN: Final = 10
_EVIDENCE: Final = 8


class Screen:
    """Shows a run; a context manager, because a live table has to be taken down."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, doing: str, world: World) -> None:
        """How the run goes now."""
        now = time.monotonic()
        if self._live:
            self._live.update(_table(doing, world, now - self._began), refresh=True)
        elif now - self._told >= _A_LINE_EVERY:
            self._told = now
            self._console.print(
                f"{now - self._began:4.0f} s  {doing}: {'; '.join(summary(world))}", soft_wrap=True
            )


def _table(doing: str, world: World, seconds: float) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(f"[bold]{doing}[/]", f"{seconds:.0f} s")
    connected = sum(1 for device in world.devices if device.link)
    sockets = sum(1 for device in world.devices if device.way == "socket")
    table.add_row("connected", f"{connected:,} of {sockets:,} sockets")
    for part in summary(world):
        table.add_row("", part)
    return table


def summary(world: World) -> list[str]:
    """What has been done, in a few phrases."""
    counts = world.counts
    harm = ", ".join(f"{deed} {count}" for deed, count in sorted(counts.harm.items()))
    return [
        f"{len(world.people):,} users, {len(world.devices):,} devices",
        f"{counts.sent:,} messages in {counts.attempts:,} attempts, {counts.acknowledged:,} acknowledged",
        f"{counts.refused:,} refused, {counts.marks:,} marks, {counts.events:,} events",
        f"{counts.connections:,} connections, {counts.cuts:,} cuts",
        f"harm: {harm or 'none'}",
    ]


def verdict(console: Console, history: History, violations: Sequence[Violation], seconds: float) -> None:
    """What was found, each with its evidence from the history."""
    checked = f"{len(history):,} entries checked in {seconds:.1f} s"
    if not violations:
        console.print(f"[bold green]No promise was broken.[/] {checked}.")
        return
    for violation in violations[:_SHOWN]:
        console.print(f"[bold red]{violation.rule}[/]: {escape(violation.says)}", soft_wrap=True)
        for place in violation.evidence[:_EVIDENCE]:
            text = line(history.times[place], history.entries[place]).decode()
            console.print(f"  {place + 1}: {escape(text)}", highlight=False, soft_wrap=True)
    if len(violations) > _SHOWN:
        console.print(f"… and {len(violations) - _SHOWN} more")
    console.print(f"[bold red]{len(violations)} promises were broken.[/] {checked}.")
