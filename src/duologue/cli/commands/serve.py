"""The command that runs a server."""

from __future__ import annotations

from duologue.cli.exits import end, ending, passed
from duologue.cli.flags import with_settings
from duologue.config import Settings


@with_settings
def serve(settings: Settings) -> None:
    """Run a server until it is told to stop (SIGTERM, Ctrl-C)."""
    from duologue.app.serve import serve as run

    try:
        with ending(ConnectionError):
            started = run(settings)
    except OSError as fault:
        end(f"can't listen on {settings.host}:{settings.port}: {fault.strerror}", cause=fault)
    passed(well=started)
