"""A run from its start to its verdict."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from duologue.torture import arrive, settle, system
from duologue.torture.follow import live
from duologue.torture.history import History
from duologue.torture.load import Pace, go_on, sweep
from duologue.torture.system import Victim
from duologue.torture.world import World

Show = Callable[[str, World], None]
"""Called with what is going on, a few times a second."""
_SHOWN_EVERY: Final = 0.5


class Plan(msgspec.Struct, frozen=True):
    """What to do: so many users, for so long, a kill every so many seconds, and what chance is seeded with.

    `tokens`: the users, if they aren't to be signed in. `patience`: seconds to catch up within, at the end.
    """

    users: int
    seconds: float
    pace: Pace
    kill_every: float
    seed: int
    tokens: Sequence[str] = ()
    patience: float = 120


async def run(plan: Plan, urls: list[str], victims: Sequence[Victim], history: History, show: Show) -> World:
    """The whole run; the history is complete afterwards. Raises `CannotStart`."""
    world = World(urls, history, plan.seed)
    showing = asyncio.create_task(_show(world, show))
    try:
        world.doing = "signing in"
        await (arrive.admit(world, plan.tokens) if plan.tokens else arrive.sign_in(world, plan.users))
        await arrive.make_chats(world)
        lives = [asyncio.create_task(live(world, device)) for device in world.devices]
        lives.append(asyncio.create_task(sweep(world)))
        await _go_through(world, plan, victims)
        world.doing = "catching up"
        await settle.calm_down(world, plan.patience)
        world.doing = "reading back"
        await _end(world, lives)
        system.listen_to(world, victims)
        await settle.read_back(world)
    finally:
        showing.cancel()
        await world.close()
    show("done", world)
    return world


async def _go_through(world: World, plan: Plan, victims: Sequence[Victim]) -> None:
    world.doing = "torturing"
    over = asyncio.Event()
    load = asyncio.create_task(go_on(world, plan.pace))
    torment = asyncio.create_task(system.torment(world, victims, plan.kill_every, over))
    await asyncio.wait({load, torment}, timeout=plan.seconds, return_when=asyncio.FIRST_EXCEPTION)
    over.set()
    await torment
    load.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await load


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
