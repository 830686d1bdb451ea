"""The command that writes the documents made from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duologue.cli.exits import passed


def docs(
    to: Annotated[Path, typer.Option(help="The folder with the generated documents.")] = Path("docs"),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if something differs.")] = False,
) -> None:
    """Write the documents that are made from the code: OpenAPI, errors, settings."""
    from duologue.cli.docs import drift, write

    if not check:
        for path in write(to):
            typer.echo(f"wrote {path}")
        return
    report = drift(to)
    if report:
        typer.echo("\n".join([*report, "The documents differ from the code: run `duologue docs`."]), err=True)
    passed(well=not report)
