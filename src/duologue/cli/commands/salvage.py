"""The command that copies what can be read of a damaged database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duologue.cli.exits import UNUSABLE, ending
from duologue.cli.flags import with_settings
from duologue.config import Settings


@with_settings
def salvage(
    settings: Settings,
    *,
    to: Annotated[Path, typer.Option(help="The new file, which must not exist.", metavar="FILE")],
) -> None:
    """Write all that can be read of a damaged SQLite database to a new file, and tell what is lost."""
    from duologue.cli.verify import VerifyError
    from duologue.cli.verify import salvage as run

    with ending(VerifyError, code=UNUSABLE):
        run(settings.store_url, to)
