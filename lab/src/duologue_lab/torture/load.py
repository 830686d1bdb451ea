"""Load of a run: writing at a given pace, and beside it repeats, marks, looks, cuts and forbidden requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from duologue_lab.torture import actions
from duologue_lab.torture.world import Device, Draft, Person, World, until

_TICK: Final = 0.1
"""Seconds: see `rules_time`."""
_SWEEP: Final = 0.5  # seconds
_IMPATIENCE: Final = 3.0
"""Seconds of silence after which a message may be said again."""
_MADE_UP: Final = 2.0  # seconds
_AT_ONCE: Final = 20
"""Actions that are overdue and done without a pause: with a pause after each, a busy loop does one in each round."""
_HOT: Final = 20  # one chat of so many is busy
_HTTP_SHARE: Final = 0.3  # share of the messages
_HTTP: Final = 30.0
"""Messages over HTTP in a second, at most."""
_POLL_PAUSE: Final = 0.3
"""Seconds."""
_POLLS: Final = 60.0
"""Long polls in a second, at most."""
_IN_A_ROW: Final = (1, 1, 1, 1, 1, 1, 3)
_FIRST_ACCEPTED: Final = 0.2  # probability
_ACCEPTED: Final = 0.003
"""How often a stranger is accepted instead of writing: so seldom that some never are."""
_FLOOD: Final = 240
"""Messages to somebody who sleeps: more than two pages of a log."""
_FLOODED_AT_ONCE: Final = 20  # messages
_FLOOD_PAUSE: Final = 0.1  # seconds
_FLOOD_WITHIN: Final = 6.0
"""Seconds that such a flood may take until the sleeper wakes."""
_FLOODS: Final = 0.2
"""The share of all messages that is written in floods."""


class ActionRates(msgspec.Struct, frozen=True):
    """Rates of the actions, per second."""

    messages: float
    cuts: float

    @property
    def marks(self) -> float:
        return min(60.0, self.messages * 0.3)

    @property
    def looks(self) -> float:
        return min(10.0, self.messages * 0.1)

    @property
    def floods(self) -> float:
        return self.messages * _FLOODS / _FLOOD

    @property
    def naps(self) -> float:
        return min(1.0, self.messages * 0.02)

    @property
    def strangers(self) -> float:
        return min(5.0, self.messages * 0.03)

    @property
    def mischief(self) -> float:
        return min(5.0, self.messages * 0.05)


async def go_on(world: World, pace: ActionRates, longest_nap: float) -> None:
    """Until cancelled. Devices sleep for up to `longest_nap` seconds."""
    # Of what costs the run itself most there is only so much, however many messages there are.
    world.http_share = min(_HTTP_SHARE, _HTTP / pace.messages)
    world.poll_pause = max(_POLL_PAUSE, sum(device.way == "poll" for device in world.devices) / _POLLS)
    async with asyncio.TaskGroup() as group:
        written_at_once = sum(_IN_A_ROW) / len(_IN_A_ROW)
        single = pace.messages * (1 - _FLOODS)
        _flood(world)
        group.create_task(_again_and_again(world, pace.floods, _flood))
        group.create_task(_again_and_again(world, pace.naps, partial(_nap, longest=longest_nap)))
        group.create_task(_again_and_again(world, pace.strangers, _pester))
        group.create_task(_again_and_again(world, single / written_at_once, _write))
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
        for _ in range(_AT_ONCE):
            if due > loop.time():
                break
            due += world.dice.expovariate(pace)
            act(world)


def _anybody(world: World) -> Person:
    """A few write much more than the others."""
    people = world.people
    if world.dice.random() < 0.2:
        people = people[:: min(_HOT, len(people) // 2)]
    return world.dice.choice(people)


def _write(world: World) -> None:
    person = _anybody(world)
    device = world.dice.choice(person.devices)
    chat = world.dice.choice(list(person.peers))
    for _ in range(world.dice.choice(_IN_A_ROW)):
        _write_one(world, person, device, chat)


def _write_one(world: World, person: Person, device: Device, chat: str) -> None:
    draft = actions.write(world, person, chat)
    if world.dice.random() < world.http_share and not world.is_busy:
        world.spawn(actions.send_over_http(world, device, draft))
    else:
        actions.send(world, device, draft)
    if world.dice.random() < 0.1:
        _double(world, person, draft)
    if world.dice.random() < 0.03:
        _give_up(world, device, draft)


def _flood(world: World) -> None:
    person = world.dice.choice(world.people)
    if all(device.awake.is_set() for device in person.devices):
        world.spawn(_flood_one(world, person))


async def _flood_one(world: World, person: Person) -> None:
    """Somebody sleeps, on all devices, while a peer writes so much that they come back to several pages."""
    chat = world.dice.choice(list(person.peers))
    peer = person.peers[chat]
    for device in person.devices:
        actions.sleep(world, device)
    try:
        async with asyncio.timeout(_FLOOD_WITHIN):
            for _ in range(_FLOOD // _FLOODED_AT_ONCE):
                device = world.dice.choice(peer.devices)
                for _ in range(_FLOODED_AT_ONCE):
                    actions.send(world, device, actions.write(world, peer, chat))
                await asyncio.sleep(_FLOOD_PAUSE)
            await until(lambda: all(draft.chat != chat for draft in peer.drafts.values()))
    except TimeoutError:
        pass
    finally:
        for device in person.devices:
            device.awake.set()


def _nap(world: World, longest: float) -> None:
    device = world.dice.choice(world.devices)
    if device.awake.is_set():
        world.spawn(_nap_once(world, device, longest))


async def _nap_once(world: World, device: Device, longest: float) -> None:
    """A device sleeps: at times for so long that what it missed is no longer kept."""
    actions.sleep(world, device)
    try:
        await asyncio.sleep(world.dice.uniform(0, longest))
    finally:
        device.awake.set()


def _pester(world: World) -> None:
    """Write to somebody who takes no messages of strangers; now and then, they accept."""
    pesterers = [person for person in world.people if person.strange]
    if pesterers:
        person = world.dice.choice(pesterers)
        chat = world.dice.choice(list(person.strange))
        if world.dice.random() < (_ACCEPTED if world.counts.accepted else _FIRST_ACCEPTED):
            world.spawn(actions.accept(world, person, chat))
        else:
            actions.send(world, world.dice.choice(person.devices), actions.write(world, person, chat))


def _double(world: World, person: Person, draft: Draft) -> None:
    """Say it twice at once, perhaps from another device and through another node."""
    other = world.dice.choice(person.devices)
    if world.dice.random() > world.http_share or world.is_busy:
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
    if world.is_busy:
        return
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


async def keep_time(world: World) -> None:
    """Note ten times a second what time it is; until cancelled."""
    while True:
        world.history.tick()
        await asyncio.sleep(_TICK)


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
    if world.dice.random() > world.http_share or world.is_busy:
        actions.send(world, device, draft)
    else:
        draft.tried_at = asyncio.get_running_loop().time()
        world.spawn(actions.send_over_http(world, device, draft))
