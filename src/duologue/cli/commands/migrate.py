"""The command that brings a schema up to date."""

from __future__ import annotations

import typer

from duologue.cli.flags import with_settings
from duologue.config import Settings


@with_settings
def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date."""
    from duologue.storage.engine.engines import migrate as run

    for step in run(settings.store_url):
        typer.echo(f"{step.number:04d} {step.name}")
    typer.echo("The schema is up to date.")
