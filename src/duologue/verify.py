"""`duologue verify`: a whole database held to its promises, while the server stands still or while it runs."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from duologue.storage.audit import Progress, Report, audit
from duologue.storage.migrate import SchemaTooNew, SchemaTooOld
from duologue.storage.snapshot import CannotRead, snapshot


class VerifyError(Exception):
    """The database can't be looked at; the message says why."""


def verify(url: str, console: Console | None = None) -> bool:
    """Check it and tell what was found; whether it is sound. Raises `VerifyError`."""
    console = console or Console()
    began = time.monotonic()
    try:
        with snapshot(url) as tx, _progress(console) as show:
            report = audit(tx, show)
    except (CannotRead, SchemaTooOld, SchemaTooNew) as fault:
        raise VerifyError(str(fault)) from fault
    tell(console, report)
    took = f"{time.monotonic() - began:.1f} s"
    console.print(f"{_told(report.counts)} in {took}.", soft_wrap=True)
    return report.sound


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


def tell(console: Console, report: Report) -> None:
    """Print the findings and the verdict."""
    for finding in report.findings:
        console.print(f"[bold red]{finding.rule}[/]: {escape(finding.says)}", soft_wrap=True)
    for rule, count in report.broken.most_common():
        console.print(f"{rule}: {count:,} in all")
    console.print(
        "[bold green]The database is sound.[/]" if report.sound else "[bold red]The database is not sound.[/]"
    )
