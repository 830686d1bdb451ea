"""The command that is a phone of the simulated network."""

from __future__ import annotations

from typing import Annotated

import typer

from duologue.cli.exits import ending


def phone(
    number: Annotated[str, typer.Argument(help="Its number, with + and the country code.")],
    *,
    url: Annotated[str, typer.Option(help="The server.")] = "http://127.0.0.1:8000",
) -> None:
    """Be a phone of the simulated network: its texts as they come, and answers to them."""
    from duologue.handset import PhoneError, run

    with ending(PhoneError):
        run(number, url)
