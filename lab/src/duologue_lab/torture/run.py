"""A run from its start to its verdict."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from duologue_lab.torture import arrive, harm, settle
from duologue_lab.torture.follow import live
from duologue_lab.torture.harm import Menu
from duologue_lab.torture.history import History
from duologue_lab.torture.load import ActionRates, go_on, keep_time, sweep
from duologue_lab.torture.trim import trim_for_ever
from duologue_lab.torture.world import World

Show = Callable[[str, World], None]
"""Called with what is going on, a few times a second."""
_SHOWN_EVERY: Final = 0.5
"""Seconds."""
_LONGEST_NAP: Final = 1.5
"""Times the retention."""


class Plan(msgspec.Struct, frozen=True):
    """Plan of a run: number of users, duration, seconds between kills, and the random seed.

    `tokens`: the users, if they aren't to be signed in. `patience`: seconds to catch up within, at the end.
    `retention`: seconds for which events are kept, if the database can be reached. Some devices sleep for longer.
    """

    users: int
    seconds: float
    pace: ActionRates
    kill_every: float
    seed: int
    tokens: Sequence[str] = ()
    patience: float = 120
    retention: float = 8


class SystemUnderTest(msgspec.Struct):
    """System of a run: the nodes' URLs, the parts that may be harmed, and the database's URL if it can be reached."""

    urls: list[str]
    menu: Menu
    database_url: str = ""


async def run(plan: Plan, system: SystemUnderTest, history: History, show: Show) -> World:
    """The whole run; the history is complete afterwards. Raises `CannotStart`."""
    world = World(system.urls, history, plan.seed)
    showing = asyncio.create_task(_show(world, show))
    try:
        world.doing = "signing in"
        await (arrive.admit(world, plan.tokens) if plan.tokens else arrive.sign_in(world, plan.users))
        await arrive.make_chats(world)
        await arrive.make_strangers(world)
        lives = [asyncio.create_task(live(world, device)) for device in world.devices]
        lives += [asyncio.create_task(work(world)) for work in (sweep, keep_time)]
        await _go_through(world, plan, system)
        world.doing = "catching up"
        await settle.calm_down(world, plan.patience)
        world.doing = "reading back"
        await _end(world, lives)
        harm.listen_to(world, system.menu.nodes)
        await settle.read_back(world)
    finally:
        showing.cancel()
        await world.close()
    show("done", world)
    return world


async def _go_through(world: World, plan: Plan, system: SystemUnderTest) -> None:
    world.doing = "torturing"
    over = asyncio.Event()
    beside = [asyncio.create_task(go_on(world, plan.pace, plan.retention * _LONGEST_NAP))]
    if system.database_url:
        beside.append(asyncio.create_task(trim_for_ever(world, system.database_url, plan.retention)))
    torment = asyncio.create_task(harm.torment(world, system.menu, plan.kill_every, over))
    await asyncio.wait({*beside, torment}, timeout=plan.seconds, return_when=asyncio.FIRST_EXCEPTION)
    over.set()
    await torment
    for task in beside:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _end(world: World, lives: Sequence[asyncio.Task[None]]) -> None:
    for life in lives:
        life.cancel()
    for end in await asyncio.gather(*lives, return_exceptions=True):
        if not isinstance(end, asyncio.CancelledError):
            world.odd("the torture itself", repr(end))


async def _show(world: World, show: Show) -> None:
    while True:
        show(world.doing, world)
        await asyncio.sleep(_SHOWN_EVERY)
