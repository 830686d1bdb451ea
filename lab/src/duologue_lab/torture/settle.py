"""The end of a run: let everybody catch up, then read everything back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Final, TypeVar

import httpx
import msgspec

from duologue_lab.torture import actions, wire
from duologue_lab.torture.history import OverEntry, StoredEntry, WholeEntry
from duologue_lab.torture.world import Person, World

T = TypeVar("T")

_PAUSE: Final = 0.3  # seconds
_TRIES: Final = 10  # tries
_FOR_EVER: Final = 2**62  # tries
_AT_ONCE: Final = 8  # chats
_EVENTS, _MESSAGES = 500, 200


async def calm_down(world: World, patience: float) -> None:
    """Until every message is answered and every device has its user's whole log, all of it acked; or too late."""
    try:
        async with asyncio.timeout(patience):
            await _insist(partial(_all_answered, world))
            await world.quiet()
            await _each(world, _catch_up)
            await _each(world, _ack)
            # Acks move marks, which are events.
            await _each(world, _catch_up)
    except TimeoutError:
        world.odd("the end", f"not everybody had caught up {patience:.0f} s after all was well again")


async def _all_answered(world: World) -> bool:
    return not any(person.drafts for person in world.people)


async def _insist(ask: Callable[[], Awaitable[T | None]], tries: int = _FOR_EVER) -> T | None:
    """Ask until there is an answer, or none after so many tries."""
    for _ in range(tries):
        answer = await ask()
        if answer:
            return answer
        await asyncio.sleep(_PAUSE)
    return None


async def _each(world: World, work: Callable[[World, Person], Awaitable[None]]) -> None:
    """A few people at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(person: Person) -> None:
        async with gate:
            await work(world, person)

    async with asyncio.TaskGroup() as group:
        for person in world.people:
            group.create_task(one(person))


async def _catch_up(world: World, person: Person) -> None:
    """Until nothing follows what each of a person's devices has applied."""
    await _insist(partial(_has_caught_up, world, person))


async def _has_caught_up(world: World, person: Person) -> bool:
    slowest = min(device.applied for device in person.devices)
    body = await _get(world, person, f"/v1/events?after={slowest}&limit=1")
    return body is not None and not msgspec.json.decode(body, type=wire.EventPageReply).items


async def _ack(world: World, person: Person) -> None:
    await _insist(partial(actions.ack_over_http, world, person.devices[0]))


async def _get(world: World, person: Person, path: str) -> bytes | None:
    """The body of a good answer, or nothing."""
    try:
        answer = await world.http.get(world.node() + path, headers=person.devices[0].headers)
    except httpx.HTTPError:
        return None
    return answer.content if answer.status_code == HTTPStatus.OK else None


async def read_back(world: World) -> None:
    """Every log, every chat from both sides, every view. What can't be read is left out."""
    unanswered = tuple(client_id for person in world.people for client_id in person.drafts)
    await _each(world, _read_log)
    await _each(world, _read_chats)
    world.history.add(OverEntry(unanswered))


async def _read_log(world: World, person: Person) -> None:
    after, more = await _first_kept(world, person), True
    while more:
        body = await _insist(
            partial(_get, world, person, f"/v1/events?after={after}&limit={_EVENTS}"), _TRIES
        )
        if body is None:
            return
        page = msgspec.json.decode(body, type=wire.EventPageReply)
        for event in page.items:
            world.history.add(wire.logged(person.user, event, world.texts))
            after = event.seq
        more = page.has_more and bool(page.items)
    world.history.add(WholeEntry(person.user))


async def _first_kept(world: World, person: Person) -> int:
    """Return the lowest seq after which a log can be read; nothing is trimmed any more."""
    low, high = -1, person.devices[0].applied
    while high - low > 1:
        # All of it, as long as nothing was dropped.
        middle = (low + high) // 2 if low >= 0 else 0
        status = await _insist(partial(_status, world, person, f"/v1/events?after={middle}&limit=1"), _TRIES)
        if status == HTTPStatus.GONE:
            low = middle
        else:
            high = middle
    return high


async def _status(world: World, person: Person, path: str) -> int | None:
    """The status of an answer that tells whether a log can be read; nothing if it tells something else."""
    try:
        answer = await world.http.get(world.node() + path, headers=person.devices[0].headers)
    except httpx.HTTPError:
        return None
    return answer.status_code if answer.status_code in {HTTPStatus.OK, HTTPStatus.GONE} else None


async def _read_chats(world: World, person: Person) -> None:
    for chat in person.peers:
        await _read_chat(world, person, chat)
        await _insist(partial(actions.look, world, person.devices[-1], chat), _TRIES)
    for chat, peer in person.strange.items():
        await _read_chat(world, person, chat)
        await _read_chat(world, peer, chat)


async def _read_chat(world: World, person: Person, chat: str) -> None:
    after, more = 0, True
    while more:
        path = f"/v1/chats/{chat}/messages?after={after}&limit={_MESSAGES}"
        body = await _insist(partial(_get, world, person, path), _TRIES)
        if body is None:
            return
        page = msgspec.json.decode(body, type=wire.MessagePageReply)
        for message in page.items:
            world.history.add(_stored(world, person, chat, message))
            after = message.seq
        more = page.has_more_after and bool(page.items)
    world.history.add(WholeEntry(person.user, chat))


def _stored(world: World, person: Person, chat: str, message: wire.Data) -> StoredEntry:
    client_id, text, sender = (
        world.texts.setdefault(part, part) for part in (message.client_id, message.text, message.sender_id)
    )
    return StoredEntry(person.user, chat, message.seq, sender, client_id, text)
