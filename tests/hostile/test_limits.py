"""Requests that are cheap to send cost the server little, and others nothing."""

from __future__ import annotations

import time

import anyio
import psutil
import pytest

from tests.hostile import attacks_limits as attacks
from tests.hostile.harness import Attack, Siege

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "attack",
    [
        attacks.pings_before_hello,
        attacks.requests_by_a_user,
        attacks.frames_by_a_user,
        attacks.unknown_tokens,
        attacks.reconnecting,
        attacks.connecting,
        attacks.streams,
        attacks.unread_pages,
    ],
    ids=lambda attack: attack.__name__,
)
async def test_a_flood_harms_nobody(siege: Siege, attack: Attack) -> None:
    await siege.withstand(attack)


@pytest.mark.parametrize(
    "attack",
    [
        attacks.pings_before_hello,
        attacks.pings_after_hello,
        attacks.fragments_without_end,
    ],
    ids=lambda attack: attack.__name__,
)
async def test_a_flood_of_control_frames_takes_little_of_a_core(siege: Siege, attack: Attack) -> None:
    """Counted in CPU time, which others on this machine hardly change."""
    seconds = 0.8
    assert await cpu_taken(siege, attack, seconds) < seconds / 4


async def test_connecting_again_and_again_takes_little_of_a_core(siege: Siege) -> None:
    """Once what a network may open at once has been used up. Each process of the server counts for itself.

    Without a rate it takes all of a core. With it, 100 a second take a twentieth of a core of a quiet machine; of a
    busy one, whose caches others use, several times as much.
    """
    await anyio.to_thread.run_sync(attacks.connect_until_refused, await siege.target())
    seconds = 1.0
    processes = len(psutil.Process(siege.server.pid).children()) or 1
    assert await cpu_taken(siege, attacks.reconnecting, seconds) < processes * seconds / 2


async def cpu_taken(siege: Siege, attack: Attack, seconds: float) -> float:
    """Seconds of CPU that the server took for an attack of so many seconds."""
    target = await siege.target()
    before, until = cpu_seconds(siege), time.monotonic() + seconds
    while time.monotonic() < until:
        await anyio.to_thread.run_sync(attack, target, until)
    return cpu_seconds(siege) - before


def cpu_seconds(siege: Siege) -> float:
    """Return the CPU seconds that the server's processes have used."""
    root = psutil.Process(siege.server.pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(spent.user + spent.system for spent in times)
