"""Output of a run: a live table on a terminal, lines elsewhere, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from duologue_lab.torture.book import Violation
from duologue_lab.torture.history import line
from duologue_lab.torture.villages import VillageHistory
from duologue_lab.torture.world import World

_A_LINE_EVERY: Final = 10.0  # seconds
_SHOWN: Final = 10  # violations
_EVIDENCE: Final = 8  # entries of a violation


class RunScreen:
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
        """Show the state of the run."""
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
    """Return a summary of what has been done."""
    counts = world.counts
    skips = ", ".join(f"{code} {count}" for code, count in sorted(counts.skips.items()))
    harm = ", ".join(f"{deed} {count}" for deed, count in sorted(counts.harm.items()))
    return [
        f"{len(world.people):,} users, {len(world.devices):,} devices",
        f"{counts.sent:,} messages in {counts.attempts:,} attempts, {counts.acknowledged:,} acknowledged",
        f"{counts.refused:,} refused, {counts.marks:,} marks, {counts.events:,} events",
        f"{counts.connections:,} connections, {counts.cuts:,} cuts; sent on: {skips or 'nobody'}",
        f"harm: {harm or 'none'}",
    ]


class Verdict:
    """Findings, each with its evidence from the history, told piece by piece and then in one line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._entries = 0
        self.found = 0

    def add(self, village: VillageHistory, violations: Sequence[Violation]) -> None:
        """Tell of one piece of the history; of the first few violations with what proves them."""
        self._entries += len(village.history)
        for violation in violations:
            self.found += 1
            if self.found <= _SHOWN:
                self._tell(village, violation)

    def _tell(self, village: VillageHistory, violation: Violation) -> None:
        self._console.print(f"[bold red]{violation.rule}[/]: {escape(violation.says)}", soft_wrap=True)
        for place in violation.evidence[:_EVIDENCE]:
            text = line(village.history.times[place], village.history.entries[place]).decode()
            self._console.print(
                f"  {village.places[place] + 1}: {escape(text)}", highlight=False, soft_wrap=True
            )

    def end(self) -> None:
        """Say whether a promise was broken."""
        checked = f"{self._entries:,} entries checked in {time.monotonic() - self._began:.1f} s"
        if not self.found:
            self._console.print(f"[bold green]No promise was broken.[/] {checked}.")
            return
        if self.found > _SHOWN:
            self._console.print(f"… and {self.found - _SHOWN} more")
        self._console.print(f"[bold red]{self.found} promises were broken.[/] {checked}.")
