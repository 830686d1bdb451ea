"""`connect`: how fast users sign in and open their sockets. `idle`: what sockets cost that do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from duologue_lab.bench.files import check_sockets
from duologue_lab.bench.http import each
from duologue_lab.bench.meter import family_memory, quantiles, seconds_array
from duologue_lab.bench.people import BenchUser
from duologue_lab.bench.result import Result, costs
from duologue_lab.bench.setup import BenchSetup
from duologue_lab.bench.talk import Talker, Tally, clock

CONNECTING: Final = 100
"""Sockets whose handshake is under way at once."""
_CALM: Final = 3  # times the options' settling time
_HOLDING: Final = 30.0
"""Seconds in which every socket is pinged at least once."""
_KIB: Final = 1024  # bytes


async def connect(setup: BenchSetup) -> list[Result]:
    """All users sign in, many at once; then each opens a socket, says hello and catches up."""
    meter, began = setup.meter(), clock()
    users = await setup.people.get(setup.options.users)
    spent, elapsed = meter.lap(), clock() - began
    signed = Result(
        scenario="connect",
        case="sign-in",
        figures={"sign-ins/s": len(users) / elapsed} | costs(spent, len(users), "sign-in"),
        shares=spent.shares(),
        warnings=spent.warnings(),
    )
    talkers, opened = await _open_all(setup, users)
    for talker in talkers:
        talker.close()
    return [signed, opened]


async def _open_all(setup: BenchSetup, users: Sequence[BenchUser]) -> tuple[list[Talker], Result]:
    check_sockets(len(users))
    tally, times = Tally(), seconds_array()
    talkers = [Talker(tally, user) for user in users]

    async def open_one(talker: Talker) -> None:
        began = clock()
        await talker.open(setup.place.url)
        times.append(clock() - began)

    with setup.watch.stage("connecting", len(talkers)) as advance:
        meter, began = setup.meter(), clock()
        await each(open_one, talkers, CONNECTING, advance)
        spent, elapsed = meter.lap(), clock() - began
    rate = len(talkers) / elapsed
    return talkers, Result(
        scenario="connect",
        case="sockets",
        figures={"sockets/s": rate} | costs(spent, len(talkers), "socket"),
        latencies={"set-up": quantiles(times)},
        ratios={"sockets / bare sockets": rate / setup.machine.connects_per_second},
        shares=spent.shares(),
        warnings=spent.warnings(),
    )


async def idle(setup: BenchSetup) -> list[Result]:
    """The server's memory with many users signed in, before and after each has opened a socket.

    Raises `ValueError` when the server's process can't be seen from here.
    """
    server = setup.place.server
    if server is None:
        raise ValueError("idle reads the server's memory: run it on the server's machine, as a user who may")
    users = await setup.people.get(setup.options.users)
    await asyncio.sleep(_CALM * setup.options.settling)
    before = family_memory(server)
    talkers, _ = await _open_all(setup, users)
    await asyncio.sleep(_CALM * setup.options.settling)
    after = family_memory(server)
    holding = _HOLDING if setup.options.seconds >= 1 else setup.options.seconds
    with setup.watch.stage("holding", holding) as advance:
        meter = setup.meter()
        for _ in range(round(holding)):
            await asyncio.sleep(1)
            advance()
        spent = meter.lap()
    held = family_memory(server)
    for talker in talkers:
        talker.close()
    each_kib = (after - before) / _KIB / len(talkers)
    figures = {
        "sockets": len(talkers),
        "KiB/socket": each_kib,
        "KiB/socket after a ping": (held - before) / _KIB / len(talkers),
        "MiB without sockets": before / _KIB**2,
        "MiB with sockets": after / _KIB**2,
    }
    return [
        Result(
            scenario="idle",
            case=f"{len(talkers):,} sockets",
            figures=figures,
            shares=spent.shares(),
            ratios={"KiB / bare socket's": each_kib / setup.machine.kib_per_socket},
        )
    ]
