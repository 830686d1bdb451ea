"""Faults made in the system: parts are killed, stopped, halted and locked, and older copies of the store put back.

All of it is written down: when a fault begins, and when it is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from duologue.clock import DAY, MINUTE, SECOND
from duologue_lab.torture.history import HarmEntry
from duologue_lab.torture.world import World, until

_LONGEST_OUTAGE: Final = 2.0
"""Seconds."""
_STARTS: Final = 10  # tries
_TOLD: Final = 2_000  # characters
_GENTLE: Final = 0.15
"""How often something is stopped in good order (SIGTERM) rather than killed."""
_FROZEN: Final = 0.25
"""How often it is halted (SIGSTOP) for a while, its connections open and nobody answering."""
_LONGEST_FREEZE: Final = 9.0
"""Seconds: longer than any deadline in the system."""
_LONGEST_LOCK: Final = 9.0
"""Seconds."""
_COPY_AGES: Final = 1.0, 4.0
"""Seconds from a copy of the store to its restore."""
_SETTLES: Final = 0.5
"""Seconds until all that was on its way from what is dead now has been heard."""
_JUMPS: Final = (-DAY, -10 * MINUTE, -5 * SECOND, 5 * SECOND, 10 * MINUTE, DAY, 40 * DAY)
"""Milliseconds."""
_SELDOM: Final = 0.12
"""How often it is a restore, of all that is done."""


class Victim(msgspec.Struct):
    """Something that can be killed and started again. The calls block.

    `pids`: its processes, to be halted all at once; those of a node are its own and that of each of its `workers`.
    """

    name: str
    kill: Callable[[], object]
    start: Callable[[], object]
    stop: Callable[[], object] | None = None
    log: Callable[[], str] | None = None
    pids: Callable[[], list[int]] | None = None
    workers: int = 1
    set_clock: Callable[[int], object] | None = None
    """Puts a node's wall clock so many milliseconds ahead."""
    up: bool = True

    @property
    def kind(self) -> str:
        return self.name.partition(" ")[0]


class StoreFaults(msgspec.Struct):
    """Faults of the store, made behind the nodes' backs. The calls block.

    `lock` holds a lock that writers need for so many seconds. `server`: what must be stopped to `copy` and `restore`.
    """

    copy: Callable[[], object]
    restore: Callable[[], object]
    lock: Callable[[float], object]
    server: Victim | None = None
    cut_off: Callable[[], object] | None = None
    """Have the server's standby, if it has one, get nothing more of what is committed from now on."""
    promote: Callable[[], object] | None = None
    """Have it take the place of the server, which is dead."""


class Menu(msgspec.Struct):
    """Faults that may be made in a system: the victims, and the deeds of others.

    These are `clock`, `failover`, `lock`, `restore`, `rollback` and `worker`. `nodes` are all nodes, victims or not.
    """

    victims: Sequence[Victim] = ()
    store: StoreFaults | None = None
    deeds: frozenset[str] = frozenset()
    nodes: Sequence[Victim] = ()


async def torment(world: World, menu: Menu, every: float, over: asyncio.Event) -> None:
    """Do one of these every so many seconds, and undo it a little later; at least one node stays up.

    Returns once `over` is set and everything is up again.
    """
    async with asyncio.TaskGroup() as group:
        first = True
        while not await _comes(over, every * world.dice.uniform(0.5, 1.5)):
            deed = _to_all(world, menu, first=first)
            first = False
            if deed:
                # Alone: nothing else may be down, and nothing else happens meanwhile.
                await deed
            else:
                _to_one(world, menu, group)


def _to_all(world: World, menu: Menu, *, first: bool) -> Coroutine[Any, Any, None] | None:
    """Something that concerns the whole system, at times, and always to begin with if there is any.

    A failover is only possible as long as the standby's primary has not gone back to an older state.
    """
    if first and menu.store and menu.store.promote and "failover" in menu.deeds:
        return _fail_over(world, menu, menu.store)
    able = sorted(menu.deeds & ({"restore", "rollback"} if menu.store and menu.store.server else {"restore"}))
    if menu.store and able and (first or world.dice.random() < _SELDOM):
        return _restore(world, menu, menu.store, running=world.dice.choice(able) == "rollback")
    return None


def _to_one(world: World, menu: Menu, group: asyncio.TaskGroup) -> None:
    victims = menu.victims
    able: list[Callable[[], Coroutine[Any, Any, None]]] = [
        lambda victim=victim: _harm(world, victim)  # type: ignore[misc]
        for victim in victims
        if victim.up and _may_go(victim, victims)
    ]
    if menu.store and "lock" in menu.deeds and not world.store.locked():
        store = menu.store
        able.append(lambda: _lock(world, store))
    if "worker" in menu.deeds:
        several = [node for node in menu.nodes if node.workers > 1]
        able += [lambda node=node: _harm_worker(world, node) for node in several]  # type: ignore[misc]
    if "clock" in menu.deeds:
        able += [lambda node=node: _set_clock(world, node) for node in menu.nodes if node.up]  # type: ignore[misc]
    if able:
        group.create_task(world.dice.choice(able)())


