"""The promise: acknowledged is never lost, never doubled, never out of order, whatever breaks.

Pairs of people chat, some with a second device, while connections are cut at random and the server is killed
and started again. TEST_CHAOS_SEED repeats a run; these lengthen it:

    TEST_CHAOS_PAIRS     pairs of people
    TEST_CHAOS_SECONDS   for how long they write while the server is up
    TEST_CHAOS_KILLS     how often the server is killed meanwhile (now and then it is stopped in good order)
    TEST_CHAOS_CUTS      connections that are cut, a second
    TEST_CHAOS_MESSAGES  messages written, a second

A long run needs `-o faulthandler_timeout=0`, or it would be taken to hang.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from duologue_lab.servers.server import DuologueServer
from tests.acceptance.people import Person, check_pair, settle
from tests.support.client import Api, api_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SEED = int(os.environ.get("TEST_CHAOS_SEED") or random.randrange(10**6))
PAIRS = int(os.environ.get("TEST_CHAOS_PAIRS", "30"))
SECONDS = float(os.environ.get("TEST_CHAOS_SECONDS", "9"))
KILLS = int(os.environ.get("TEST_CHAOS_KILLS", "3"))
CUTS = float(os.environ.get("TEST_CHAOS_CUTS", "40"))
MESSAGES = float(os.environ.get("TEST_CHAOS_MESSAGES", "300"))
PATIENCE = 60 + SECONDS
EVERY_FIFTH = 5


async def gather_people(api: Api, dice: random.Random) -> list[list[Person]]:
    """Each pair, and the second device that one side of some pairs has."""
    pace = MESSAGES / PAIRS / 2
    groups = []
    for number in range(PAIRS):
        one, other, chat_id = await api.friends()
        group = [Person(device, chat_id, random.Random(dice.random()), pace) for device in (one, other)]
        if number % EVERY_FIFTH == 0:
            tablet = await api.device(other.phone)
            group.append(Person(tablet, chat_id, random.Random(dice.random()), pace=0))
        groups.append(group)
    return groups


async def cut_at_random(people: list[Person], dice: random.Random) -> None:
    while True:
        await asyncio.sleep(dice.expovariate(CUTS))
        if connected := [person for person in people if person.connected]:
            dice.choice(connected).cut()


async def kill_at_random(server: DuologueServer, dice: random.Random) -> None:
    """Only the time between the kills counts: how long a start takes is the machine's affair."""
    for _ in range(KILLS):
        await asyncio.sleep(SECONDS / (KILLS + 1) * dice.uniform(0.5, 1.5))
        in_good_order = dice.random() < 0.1
        await asyncio.to_thread(server.restart, kill=not in_good_order)
    await asyncio.sleep(SECONDS / (KILLS + 1))


async def test_nothing_acknowledged_is_lost_doubled_or_reordered(database_url: str, tmp_path: Path) -> None:
    print(f"TEST_CHAOS_SEED={SEED}")  # noqa: T201 - to repeat a failure
    dice = random.Random(SEED)
    settings = {"DUOLOGUE_DATABASE_URL": database_url, "DUOLOGUE_RATE_LIMITS": "off"}
    with DuologueServer(tmp_path / "data", env=settings) as server:
        async with api_of(server.url) as api:
            groups = await gather_people(api, dice)
            people = [person for group in groups for person in group]
            started = time.monotonic()
            lives = [asyncio.create_task(person.live()) for person in people]
            cutting = asyncio.create_task(cut_at_random(people, dice))
            await kill_at_random(server, dice)
            cutting.cancel()
            await settle(people, lives, PATIENCE)
            for life in lives:
                life.cancel()
            ended = await asyncio.gather(*lives, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
            for group in groups:
                await check_pair(*group)
        print(  # noqa: T201 - what was survived
            f"{sum(len(person.written) for person in people)} messages, {KILLS} kills,"
            f" {sum(person.cuts for person in people)} cuts, {sum(person.connections for person in people)}"
            f" connections of {len(people)} devices, {time.monotonic() - started:.0f} s"
        )
        assert "Traceback" not in server.log
