"""`start`: from the command to the first answer, on a database that is in use."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Final

from duologue_lab.bench.fill import fill
from duologue_lab.bench.http import Http
from duologue_lab.bench.meter import quantiles, seconds_array
from duologue_lab.bench.result import Result
from duologue_lab.bench.setup import BenchSetup
from duologue_lab.bench.talk import clock

_STARTS: Final = 5  # starts
_CHATS: Final = 50  # chats
_MESSAGES: Final = 100_000  # messages


async def start(setup: BenchSetup) -> list[Result]:
    """Five starts. Each ends with the answer to a request that needs the store. Raises `ValueError`."""
    place, size = setup.place, _MESSAGES if setup.options.seconds >= 1 else 1_000
    if place.start is None or place.stop is None:
        raise ValueError("start stops the server: it needs one of its own")
    pairs = await setup.people.pairs(_CHATS)
    with setup.watch.stage("filling the store", size) as advance:
        for pair in pairs:
            await asyncio.to_thread(fill, place.store_url, pair, size // _CHATS, advance)
    times = seconds_array()
    with setup.watch.stage("starting", _STARTS) as advance:
        for _ in range(_STARTS):
            place.stop()
            began = clock()
            place.start()
            with closing(Http(place.url)) as http:
                await http.ask("GET", "/v1/chats", pairs[0][0].token)
            times.append(clock() - began)
            advance()
    got = quantiles(times)
    return [
        Result(
            scenario="start",
            case=f"with {size:,} messages",
            figures={"s to the first answer": got.p50 / 1000},
            latencies={"first answer": got},
            ratios={"start / bare server's": got.p50 / 1000 / setup.machine.start_seconds},
        )
    ]
