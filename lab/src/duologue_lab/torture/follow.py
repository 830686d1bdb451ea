"""A device's life: it follows its user's log over a socket, a long poll or an event stream, and always comes back."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Final

import httpx
import msgspec
from picows import WSError

from duologue_lab.connection import ClientConnection, connect
from duologue_lab.torture import actions, wire
from duologue_lab.torture.history import ConnectedEntry, EndedEntry, ListeningEntry, SkippedEntry
from duologue_lab.torture.world import TRANSIENT, ConnectionStart, Device, World

_PAUSE: Final = 0.3  # seconds
_PATIENCE: Final = 15.0  # seconds
_WAIT: Final = 10  # seconds
_HARMLESS: Final = frozenset({None, 1000, 1001, 1005, 1006, 4008, 4010, 4011, 4012})
"""How a connection may end without a client having done wrong."""
_SKIPS: Final = frozenset({"events_expired", "log_changed"})
"""The codes by which a device hears that its log can't be followed from where it was."""


async def live(world: World, device: Device) -> None:
    """Follow the log, on any node, until cancelled."""
    follow = {"socket": _over_socket, "poll": _over_poll, "stream": _over_stream}[device.way]
    while True:
        await device.awake.wait()
        try:
            await follow(world, device)
        except (OSError, WSError, TimeoutError, httpx.HTTPError):
            pass
        except Exception:  # noqa: BLE001 - a mistake of ours, which the verdict must tell
            world.odd("the torture itself", traceback.format_exc())
        await asyncio.sleep(world.dice.random() * (world.poll_pause if device.way == "poll" else _PAUSE))


def _apply(world: World, device: Device, event: wire.WireEvent | wire.AnyFrame) -> None:
    """The next event. Whether it is the right one is for the checker."""
    world.counts.events += 1
    world.history.add(wire.given(device.number, event, world.texts))
    device.applied, device.at = event.seq, event.at
    data = event.data
    if event.type == "message.created" and data:
        newest = device.person.newest
        newest[data.chat_id] = max(data.seq, newest.get(data.chat_id, 0))


def _skip(world: World, device: Device, said: wire.AnyFrame | wire.ErrorReply) -> None:
    """The log can't be followed from where the device is: what it missed stands in the chats."""
    world.history.add(SkippedEntry(device.number, said.code, device.applied, said.latest))
    world.counts.skips[said.code] += 1
    device.applied, device.at = said.latest, said.latest_at


async def _over_socket(world: World, device: Device) -> None:
    """One connection from its hello to its end."""
    number = world.dice.randrange(len(world.nodes))
    connection = world.number()
    ready: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(_PATIENCE):
        heard = partial(_heard, world, device, ready)
        link = await connect(world.nodes[number], heard, partial(_read, world, device))
    try:
        device.hello = ConnectionStart(connection, number, len(world.history), device.applied)
        link.say(wire.hello(device.token, device.applied, device.at))
        await _get_ready(link, ready)
        if ready.done() and not link.ended.done():
            device.link, device.connection = link, connection
            actions.say_all_again(world, device)
        code = await link.ended
    finally:
        device.link = None
        link.cut()
    world.history.add(EndedEntry(device.number, connection, code))
    if code not in _HARMLESS:
        world.odd(f"device {device.number}", f"its connection was closed with {code}")


async def _get_ready(link: ClientConnection, ready: asyncio.Future[int | None]) -> None:
    """Wait for the answer to the hello; without it the connection is good for nothing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await asyncio.wait({link.ended, ready}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        link.cut()


def _heard(world: World, device: Device, ready: asyncio.Future[int | None], payload: bytes) -> None:
    frame = wire.read_frame(payload)
    if frame.op == "event":
        _apply(world, device, frame)
    elif frame.op == "sent" and frame.message:
        world.sent(int(frame.ref), frame.message.seq, frame.message.text, fresh=not frame.replayed)
    elif frame.op == "error":
        if frame.ref:
            world.refused(int(frame.ref), frame.code)
        elif frame.code in _SKIPS:
            _skip(world, device, frame)
        elif frame.code not in TRANSIENT:
            world.odd(f"device {device.number}", f"was told {frame.code} after {device.applied}")
    elif frame.op == "ready":
        world.counts.connections += 1
        connection, node, since, after = msgspec.structs.astuple(device.hello)
        world.history.add(ConnectedEntry(device.number, connection, node, since, after, frame.latest))
        ready.set_result(None)


def _read(world: World, device: Device) -> None:
    """All that came in one piece is applied: often the moment for an ack."""
    if device.link and device.applied and world.dice.random() < 0.5:
        actions.ack(world, device)


@contextmanager
def _listening(world: World, device: Device) -> Iterator[str]:
    """Note that a device waits for news from a node, whose URL this gives, until it does no longer."""
    node, connection = world.dice.randrange(len(world.nodes)), world.number()
    world.history.add(ListeningEntry(device.number, connection, node))
    try:
        yield world.nodes[node]
    finally:
        world.history.add(EndedEntry(device.number, connection))


async def _over_poll(world: World, device: Device) -> None:
    """One long poll."""
    with _listening(world, device) as node:
        path = f"{node}/v1/events?{device.query}&limit=100&wait={_WAIT}"
        answer = await world.long_http(device).get(path, headers=device.headers, timeout=_WAIT + 10)
        if answer.status_code != HTTPStatus.OK:
            _refused(world, device, answer.content)
            return
        for event in msgspec.json.decode(answer.content, type=wire.EventPageReply).items:
            _apply(world, device, event)
    if device.applied and world.dice.random() < 0.5:
        await actions.ack_over_http(world, device)


async def _over_stream(world: World, device: Device) -> None:
    """One event stream, until it breaks or its device has enough of it."""
    timeout = httpx.Timeout(5, read=40)
    with _listening(world, device) as node:
        path = f"{node}/v1/events/stream?{device.query}"
        http = world.long_http(device)
        async with http.stream("GET", path, headers=device.headers, timeout=timeout) as answer:
            if answer.status_code != HTTPStatus.OK:
                _refused(world, device, await answer.aread())
                return
            world.counts.connections += 1
            async for event in _server_sent(answer):
                _apply(world, device, event)
                if world.dice.random() < 0.02 or not device.awake.is_set():
                    world.counts.cuts += 1
                    return


async def _server_sent(answer: httpx.Response) -> AsyncIterator[wire.WireEvent]:
    """The events of a stream (HTML Living Standard, section 9.2.6), each of which we know to be one line of data."""
    kind = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: ") and kind != "error":
            yield wire.read_event(line.removeprefix("data: "))


def _refused(world: World, device: Device, body: bytes) -> None:
    fault = actions.fault_in(body)
    if fault.code in _SKIPS:
        _skip(world, device, fault)
    elif fault.code not in TRANSIENT:
        world.odd(f"device {device.number}", f"was told {fault.code} after {device.applied}")
