"""Set-up of a run: new users, some with a second device, and the chats between them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import httpx
import msgspec

from duologue_lab.torture import wire
from duologue_lab.torture.history import ChatEntry, DeviceEntry, PersonEntry
from duologue_lab.torture.world import CannotStart, Device, Person, World

T = TypeVar("T")

_AT_ONCE: Final = 16  # sign-ins
_NUMBERS: Final = 10_000  # phone numbers
_FICTION: Final = "+3363998{:04d}"
"""Numbers that Arcep, France's regulator, keeps for fiction: nobody can own one of them."""
MOST_USERS: Final = 5_000  # users
_WAYS: Final = ("socket", "socket", "socket", "poll", "stream")
_TRIES: Final = 20  # tries
_OPEN: Final = 10  # one user of so many keeps reading private
_CLOSED: Final = 5
"""One person in so many takes no messages of strangers."""
_VILLAGE: Final = 30
"""People in a village, at least, unless there are fewer in all."""
_STRANGERS: Final = 2
"""Strangers who write to each of them all the same."""


async def sign_in(world: World, users: int) -> None:
    """So many new users, by open sign-in. Raises `CannotStart`."""
    numbers = [_FICTION.format(number) for number in range(_NUMBERS)]
    world.dice.shuffle(numbers)
    spare = iter(numbers)
    await _each(range(users), lambda _: _new_person(world, spare))
    _seat(world)


async def _new_person(world: World, numbers: Iterable[str]) -> None:
    """With the next number that nobody has used on this server."""
    for phone in numbers:
        first = await _session(world, phone)
        if first.new_user:
            person = await _person(world, first)
            if world.dice.random() < 0.4:
                Device(0, person, await _session(world, phone), world.dice.choice(_WAYS))
            return
    raise CannotStart("this server has seen all of the numbers that are free for tests")


async def _session(world: World, phone: str) -> wire.SignInReply:
    answer = await _ask(world, "POST", "/v1/sessions", {"phone": phone, "device_name": "torture"})
    return msgspec.json.decode(answer, type=wire.SignInReply)


async def admit(world: World, tokens: Iterable[str]) -> None:
    """The users of these tokens, one device a token. Raises `CannotStart` if one of them has chats already."""
    people: dict[str, Person] = {}
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}"}
        me = msgspec.json.decode(await _ask(world, "GET", "/v1/me", headers=headers), type=wire.Named)
        sessions = msgspec.json.decode(
            await _ask(world, "GET", "/v1/sessions", headers=headers), type=wire.SessionListReply
        )
        current = next(session for session in sessions.items if session.current)
        if b"cht_" in await _ask(world, "GET", "/v1/chats?limit=1", headers=headers):
            raise CannotStart(f"{me.phone} has chats: the torture needs accounts without any")
        signed_in = wire.SignInReply(token, wire.Named(current.id), me, new_user=False)
        if me.id in people:
            Device(0, people[me.id], signed_in, world.dice.choice(_WAYS))
        else:
            people[me.id] = await _person(world, signed_in)
    _seat(world)


async def _person(world: World, signed_in: wire.SignInReply) -> Person:
    """Somebody, with their first device. One in ten doesn't show what they have read.

    Nobody wants SMS: they would cost money, and their receipts are marks that no device has made.
    """
    shows_read = len(world.people) % _OPEN != 0
    person = Person(signed_in.user.id, signed_in.user.phone, shows_read=shows_read)
    first = Device(0, person, signed_in, "socket")
    world.people.append(person)
    choices = {"read_receipts": shows_read, "sms_relay": "off"}
    await _ask(world, "PATCH", "/v1/me", choices, first.headers)
    return person


def _seat(world: World) -> None:
    """Number the devices, settle people in villages, and write down who is there."""
    villages = max(1, len(world.people) // _VILLAGE)
    for index, person in enumerate(world.people):
        person.village = index * villages // len(world.people)
        world.history.add(PersonEntry(person.user, person.phone, person.shows_read, person.village))
        for device in person.devices:
            device.number = len(world.devices)
            world.devices.append(device)
            world.history.add(DeviceEntry(device.number, person.user, device.session, device.way))


async def make_chats(world: World) -> None:
    """Neighbours talk, and half of the people also talk to somebody of their village at random: three chats each."""
    for people in _villages(world):
        pairs = {frozenset((index, (index + 1) % len(people))) for index in range(len(people))}
        for index in range(len(people) // 2):
            pairs.add(frozenset((index, world.dice.randrange(len(people)))))
        chosen = sorted(tuple(sorted(pair)) for pair in pairs if len(pair) > 1)
        chats = [(people[pair[0]], people[pair[1]]) for pair in chosen]
        await _each(chats, lambda pair: _open_chat(world, *pair))


def _villages(world: World) -> list[list[Person]]:
    """The people by their villages."""
    villages: dict[int, list[Person]] = defaultdict(list)
    for person in world.people:
        villages[person.village].append(person)
    return list(villages.values())


async def _open_chat(world: World, one: Person, other: Person) -> None:
    answer = await _ask(world, "PUT", "/v1/chats", {"phone": other.phone}, one.devices[0].headers)
    chat = msgspec.json.decode(answer, type=wire.Named).id
    for person in (one, other):
        # Only messages of strangers are limited.
        await _ask(world, "PUT", f"/v1/chats/{chat}/accept", headers=person.devices[0].headers)
    one.peers[chat], other.peers[chat] = other, one
    world.history.add(ChatEntry(chat, one.user, other.user))


async def make_strangers(world: World) -> None:
    """Some take messages of those alone whom they have accepted, and has chats that they don't know of."""
    for people in _villages(world):
        await _close_some(world, people)


async def _close_some(world: World, people: list[Person]) -> None:
    for person in people[_CLOSED - 1 :: _CLOSED]:
        known = {peer.user for peer in person.peers.values()} | {person.user}
        strangers = [other for other in people if other.user not in known]
        headers = person.devices[0].headers
        await _ask(world, "PATCH", "/v1/me", {"who_can_write": "nobody"}, headers)
        for stranger in strangers[:_STRANGERS]:
            answer = await _ask(
                world, "PUT", "/v1/chats", {"phone": person.phone}, stranger.devices[0].headers
            )
            chat = msgspec.json.decode(answer, type=wire.Named).id
            stranger.strange[chat] = person
            world.history.add(ChatEntry(chat, stranger.user, person.user, closed=True))


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """A few at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> None:
        async with gate:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(one(item))
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None


async def _ask(
    world: World, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> bytes:
    """The body of a good answer, from any node. Raises `CannotStart`."""
    for _ in range(_TRIES):
        url = world.node() + path
        try:
            answer = await world.http.request(method, url, json=body, headers=headers)
        except httpx.HTTPError as fault:
            raise CannotStart(f"{url}: {fault or type(fault).__name__}") from fault
        if answer.is_success:
            return answer.content
        if answer.status_code not in {429, 503}:
            break
        await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))
    raise CannotStart(f"{method} {url}: {answer.text}")
