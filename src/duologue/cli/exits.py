"""Exit codes of the commands, and the one place where a fault becomes a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, NoReturn

import typer

FAILED: Final = 1  # the exit code if it was tried and didn't succeed, or found something wrong
UNUSABLE: Final = 2  # the exit code if what was given is no use: settings, a database, arguments


def end(sentence: str, code: int = FAILED, cause: Exception | None = None) -> NoReturn:
    """Print a sentence to stderr and end with this exit code. Raises `typer.Exit`."""
    typer.echo(f"duologue: {sentence}", err=True)
    raise typer.Exit(code) from cause


@contextlib.contextmanager
def ending(*faults: type[Exception], code: int = FAILED) -> Iterator[None]:
    """Turn a fault that says why into a sentence and an exit code, its own if it has one. Raises `typer.Exit`."""
    try:
        yield
    except faults as fault:
        end(str(fault), getattr(fault, "exit_code", code), fault)


def passed(*, well: bool) -> NoReturn:
    """End with 0 if all is well, else with 1. Raises `typer.Exit`."""
    raise typer.Exit(0 if well else FAILED)
