"""`duologue users`: suspend a user, and let a suspended user in again, beside a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from duologue.clock import now_ms
from duologue.core import suspensions
from duologue.errors import ApiError
from duologue.model import Event, User, encode_id
from duologue.storage.audit.snapshot import CannotRead, snapshot
from duologue.storage.database import Database
from duologue.storage.engine.engines import make_database
from duologue.storage.engine.migrate import SchemaTooNew, SchemaTooOld

Change = Callable[[Database], Awaitable[tuple[User, bool]]]


class UsersError(Exception):
    """The user can't be changed; the message says why. `exit_code` is for the shell."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class _Nobody:
    """A listener for a process that has no bus: running nodes find the change in the store."""

    def committed(self, events: Sequence[Event]) -> None:
        pass

    def in_doubt(self) -> None:
        pass


def suspend(url: str, who: str) -> str:
    """Suspend a user, by phone number or user id. Returns a sentence that says what is. Raises `UsersError`."""
    user, changed = _change(url, lambda db: suspensions.suspend(db, who, now_ms))
    return f"{encode_id('usr', user.id)} {'is suspended now' if changed else 'was suspended before'}."


def lift(url: str, who: str) -> str:
    """Let a suspended user in again. Returns a sentence that says what is. Raises `UsersError`."""
    user, changed = _change(url, lambda db: suspensions.lift(db, who))
    return f"{encode_id('usr', user.id)} {'may use the server again' if changed else 'is not suspended'}."


def _change(url: str, change: Change) -> tuple[User, bool]:
    try:
        with snapshot(url):
            pass  # there is a database, of this release's schema
        return asyncio.run(_run(make_database(url, now_ms), change))
    except (CannotRead, SchemaTooOld, SchemaTooNew) as fault:
        raise UsersError(str(fault), exit_code=2) from fault
    except ApiError as fault:
        raise UsersError(fault.detail) from fault


async def _run(db: Database, change: Change) -> tuple[User, bool]:
    await db.open(_Nobody())
    try:
        return await change(db)
    finally:
        await db.close()
