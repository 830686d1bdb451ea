"""The command that shows the outbox."""

from __future__ import annotations

from duologue.cli.exits import UNUSABLE, ending
from duologue.cli.flags import with_settings
from duologue.config import Settings


@with_settings
def outbox(settings: Settings) -> None:
    """Show messages that went on by SMS, why the newest failed, and the newest texts that are in no chat."""
    from duologue.cli.outbox import OutboxError
    from duologue.cli.outbox import outbox as run

    with ending(OutboxError, code=UNUSABLE):
        run(settings.store_url)
