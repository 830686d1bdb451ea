"""`posts`: messages through the HTTP API, each sender with one `POST /v1/messages` under way."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Final

import httpx

from duologue_lab.bench.chat import of_the_best
from duologue_lab.bench.meter import quantiles, seconds_array
from duologue_lab.bench.result import Result, costs
from duologue_lab.bench.setup import BenchSetup
from duologue_lab.bench.talk import clock

_BATCHES: Final = re.compile(r"^duologue_batch_operations_(sum|count) (\S+)$", re.MULTILINE)


async def posts(setup: BenchSetup) -> list[Result]:
    """Half of the first number of sockets are pairs, of which both sides post. Raises `RequestFailed`."""
    pairs = await setup.people.pairs(setup.options.sockets[0] // 2)
    senders = [(one.token, other.phone) for pair in pairs for one, other in (pair[:2], pair[1::-1])]
    run, text, times = secrets.token_hex(4), "x" * setup.options.text, seconds_array()
    await asyncio.sleep(setup.options.settling)
    before, meter = await _batches(setup.place.url), setup.meter()
    until = clock() + setup.options.seconds

    async def post(number: int, token: str, to: str) -> None:
        count = 0
        while (begun := clock()) < until:
            count += 1
            client_id = f"{run}-0000-7000-8000-{number:04x}{count:08x}"
            await setup.http.ask(
                "POST", "/v1/messages", token, {"to": to, "text": text, "client_id": client_id}
            )
            times.append(clock() - begun)

    meter.lap()
    await asyncio.gather(*(post(number, *sender) for number, sender in enumerate(senders)))
    spent, after = meter.lap(), await _batches(setup.place.url)
    committed = {name: after[name] - before[name] for name in after}
    rate = len(times) / spent.wall
    figures = {"messages/s": rate, "operations/commit": committed["sum"] / committed["count"]}
    return [
        Result(
            scenario="posts",
            case=f"{len(senders)} senders, closed loop",
            figures=figures | costs(spent, len(times), "message"),
            latencies={"answer": quantiles(times)},
            shares=spent.shares(),
            ratios=of_the_best(rate, setup.machine),
            warnings=spent.warnings(),
        )
    ]


async def _batches(url: str) -> dict[str, float]:
    """Read how many commits there were, and how many operations they held."""
    async with httpx.AsyncClient(trust_env=False) as http:
        metrics = (await http.get(f"{url}/metrics")).text
    return {name: float(value) for name, value in _BATCHES.findall(metrics)}
