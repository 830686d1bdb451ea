"""Progress of a benchmark on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Advance(Protocol):
    """Tells that so many more steps are done."""

    def __call__(self, steps: float = 1) -> object: ...


class ProgressBars:
    """Progress bars on stderr, and nothing when that isn't a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.fields[run]}"),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            refresh_per_second=2,  # drawing costs the generator's core
            transient=True,
        )
        self.run = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def stage(self, name: str, total: float) -> Iterator[Advance]:
        """A bar for as long as the context lasts; call what it gives for each step done."""
        task = self._progress.add_task(name, total=total, run=self.run)
        try:
            yield partial(self._progress.advance, task)
        finally:
            self._progress.remove_task(task)
