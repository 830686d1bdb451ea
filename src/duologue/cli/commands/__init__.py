"""Commands, a file each. One imports what it runs only when it is called, so that the others start at once."""

from __future__ import annotations

import typer

from duologue.cli.commands import (
    backup,
    docs,
    lab,
    migrate,
    outbox,
    phone,
    salvage,
    serve,
    users,
    verify,
    version,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Private 1:1 text messaging, self-hosted.")
app.add_typer(users.app, name="users")
for _command in (
    serve.serve,
    migrate.migrate,
    docs.docs,
    phone.phone,
    verify.verify,
    salvage.salvage,
    backup.backup,
    outbox.outbox,
    version.version,
):
    app.command()(_command)
for _command in (lab.bench, lab.torture):
    app.command(context_settings=lab.AS_GIVEN)(_command)


def main() -> None:
    """The entry point."""
    app()
