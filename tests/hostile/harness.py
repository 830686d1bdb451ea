"""A real server, people who chat on it, an attack, and the two promises that hold meanwhile.

While one client is hostile

- the memory (RSS) of each of the server's processes grows by at most `MEMORY`, and
- others' messages take at most twice as long as in the quiet phases before and between, at p50 and at p99.

To add a test:

1. Write the attack as a function `attack(target, until)` in a module `tests/hostile/attacks_<part>.py` that imports
   little. It runs in a process of its own, is called again and again until the time is over, and must return soon
   after `until` (seconds of `time.monotonic`). It connects with `target.connect()`, which takes an address of its
   own, so that limits for each address meet the attacker and not the bystanders. Its input is only a little over our
   own bounds. It says nothing about the outcome: what an answer must be is asserted by an ordinary test.
2. In `tests/hostile/test_<part>.py`: `async def test_…(siege: Siege) -> None: await siege.withstand(attack)`. The
   fixture `siege` gives one node on SQLite, and then two workers on PostgreSQL, with the limits of a usual server.

The comparison is made in turn (quiet, attack, quiet, attack), because a busy machine changes from second to second;
it is made up to `TRIES` times, and below `FLOOR_P50` and `FLOOR_P99`, times the processes that wait for each core, a
longer time is taken for noise. The memory is judged over all tries together, and only once: what an attack leaves
behind doesn't go by trying again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from duologue_lab.servers.server import DuologueServer
from tests.hostile.bystanders import Bystanders, Latencies, bystanders
from tests.hostile.crowd import popular
from tests.hostile.target import Target
from tests.support.client import api_of

Attack = Callable[[Target, float], None]

MEMORY = 32 * 1024 * 1024
"""Bytes of RSS that each of the server's processes may grow by."""
PHASE = 0.75
"""Seconds of each quiet phase and of each attack."""
ROUNDS = 2
TRIES = 5
FLOOR_P50, FLOOR_P99 = 0.015, 0.05
"""Seconds that are never too long on a machine of one's own: the scheduler alone takes that much now and then."""
_SAMPLE_EVERY = 0.05
_START_WITHIN = 30.0
_END_WITHIN = 10.0
_ROOT = Path(__file__).parents[2]


@dataclass
class Toll:
    """Measurements of the quiet phases and of those under attack."""

    quiet: Latencies = field(default_factory=Latencies)
    attacked: Latencies = field(default_factory=Latencies)

    @property
    def bearable(self) -> bool:
        queue = processes_for_each_core()
        return all(
            self.attacked.percentile(share) <= max(2 * self.quiet.percentile(share), floor * queue)
            for share, floor in ((0.5, FLOOR_P50), (0.99, FLOOR_P99))
        )

    def __str__(self) -> str:
        return f"quiet: {self.quiet}; attacked: {self.attacked}"


def processes_for_each_core() -> float:
    """Return how many times longer than on an idle machine a process waits for its turn; at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Siege:
    """One server that is attacked."""

    def __init__(self, server: DuologueServer) -> None:
        self.server = server
        self._popular: Target | None = None

    def memory(self) -> dict[int, int]:
        """Bytes of RSS of each of the server's processes, by process id."""
        root = psutil.Process(self.server.pid)
        found = {}
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                found[process.pid] = process.memory_info().rss
        return found

    def growth(self, before: dict[int, int]) -> int:
        """The most bytes by which one of the processes has grown since then."""
        return max(rss - before.get(pid, rss) for pid, rss in self.memory().items())

    async def withstand(self, attack: Attack, target: Target | None = None, *, phase: float = PHASE) -> None:
        """Raises `AssertionError` when the attack costs the server or the others too much."""
        target = target or await self.target()
        tolls = []
        async with bystanders(self.server.url) as people:
            await people.chat(phase)
            before = self.memory()
            growths = [0]
            watched = partial(self._watched, before, growths)
            for _ in range(TRIES):
                tolls.append(await self._exact(attack, target, people, watched, phase))
                if tolls[-1].bearable:
                    break
        assert max(growths) <= MEMORY, f"a process grew by {max(growths) / 1024 / 1024:.0f} MiB"
        assert tolls[-1].bearable, "others had to wait: " + " | ".join(map(str, tolls))

    async def target(self) -> Target:
        """The server, and the account of a new attacker with a chat."""
        async with api_of(self.server.url) as api:
            attacker, _, chat_id = await api.friends()
        return Target(self.server.port, attacker.token, chat_id)

    async def popular_target(self) -> Target:
        """The server, and an attacker whom many know: one for all attacks, because making it takes a while."""
        if self._popular is None:
            async with api_of(self.server.url) as api:
                self._popular = await popular(api, self.server.port)
        return self._popular

    async def _exact(
        self,
        attack: Attack,
        target: Target,
        people: Bystanders,
        watched: Callable[[], AbstractAsyncContextManager[None]],
        phase: float,
    ) -> Toll:
        toll = Toll()
        for _ in range(ROUNDS):
            toll.quiet.samples += (await people.chat(phase)).samples
            async with watched(), attacking(attack, target, phase):
                toll.attacked.samples += (await people.chat(phase)).samples
        return toll

    @asynccontextmanager
    async def _watched(self, before: dict[int, int], growths: list[int]) -> AsyncIterator[None]:
        async def watch() -> None:
            while True:
                growths.append(self.growth(before))
                await asyncio.sleep(_SAMPLE_EVERY)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            growths.append(self.growth(before))


@asynccontextmanager
async def attacking(attack: Attack, target: Target, seconds: float) -> AsyncIterator[None]:
    """The attack runs for so long. Raises `AssertionError` when it fails by itself or doesn't end."""
    command = (sys.executable, "-m", "tests.hostile.run_attack", attack.__module__, attack.__name__)
    process = await asyncio.create_subprocess_exec(
        *command, str(seconds), stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=_ROOT
    )
    try:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{target.to_json()}\n".encode())
        async with asyncio.timeout(_START_WITHIN):
            said = await process.stdout.readline()
        assert said == b"attacking\n", await _complaint(process)
        yield
        async with asyncio.timeout(seconds + _END_WITHIN):
            complaint = await _complaint(process)
        assert process.returncode == 0, complaint
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _complaint(process: Process) -> str:
    _, told = await process.communicate()
    return f"the attack itself failed: {told.decode(errors='replace')}"
