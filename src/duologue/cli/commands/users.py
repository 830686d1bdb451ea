"""The commands that suspend users and let them in again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from duologue.cli.exits import ending
from duologue.cli.flags import with_settings
from duologue.config import Settings

app = typer.Typer(no_args_is_help=True, help="Suspend users, and let them in again.")
_User = Annotated[str, typer.Argument(help="The phone number or the user id.", metavar="PHONE|USER_ID")]


@app.command()
@with_settings
def suspend(settings: Settings, user: _User) -> None:
    """Refuse a user everything, on every node within a second. Nothing of the user's is lost."""
    from duologue.cli.users import suspend as run

    _change_user(run, settings, user)


@app.command()
@with_settings
def lift(settings: Settings, user: _User) -> None:
    """Let a suspended user in again, with the same devices."""
    from duologue.cli.users import lift as run

    _change_user(run, settings, user)


def _change_user(run: Callable[[str, str], str], settings: Settings, user: str) -> None:
    from duologue.cli.users import UsersError

    with ending(UsersError):
        typer.echo(run(settings.store_url, user))
