"""What is cheap to send costs the server little, and the others nothing."""

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
    [attacks.pings_before_hello, attacks.requests_by_a_user, attacks.streams, attacks.unread_pages],
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
    target = await siege.target()
    seconds = 0.8
    before, until = cpu_seconds(siege), time.monotonic() + seconds
    while time.monotonic() < until:
        await anyio.to_thread.run_sync(attack, target, until)
    assert cpu_seconds(siege) - before < seconds / 4


def cpu_seconds(siege: Siege) -> float:
    """What the server's processes have used of the processors."""
    root = psutil.Process(siege.server.pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(spent.user + spent.system for spent in times)
