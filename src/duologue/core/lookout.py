"""The lookout: what the bus can't tell at present, the store is asked.

While a node knows that it has heard all that the others published, or that there are no others, it believes
that a session is live as long as nobody said that it ended. As soon as it doesn't know, it asks the store every
second at the latest, in one look: which of the sessions with open sockets have ended, and how far do the followed
logs go? Until it has an answer that is younger than a second, frames wait for one of their own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from prometheus_client import Gauge

from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.realtime.hub import Hub
from duologue.storage.database import Database
from duologue.storage.tables import lookout as store

_log = logging.getLogger(__name__)

TRUSTED_FOR: Final = 1.0
"""Seconds that a session is believed to be live after it was known to be."""
_WELL_FOR: Final = 0.8
"""Seconds since the bus was last known to be well, until the store is asked."""
_LOOK_EVERY: Final = 0.5
"""Seconds from the start of one look to the next, at least."""
_TICK: Final = 0.1
"""Seconds between questions to the bus how it is."""
_AT_ONCE: Final = 1_000
"""Sessions, and users, in one statement."""

_AGE: Final = Gauge("duologue_bus_age_seconds", "Seconds since the bus was last known to be well.")


class SessionHolder(Protocol):
    """Somebody who came in with a session and stays."""

    caller: Caller | None

    def check_session(self) -> None:
        """The session seems to have ended: make sure, and leave."""
        ...


class Lookout:
    """Knows until when sessions may be trusted, and finds what notices didn't tell.

    `as_of` returns the time (of `time.monotonic`) up to which all is known that other nodes did; None says that there
    can be no other node.
    """

    def __init__(
        self,
        db: Database,
        hub: Hub,
        guests: Callable[[], Iterable[SessionHolder]],
        as_of: Callable[[], float] | None,
    ) -> None:
        self._db = db
        self._hub = hub
        self._guests = guests
        self._as_of = as_of
        self._looked_at = -math.inf
        self.trusted_until = -math.inf if as_of else math.inf
        """The time (`time.monotonic`) until which a frame on an open socket needs no look at its session."""
        _AGE.set_function(self._age)

    def _age(self) -> float:
        return max(0.0, time.monotonic() - self._as_of()) if self._as_of else 0.0

    async def run(self) -> None:
        """The background loop."""
        begun_at = -math.inf
        while self._as_of:
            now = time.monotonic()
            well_at = self._as_of()
            in_doubt = self._hub.doubted.is_set() or now < self._hub.doubted_until
            if (in_doubt or now - well_at > _WELL_FOR) and now - begun_at >= _LOOK_EVERY:
                begun_at = now
                await self._try_to_look()
            self.trusted_until = max(well_at, self._looked_at) + TRUSTED_FOR
            await asyncio.sleep(_TICK)

    async def _try_to_look(self) -> None:
        self._hub.doubted.clear()
        try:
            await self.look()
        except ApiError:  # the store can't be reached: nothing can be written either
            self._hub.doubted.set()
        except Exception:  # noqa: BLE001 - the next look may succeed
            self._hub.doubted.set()
            _log.exception("sessions and logs could not be looked at")

    async def look(self) -> None:
        """Ask the store once of all who are here. Raises `ApiError` `overloaded`."""
        begun_at = time.monotonic()
        guests = [(guest, guest.caller.session_id) for guest in self._guests() if guest.caller]
        sessions = list({session_id for _, session_id in guests})
        users = self._hub.followed()
        live: set[int] = set()
        ends: dict[int, int] = {}
        for start in range(0, max(len(sessions), len(users)), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            for shard in self._db.every_shard():
                found = await shard.read(store.look, sessions[part], users[part])
                live |= found[0]
                ends |= found[1]
        for guest, session_id in guests:
            if session_id not in live:
                guest.check_session()
        for user_id in users:
            self._hub.reached(user_id, ends.get(user_id))
        self._looked_at = begun_at
