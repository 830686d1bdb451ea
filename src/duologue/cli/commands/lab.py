"""Commands of the package duologue-lab, which operators don't need: they are found when it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Final

import typer

from duologue.cli.exits import UNUSABLE, end

GROUP: Final = "duologue.commands"
"""The group of entry points by which a package adds to a command: each names a `typer.Typer`."""
AS_GIVEN: Final = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": list[str]()}
"""Settings of a command that hands all of its arguments on."""


def bench(context: typer.Context) -> None:
    """Measure a server: messages/s, latencies, memory and CPU (in the package duologue-lab)."""
    _run("bench", context.args)


def torture(context: typer.Context) -> None:
    """Try to make it lose, double, reorder or leak a message (in the package duologue-lab)."""
    _run("torture", context.args)


def _run(name: str, arguments: Sequence[str]) -> None:
    for found in entry_points(group=GROUP, name=name):
        found.load()(args=list(arguments), prog_name=f"duologue {name}")
    end(f"{name} is in the package duologue-lab: pip install duologue-lab, in a checkout ./lab", UNUSABLE)
