"""What goes on during a run: writing at a given pace, and beside it repeats, marks, looks, cuts and bad manners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from duologue.torture import actions
from duologue.torture.world import Device, Draft, Person, World

_SWEEP: Final = 0.5
_IMPATIENCE: Final = 3.0
"""Seconds of silence after which a message may be said again."""
_MADE_UP: Final = 2.0
_HOT: Final = 20
_IN_A_ROW: Final = (1, 1, 1, 1, 1, 1, 3)


class Pace(msgspec.Struct, frozen=True):
    """How often things are done, a second."""

    messages: float
    cuts: float

    @property
    def marks(self) -> float:
        return self.messages * 0.3

    @property
    def looks(self) -> float:
        return min(10.0, self.messages * 0.1)

    @property
    def mischief(self) -> float:
        return min(5.0, self.messages * 0.05)


async def go_on(world: World, pace: Pace) -> None:
    """Until cancelled."""
    async with asyncio.TaskGroup() as group:
        written_at_once = sum(_IN_A_ROW) / len(_IN_A_ROW)
        group.create_task(_again_and_again(world, pace.messages / written_at_once, _write))
        group.create_task(_again_and_again(world, pace.cuts, _cut))
        group.create_task(_again_and_again(world, pace.marks, _mark))
        group.create_task(_again_and_again(world, pace.looks, _look))
        group.create_task(_again_and_again(world, pace.mischief, _misbehave))


async def _again_and_again(world: World, pace: float, act: Callable[[World], None]) -> None:
    """At random moments, `pace` a second. What a busy machine missed is made up for, as far as it wasn't long ago."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while pace:
        due = max(due, loop.time() - _MADE_UP) + world.dice.expovariate(pace)
        await asyncio.sleep(max(0.0, due - loop.time()))
        act(world)


def _anybody(world: World) -> Person:
    """A few write much more than the others."""
    people = world.people
    if world.dice.random() < 0.2:
        people = people[: max(2, len(people) // _HOT)]
    return world.dice.choice(people)


def _write(world: World) -> None:
    person = _anybody(world)
    device = world.dice.choice(person.devices)
    chat = world.dice.choice(list(person.peers))
    for _ in range(world.dice.choice(_IN_A_ROW)):
        _write_one(world, person, device, chat)


def _write_one(world: World, person: Person, device: Device, chat: str) -> None:
    draft = actions.write(world, person, chat)
    if world.dice.random() < 0.2:
        world.spawn(actions.send_over_http(world, device, draft))
    else:
        actions.send(world, device, draft)
    if world.dice.random() < 0.1:
        _double(world, person, draft)
    if world.dice.random() < 0.03:
        _give_up(world, device, draft)


def _double(world: World, person: Person, draft: Draft) -> None:
    """Say it twice at once, perhaps from another device and through another node."""
    other = world.dice.choice(person.devices)
    if world.dice.random() < 0.5:
        actions.send(world, other, draft)
    else:
        world.spawn(actions.send_over_http(world, other, draft))


def _give_up(world: World, device: Device, draft: Draft) -> None:
    """Never ask what became of it: it may be there once, or not at all."""
    device.person.drafts.pop(draft.client_id, None)
    actions.cut(world, device)


def _cut(world: World) -> None:
    connected = [device for device in world.devices if device.link]
    if connected:
        actions.cut(world, world.dice.choice(connected))


def _mark(world: World) -> None:
    actions.mark(world, world.dice.choice(_anybody(world).devices))


def _look(world: World) -> None:
    person = _anybody(world)
    world.spawn(_look_once(world, world.dice.choice(person.devices), world.dice.choice(list(person.peers))))


async def _look_once(world: World, device: Device, chat: str) -> None:
    await actions.look(world, device, chat)


def _misbehave(world: World) -> None:
    """Look into somebody else's chat, say again what was acknowledged long ago, or use its `client_id` anew."""
    person = world.dice.choice(world.people)
    device = world.dice.choice(person.devices)
    others = world.dice.choice(world.people)
    foreign = [chat for chat in others.peers if chat not in person.peers]
    what = world.dice.random()
    if foreign and what < 0.3:
        world.spawn(actions.peek(world, device, world.dice.choice(foreign)))
    elif person.acknowledged and what < 0.8:
        actions.send(world, device, world.dice.choice(person.acknowledged))
    elif person.acknowledged:
        actions.reuse(world, device, world.dice.choice(person.acknowledged))


async def sweep(world: World) -> None:
    """Say again what was not answered for a while, by whatever way there is; until cancelled."""
    while True:
        await asyncio.sleep(_SWEEP)
        now = asyncio.get_running_loop().time()
        for person in world.people:
            for draft in tuple(person.drafts.values()):
                if now - draft.tried_at > _IMPATIENCE * world.dice.uniform(0.5, 1.5):
                    _say_again(world, person, draft)


def _say_again(world: World, person: Person, draft: Draft) -> None:
    device = world.dice.choice(person.devices)
    if world.dice.random() < 0.5:
        actions.send(world, device, draft)
    else:
        draft.tried_at = asyncio.get_running_loop().time()
        world.spawn(actions.send_over_http(world, device, draft))
