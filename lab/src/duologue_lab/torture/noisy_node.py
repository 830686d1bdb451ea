"""`duologue serve` with a bad bus: what a process tells its own devices and its siblings is lost, repeated, delayed.

    python -m duologue_lab.torture.noisy_node serve …

A bus may do all of that (`realtime/bus.py`). Between workers a whole payload is lost or repeated. A single process
has nothing that could lose a notice: there it is repeated, or comes late, or is lost and everybody looks at the log a
moment later, as after a commit whose outcome was in doubt. NATS has a proxy of its own, `lab/lossy_nats.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import runpy
from collections.abc import Callable, Sequence
from typing import Final

from duologue.realtime import siblings
from duologue.realtime.bus import LocalBus, Notice
from duologue.realtime.hub import Hub

_LATE: Final = 0.05  # share of the notices, as the next two
_REPEATED: Final = 0.05  # share
_LOST: Final = 0.05  # share
_LONGEST_DELAY: Final = 0.3
"""Seconds."""
_RECHECKED_WITHIN: Final = 1.0
"""Seconds from a lost notice to the look at the log."""


def add_noise(chance: random.Random) -> None:
    """Make the buses of this process bad ones."""
    LocalBus.publish = _noisy(LocalBus.publish, chance)  # type: ignore[method-assign, assignment]
    send = siblings._Link.send  # noqa: SLF001 - the one place through which payloads to siblings go

    def send_badly(link: siblings._Link, frame: bytes) -> None:
        fate = chance.random()
        if fate >= _LOST:
            send(link, frame)
        if _LOST <= fate < _LOST + _REPEATED:
            send(link, frame)

    siblings._Link.send = send_badly  # type: ignore[method-assign, assignment]  # noqa: SLF001


def _noisy(
    publish: Callable[[LocalBus, Sequence[Notice]], None], chance: random.Random
) -> Callable[[LocalBus, Sequence[Notice]], None]:
    def publish_badly(bus: LocalBus, notices: Sequence[Notice]) -> None:
        loop = asyncio.get_running_loop()
        passed = []
        for notice in notices:
            fate = chance.random()
            if fate < _LATE:
                loop.call_later(chance.uniform(0, _LONGEST_DELAY), publish, bus, [notice])
            elif fate < _LATE + _LOST:
                loop.call_later(chance.uniform(0, _RECHECKED_WITHIN), _recheck, bus)
            else:
                passed += [notice] * (2 if fate < _LATE + _LOST + _REPEATED else 1)
        publish(bus, passed)

    return publish_badly


def _recheck(bus: LocalBus) -> None:
    hub = bus._handler  # noqa: SLF001 - nothing but a test of it asks a bus for that
    if isinstance(hub, Hub):
        hub.recheck()


if __name__ == "__main__":
    if seed := int(os.environ.get("TORTURE_NOISE", "0")):
        add_noise(random.Random(seed))  # noqa: S311 - to be repeatable
    runpy.run_module("duologue.cli", run_name="__main__", alter_sys=True)
