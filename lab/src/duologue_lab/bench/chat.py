"""`chat`: pairs of users who write to each other, in a closed loop and at fixed rates."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from duologue_lab.bench.files import check_sockets
from duologue_lab.bench.http import each
from duologue_lab.bench.meter import quantiles
from duologue_lab.bench.result import Machine, Result, costs
from duologue_lab.bench.setup import BenchSetup
from duologue_lab.bench.talk import Talker, Tally, clock, talkers_of

_CONNECTING: Final = 100  # sockets at once
_PATIENCE: Final = 60.0  # seconds
_KEPT_UP: Final = 0.95  # of the offered rate
_LEAD: Final = 0.05
"""Seconds until the first message of a fixed rate is due."""
_SEED: Final = 1
"""Of the moments and senders."""
_TICK: Final = 0.001
"""Timers are no finer: to sleep for less is not to sleep at all, and would take the whole core."""


async def chat(setup: BenchSetup) -> list[Result]:
    """A closed loop with one message in flight on each socket; then, on the first number of sockets, each rate.

    A message counts when it is acknowledged and delivered; all of them must have their receipt at the end.
    """
    results = []
    for index, sockets in enumerate(setup.options.sockets):
        check_sockets(sockets)
        pairs = await setup.people.pairs(sockets // 2)
        tally = Tally()
        talkers = talkers_of(tally, pairs, "x" * setup.options.text)
        await online(setup, talkers)
        results.append(await closed_loop(setup, tally, talkers, f"{len(talkers)} sockets, closed loop"))
        rates = setup.options.rates if index == 0 else ()
        results += [await open_loop(setup, tally, talkers, rate) for rate in rates]
        for talker in talkers:
            talker.close()
    for result in results:
        result.scenario = "chat"
    return results


async def online(setup: BenchSetup, talkers: Sequence[Talker]) -> None:
    """All of them connected and caught up, and the server at rest again."""

    async def open_one(talker: Talker) -> None:
        await talker.open(setup.place.url)

    with setup.watch.stage("connecting", len(talkers)) as advance:
        await each(open_one, talkers, _CONNECTING, advance)
    await asyncio.sleep(setup.options.settling)


async def closed_loop(
    setup: BenchSetup, tally: Tally, senders: Sequence[Talker], case: str, *, width: int = 1
) -> Result:
    """Each sends its next message when one of the `width` before was answered."""
    start = clock() + setup.options.settling
    tally.since, tally.until = start, start + setup.options.seconds
    tally.ends_at = tally.until
    for talker in senders:
        talker.loop(width=width)
    result = await _observe(setup, tally, case)
    result.ratios |= of_the_best(result.figures["messages/s"], setup.machine)
    return result


def of_the_best(rate: float, machine: Machine) -> dict[str, float]:
    """Return a rate of messages as a part of what the machine does at best."""
    ratios = {"messages / echoes": rate / machine.echoes_per_second}
    if machine.rows_per_second:
        ratios["messages / rows"] = rate / machine.rows_per_second
    return ratios


async def open_loop(setup: BenchSetup, tally: Tally, talkers: Sequence[Talker], rate: float) -> Result:
    """Messages are sent at their time, whatever became of those before; each is timed from when it was due."""
    start = clock() + setup.options.settling
    tally.since, tally.until = start, start + setup.options.seconds
    tally.ends_at = tally.until
    pacing = asyncio.create_task(pace(talkers, rate, tally))
    result = await _observe(setup, tally, f"{len(talkers)} sockets, {rate:,.0f}/s")
    await pacing
    best = setup.machine
    at_best = best.round_trip_ms + (best.commit_ms or 0)
    result.figures["offered/s"] = rate
    result.ratios = {
        f"{what} p50 / (round trip + commit)": got.p50 / at_best for what, got in result.latencies.items()
    }
    if result.figures["messages/s"] < _KEPT_UP * rate:
        result.warnings.append("the server didn't keep up with the rate")
    return result


async def pace(talkers: Sequence[Talker], rate: float, tally: Tally) -> None:
    """Send at random moments, `rate` a second, each time a sender drawn at random, until the tally's end.

    As people do: evenly spaced senders would never ack twice within a moment. Who is late catches up, and the delay
    counts.
    """
    dice = random.Random(_SEED)  # noqa: S311 - the same for each run
    due = clock() + _LEAD
    while due < tally.ends_at:
        ahead = due - clock()
        if ahead > 0:
            await asyncio.sleep(max(ahead, _TICK))
        else:
            dice.choice(talkers).send(due)
            due += dice.expovariate(rate)


async def _observe(setup: BenchSetup, tally: Tally, case: str) -> Result:
    """Count what is acknowledged and delivered within the tally's times, and see the rest through."""
    for times in tally.latencies.values():
        del times[:]
    meter = setup.meter()
    with setup.watch.stage(case, round(setup.options.seconds)) as advance:
        await asyncio.sleep(tally.since - clock())
        meter.lap()
        before, began = min(tally.acked, tally.delivered), clock()
        while (left := tally.until - clock()) > 0:
            await asyncio.sleep(min(left, 1.0))
            advance()
        count = min(tally.acked, tally.delivered) - before
        spent = meter.lap()
        elapsed = clock() - began
    await tally.wait_until_done(_PATIENCE)
    figures = {"messages/s": count / elapsed} | costs(spent, count, "message")
    if tally.refused:
        figures["refused"] = tally.refused.total()
    latencies = {what: quantiles(times) for what, times in tally.latencies.items() if times}
    return Result(
        scenario="",
        case=case,
        figures=figures,
        latencies=latencies,
        shares=spent.shares(),
        warnings=spent.warnings(),
    )
