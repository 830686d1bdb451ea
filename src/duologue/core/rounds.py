"""Background loops that look for work again and again, on every node."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from duologue.errors import ApiError

_log = logging.getLogger(__name__)

_PAUSE: Final = 0.5
"""Seconds between looks for work."""
TROUBLE: Final = 5.0
"""Seconds until the next try of what couldn't be done."""


class Rounds:
    """Rounds of work, one after the other, until they are told to stop. No failure ends them.

    `waits` is the log line for a store that can't be reached, and `fails` the one for anything else that goes wrong.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], *, waits: str, fails: str) -> None:
        self._work = work
        self._waits = waits
        self._fails = fails
        self._woken = asyncio.Event()
        self._stopped = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """True once no further work is to be begun."""
        return self._stopped.is_set()

    @property
    def woken(self) -> bool:
        """True if there may be something to do that no round has looked at."""
        return self._woken.is_set()

    def wake(self) -> None:
        """There may be something to do already."""
        self._woken.set()

    def stop(self) -> None:
        """Begin no further round."""
        self._stopped.set()
        self.wake()

    def begin(self) -> None:
        """A round begins: what has been woken for so far is seen by it."""
        self._woken.clear()

    async def run(self) -> None:
        """The background loop. It ends when it is told to stop."""
        while not self.stopped:
            patience, awaited = _PAUSE, self._woken
            if not await self._try_round():
                patience, awaited = TROUBLE, self._stopped
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await awaited.wait()

    async def _try_round(self) -> bool:
        try:
            await self._work()
        except ApiError as fault:
            _log.warning("%s: %s", self._waits, fault)
        except Exception as fault:  # noqa: BLE001 - one bad row mustn't end the loop for everybody
            _log.error(self._fails, exc_info=fault)
        else:
            return True
        return False
