"""`duologue verify`: a whole database held to its promises, while the server stands still or while it runs.

And `duologue salvage`: a copy of what can still be read of one that is damaged.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from duologue.storage.audit import salvage as store
from duologue.storage.audit.audit import AuditReport, Finding, Progress, audit
from duologue.storage.audit.salvage import CannotSalvage, Salvaged, examine, has_damaged_pages
from duologue.storage.audit.snapshot import CannotRead, Damaged, snapshot
from duologue.storage.engine.engines import sqlite_path
from duologue.storage.engine.migrate import SchemaTooNew, SchemaTooOld


class VerifyError(Exception):
    """The database can't be looked at; the message says why."""


def verify(url: str, console: Console | None = None) -> bool:
    """Check a database, print what was found, and return whether it is sound. Raises `VerifyError`."""
    console = console or Console()
    began = time.monotonic()
    path = sqlite_path(url)
    try:
        report = _examine(examine(path)) if path and has_damaged_pages(path) else _audit(console, url)
    except (CannotRead, SchemaTooOld, SchemaTooNew) as fault:
        raise VerifyError(str(fault)) from fault
    tell(console, report)
    took = f"{time.monotonic() - began:.1f} s"
    console.print(f"{_told(report.counts)} in {took}.", soft_wrap=True)
    return report.sound


def _audit(console: Console, url: str) -> AuditReport:
    try:
        with snapshot(url) as tx, _progress(console) as show:
            return audit(tx, show)
    except Damaged as fault:
        found: Salvaged = importlib.import_module("duologue.storage.audit.postgres_damage").examine(url)
        # What can't be read through an index alone is lost in no table.
        found.losses = found.losses or [str(fault)]
        return _examine(found)


def _examine(found: Salvaged) -> AuditReport:
    """Tell the losses of a database with damaged pages, whose numbers can't be judged."""
    findings = [Finding("damaged", loss) for loss in found.losses]
    return AuditReport(found.counts, findings, Counter(damaged=len(findings)))


def salvage(url: str, target: Path) -> None:
    """Write all that can be read to a new SQLite file, and print what can't. Raises `VerifyError`."""
    path = sqlite_path(url)
    if path is None:
        raise VerifyError("Only an SQLite database can be salvaged; PostgreSQL has tools of its own.")
    try:
        found = store.salvage(path, target)
    except (CannotRead, CannotSalvage, SchemaTooOld, SchemaTooNew) as fault:
        raise VerifyError(str(fault)) from fault
    console = Console()
    for loss in found.losses:
        console.print(f"[bold red]lost[/]: {escape(loss)}", soft_wrap=True)
    console.print(f"Wrote {_told(found.counts)} to {target}. Now check it: duologue verify.", soft_wrap=True)


@contextlib.contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """A line that tells how far it is, on a terminal."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with Live(console=console, transient=True) as live:
        yield lambda counts: live.update(Text(f"read {_told(counts)}"))


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def tell(console: Console, report: AuditReport) -> None:
    """Print the findings and the verdict."""
    for finding in report.findings:
        console.print(f"[bold red]{finding.rule}[/]: {escape(finding.says)}", soft_wrap=True)
    for rule, count in report.broken.most_common():
        console.print(f"{rule}: {count:,} in all")
    console.print(
        "[bold green]The database is sound.[/]" if report.sound else "[bold red]The database is not sound.[/]"
    )
