"""Suspending users: by whoever runs the server, and so that every node notices."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from duologue.clock import SECOND, Clock
from duologue.core.phone_numbers import parse_phone
from duologue.errors import ApiError
from duologue.model import User, decode_id
from duologue.realtime.hub import Hub
from duologue.storage.database import Database, Shard
from duologue.storage.tables import suspensions as store
from duologue.storage.tables.accounts import user_by_id, user_by_phone

_log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 0.5
"""Seconds between looks at who was suspended."""
_OVERLAP: Final = 15 * SECOND
"""Milliseconds that each look goes back behind the one before: commits end late, and clocks of hosts differ."""


async def find(db: Database, who: str) -> User:
    """Find the user with this phone number or user id. Raises `ApiError` `invalid_phone`, `not_found`."""
    user_id = decode_id("usr", who)
    if user_id is not None:
        user = await db.of_user(user_id).read(user_by_id, user_id)
    else:
        user = await db.directory().read(user_by_phone, parse_phone(who))
    if user is None or user.phone is None:
        raise ApiError("not_found", "There is no such user.")
    return user


async def suspend(db: Database, who: str, clock: Clock) -> tuple[User, bool]:
    """Suspend a user, named as for `find`: every call is refused from then on, on every node within a second.

    Returns the user, and False if that was done before. Raises as `find`.
    """
    user = await find(db, who)
    return user, await db.of_user(user.id).write(store.suspend, user.id, clock())


async def lift(db: Database, who: str) -> tuple[User, bool]:
    """Let a suspended user in again. Returns the user, and False if it isn't suspended. Raises as `find`."""
    user = await find(db, who)
    return user, await db.of_user(user.id).write(store.lift, user.id)


class SuspensionWatch:
    """Notices on this node who was suspended, whichever process did it: a command tells no bus of it."""

    def __init__(self, db: Database, hub: Hub, clock: Clock) -> None:
        self._db = db
        self._hub = hub
        self._clock = clock
        self._newest = clock()

    async def run(self) -> None:
        """The background loop."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self.look()
            except ApiError:  # the store can't be reached: nothing can be done there either
                continue
            except Exception:  # noqa: BLE001 - the next look may succeed
                _log.exception("suspended users could not be looked for")

    async def look(self) -> None:
        """Have those who follow the logs of suspended users look at them. Raises `ApiError` `overloaded`."""
        newest = [await self._look_at(shard, self._newest - _OVERLAP) for shard in self._db.every_shard()]
        # Not beyond now: a command on a machine whose clock is ahead may have dated the newest.
        self._newest = max(self._newest, min(*newest, self._clock()))

    async def _look_at(self, shard: Shard, since: int) -> int:
        """Look at those who were suspended since then; return when the newest was (epoch ms)."""
        more = True
        while more:
            found = await shard.read(store.suspended_since, since)
            for suspension in found:
                since = suspension.since
                self._hub.reached(suspension.user_id, suspension.newest)
            more = len(found) == store.FOUND_AT_ONCE
        return since