async def _comes(event: asyncio.Event, seconds: float) -> bool:
    """Return whether it comes within that time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _may_go(victim: Victim, victims: Sequence[Victim]) -> bool:
    nodes = [other for other in victims if other.kind == "node"]
    return victim.kind != "node" or len(nodes) == 1 or sum(node.up for node in nodes) > 1


async def _harm(world: World, victim: Victim) -> None:
    """Take it away and bring it back."""
    victim.up = False
    try:
        way = world.dice.random()
        if victim.pids and way < _FROZEN:
            await _freeze(world, victim.name, victim.pids())
            return
        stop = victim.stop if way > 1 - _GENTLE else None
        await _take_away(world, victim, stop)
        await asyncio.sleep(world.dice.uniform(0, _LONGEST_OUTAGE))
        await _bring_back(world, victim)
    finally:
        victim.up = True


async def _take_away(world: World, victim: Victim, stop: Callable[[], object] | None = None) -> None:
    note(world, "stop" if stop else "kill", victim.name)
    code = await asyncio.to_thread(stop or victim.kill)
    if stop and code not in (0, None):
        world.odd(victim.name, f"ended with {code} when it was told to stop")


def note(world: World, deed: str, to: str) -> None:
    """Write down what is done."""
    world.history.add(HarmEntry(deed, to))
    world.counts.harm[f"{to.partition(' ')[0]} {deed}"] += 1


async def _harm_worker(world: World, victim: Victim) -> None:
    """Kill one of a node's workers, which is replaced, or halt it."""
    workers = victim.pids()[1:] if victim.up and victim.pids else []
    if not workers:
        return
    worker = world.dice.choice(workers)
    if world.dice.random() < _FROZEN:
        await _freeze(world, f"worker of {victim.name}", [worker])
    else:
        note(world, "kill one", f"worker of {victim.name}")
        _signal(worker, signal.SIGKILL)


async def _freeze(world: World, name: str, pids: Sequence[int]) -> None:
    note(world, "freeze", name)
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(world.dice.uniform(0, _LONGEST_FREEZE))
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)
    world.history.add(HarmEntry("thaw", name))


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


async def _bring_back(world: World, victim: Victim) -> None:
    """It may have to wait for another that is down, too."""
    for _ in range(_STARTS):
        try:
            await asyncio.to_thread(victim.start)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the run goes on and the verdict tells
            reason = str(fault)
            world.history.add(HarmEntry("failed start", f"{victim.name}: {reason[-_TOLD:]}"))
        else:
            world.history.add(HarmEntry("start", victim.name))
            return
    world.odd(victim.name, f"doesn't start again: {reason}")


async def _set_clock(world: World, node: Victim) -> None:
    """A node's wall clock jumps, and is right again some seconds later."""
    if node.set_clock:
        note(world, "set clock", node.name)
        node.set_clock(world.dice.choice(_JUMPS))
        await asyncio.sleep(world.dice.uniform(0.5, _LONGEST_FREEZE))
        node.set_clock(0)
        world.history.add(HarmEntry("right clock", node.name))


async def _lock(world: World, store: StoreFaults) -> None:
    """An administrator holds a lock that every write needs."""
    async with world.store:
        note(world, "lock", "database")
        await asyncio.to_thread(store.lock, world.dice.uniform(0.5, _LONGEST_LOCK))
        world.history.add(HarmEntry("unlock", "database"))


async def _restore(world: World, menu: Menu, store: StoreFaults, *, running: bool) -> None:
    """Copy the store, and a little later put the copy in its place; if `running`, while the nodes go on.

    For nodes that run on, that is a failover to a server which had not got everything yet.
    """
    await until(lambda: all(victim.up for victim in menu.victims))
    async with world.store:
        note(world, "copy", "store")
        world.copied()
        await _with_server_away(world, store, store.copy)
    await asyncio.sleep(world.dice.uniform(*_COPY_AGES))
    async with world.store:
        gone = () if running else menu.nodes
        await asyncio.gather(*(_take_away(world, node) for node in gone))
        await _with_server_away(world, store, store.restore, lambda: note(world, "restore", "store"))
        await asyncio.gather(*(_bring_back(world, node) for node in gone))


async def _fail_over(world: World, menu: Menu, store: StoreFaults) -> None:
    """The database's server dies, and a standby takes its place that had not got everything yet."""
    assert store.server
    assert store.cut_off
    assert store.promote
    await until(lambda: all(victim.up for victim in menu.victims))
    async with world.store:
        note(world, "copy", "store")
        world.copied()
        await asyncio.to_thread(store.cut_off)
    await asyncio.sleep(world.dice.uniform(*_COPY_AGES))
    async with world.store:
        await _take_away(world, store.server)
        await asyncio.sleep(_SETTLES)
        note(world, "restore", "store")
        world.restored()
        await asyncio.to_thread(store.promote)
        world.history.add(HarmEntry("start", store.server.name))


async def _with_server_away(
    world: World, store: StoreFaults, work: Callable[[], object], then: Callable[[], None] | None = None
) -> None:
    """Do something with the store's files; `then` is called when nothing of before can be heard any more."""
    if store.server:
        await _take_away(world, store.server, store.server.stop)
    await asyncio.to_thread(work)
    if then:
        await asyncio.sleep(_SETTLES)
        then()
        world.restored()
    if store.server:
        await _bring_back(world, store.server)


def listen_to(world: World, victims: Sequence[Victim]) -> None:
    """Note log lines of the nodes that never should be."""
    for victim in victims:
        log = victim.log() if victim.log else ""
        if "Traceback" in log:
            world.odd(victim.name, log[log.index("Traceback") :][:_TOLD])
