"""The command that copies a database while the server runs."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer

from duologue.cli.exits import ending
from duologue.cli.flags import with_settings
from duologue.config import Settings

_NICE: Final = 19
"""Of a process that nobody waits for (nice(2))."""


@with_settings
def backup(
    settings: Settings,
    target: Annotated[str, typer.Argument(help="The new file, or - for stdout.")],
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Let the copy pass `duologue verify`, too.")
    ] = False,
) -> None:
    """Copy the whole database to a file while the server runs. It overwrites nothing."""
    from duologue.cli.backup import BackupError
    from duologue.cli.backup import backup as run

    with ending(BackupError):
        # The server goes first where cores are scarce.
        os.nice(_NICE)
        run(settings.store_url, target, thorough=verify)
