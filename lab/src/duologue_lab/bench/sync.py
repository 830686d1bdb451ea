"""`sync`: everybody reconnects at once, with a backlog, while some go on writing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from picows import WSError

from duologue_lab.bench.chat import online, pace
from duologue_lab.bench.files import check_sockets
from duologue_lab.bench.http import each
from duologue_lab.bench.meter import quantiles, seconds_array
from duologue_lab.bench.result import Result, costs
from duologue_lab.bench.setup import BenchSetup
from duologue_lab.bench.talk import Talker, Tally, clock, talkers_of

_BACKLOG: Final = 20  # events for each user
_STEADY_PAIRS: Final = 20  # pairs of users
_STEADY_RATE: Final = 100.0  # messages a second
_HANDSHAKES: Final = 500
"""Handshakes under way at once. Each must be done within 5 s, or it is tried again."""
_PATIENCE: Final = 600.0  # seconds


async def sync(setup: BenchSetup) -> list[Result]:
    """Time until all users have caught up after the storm, and the senders' latency meanwhile."""
    check_sockets(setup.options.users + 2 * _STEADY_PAIRS)
    text = "x" * setup.options.text
    tally, steady_tally = Tally(), Tally()
    pairs = await setup.people.pairs(setup.options.users // 2)
    talkers = talkers_of(tally, pairs, text)
    positions = await _fall_behind(setup, tally, talkers)
    steady = talkers_of(steady_tally, await setup.people.pairs(_STEADY_PAIRS), text)
    await online(setup, steady)
    pacing = asyncio.create_task(_keep_writing(steady, steady_tally))
    await asyncio.sleep(setup.options.settling)
    result = await _storm(setup, talkers, positions, steady_tally)
    steady_tally.ends_at = clock()
    await pacing
    await steady_tally.wait_until_done(_PATIENCE)
    await tally.wait_until_done(_PATIENCE)
    result.latencies["send meanwhile"] = quantiles(steady_tally.latencies["ack"])
    for talker in (*talkers, *steady):
        talker.close()
    return [result]


async def _fall_behind(setup: BenchSetup, tally: Tally, talkers: Sequence[Talker]) -> list[int]:
    """Write everybody's backlog while the readers are away; how far each had got before."""
    await online(setup, talkers)
    positions = [talker.seq for talker in talkers]
    for talker in talkers[1::2]:
        talker.close()
    tally.ends_at = clock() + _PATIENCE
    writers = talkers[::2]
    with setup.watch.stage("writing the backlog", len(writers) * _BACKLOG) as advance:
        for talker in writers:
            talker.loop(_BACKLOG)
        seen = 0
        while tally.acked < len(writers) * _BACKLOG:
            if tally.lost or clock() > tally.ends_at:
                raise RuntimeError(f"The backlog wasn't taken: {tally.acked} messages. {tally.lost[:3]}")
            await asyncio.sleep(0.05)
            advance(tally.acked - seen)
            seen = tally.acked
    for talker in writers:
        talker.close()
    return positions


async def _keep_writing(talkers: Sequence[Talker], tally: Tally) -> None:
    tally.until = tally.ends_at = clock() + _PATIENCE
    await pace(talkers, _STEADY_RATE, tally)


async def _resume(talker: Talker, url: str, position: int) -> bool:
    """Reconnect and catch up; returns False, after a client's usual pause, if that failed."""
    try:
        await talker.open(url, position)
    except (OSError, WSError):
        await asyncio.sleep(random.random())  # noqa: S311 - jitter
        return False
    return True


async def _storm(
    setup: BenchSetup, talkers: Sequence[Talker], positions: Sequence[int], steady: Tally
) -> Result:
    times, retries = seconds_array(), 0

    async def reconnect(item: tuple[Talker, int]) -> None:
        nonlocal retries
        talker, position = item
        while not await _resume(talker, setup.place.url, position):
            retries += 1
        times.append(clock() - began)
        if talker.seq < position + _BACKLOG:
            raise RuntimeError(f"A user caught up at {talker.seq} instead of {position + _BACKLOG}.")

    with setup.watch.stage("storm", len(talkers)) as advance:
        meter, began = setup.meter(), clock()
        steady.since = began
        await each(reconnect, list(zip(talkers, positions, strict=True)), _HANDSHAKES, advance)
        spent, elapsed = meter.lap(), clock() - began
        steady.until = clock()
    return Result(
        scenario="sync",
        case=f"{len(talkers):,} users, {_BACKLOG} events each",
        figures={
            "s until all are caught up": elapsed,
            "users/s": len(talkers) / elapsed,
            "events/s": len(talkers) * _BACKLOG / elapsed,
        }
        | ({"handshakes tried again": retries} if retries else {})
        | costs(spent, len(talkers), "user"),
        latencies={"caught up": quantiles(times)},
        ratios={"users / bare sockets": len(talkers) / elapsed / setup.machine.connects_per_second},
        shares=spent.shares(),
        warnings=spent.warnings(),
    )
