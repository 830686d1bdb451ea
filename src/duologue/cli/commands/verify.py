"""The command that checks a database."""

from __future__ import annotations

from duologue.cli.exits import UNUSABLE, ending, passed
from duologue.cli.flags import with_settings
from duologue.config import Settings


@with_settings
def verify(settings: Settings) -> None:
    """Check a whole database: every seq, mark, count and log. Exit codes: 0 sound, 1 not sound, 2 not readable."""
    from duologue.cli.verify import VerifyError
    from duologue.cli.verify import verify as run

    with ending(VerifyError, code=UNUSABLE):
        sound = run(settings.store_url)
    passed(well=sound)
