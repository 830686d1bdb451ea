"""Actions of users: write, repeat, mark, look, and try what they may not. Each is noted before it is done."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import httpx
import msgspec

from duologue_lab.torture import wire
from duologue_lab.torture.history import AcceptedEntry, HarmEntry, MarkEntry, PeekEntry, SendEntry, ViewEntry
from duologue_lab.torture.world import Attempt, Device, Draft, Person, World

_BEYOND: Final = 1_000_000  # messages
_STATUS_OF_NEW: Final = 201  # an HTTP status


def fault_in(body: bytes) -> wire.ErrorReply:
    """The error in an answer; one without a code if there is none."""
    try:
        return msgspec.json.decode(body, type=wire.ErrorReply)
    except msgspec.MsgspecError:
        return wire.ErrorReply()


def code_of(body: bytes) -> str:
    """The error's code in an answer."""
    return fault_in(body).code


def write(world: World, person: Person, chat: str) -> Draft:
    """A new message to one of a person's chats: by the chat's id or its peer's number, now and then an answer."""
    person.written += 1
    client_id = f"{person.phone[-6:]}-{person.written}"
    body: dict[str, Any] = {"text": f"{client_id} to {chat[-6:]}", "client_id": client_id}
    peer = person.peers.get(chat) or person.strange[chat]
    body |= {"to": peer.phone} if world.dice.random() < 0.1 else {"chat_id": chat}
    if person.newest.get(chat) and world.dice.random() < 0.05:
        body["reply_to"] = world.dice.randint(1, person.newest[chat])
    draft = Draft(body, chat)
    person.drafts[client_id] = draft
    world.counts.sent += 1
    return draft


def _try(world: World, device: Device, draft: Draft, connection: int, expected: str = "") -> int:
    n = world.attempt(Attempt(draft, device.person, expected))
    draft.tries += 1
    draft.tried_at = asyncio.get_running_loop().time()
    world.counts.attempts += 1
    world.history.add(
        SendEntry(n, device.number, connection, draft.chat, draft.client_id, draft.body["text"])
    )
    return n


def send(world: World, device: Device, draft: Draft, expected: str = "") -> None:
    """Over the device's socket if it has one, else over HTTP; or later, if too much waits for HTTP already."""
    if device.link:
        n = _try(world, device, draft, device.connection, expected)
        device.link.say(wire.write({"op": "send", "ref": str(n)} | draft.body))
    elif not world.is_busy:
        world.spawn(send_over_http(world, device, draft, expected))


async def send_over_http(world: World, device: Device, draft: Draft, expected: str = "") -> None:
    """One POST, to any node."""
    n = _try(world, device, draft, 0, expected)
    body = dict(draft.body)
    chat = body.pop("chat_id", None)
    path = f"/v1/chats/{chat}/messages" if chat else "/v1/messages"
    with suppress(httpx.HTTPError):
        answer = await world.http.post(world.node() + path, json=body, headers=device.headers)
        if answer.is_success:
            message = msgspec.json.decode(answer.content, type=wire.Data)
            world.sent(n, message.seq, message.text, fresh=answer.status_code == _STATUS_OF_NEW)
        else:
            world.refused(n, code_of(answer.content))


def say_all_again(world: World, device: Device) -> None:
    """Send again all that a user still waits for, in the order of writing: a new connection begins with it."""
    for draft in tuple(device.person.drafts.values()):
        send(world, device, draft)


def reuse(world: World, device: Device, draft: Draft) -> None:
    """Another text under a `client_id` that is known to have been acknowledged."""
    other = Draft(draft.body | {"text": f"not {draft.body['text']}"}, draft.chat)
    send(world, device, other, "client_id_reused")


def cut(world: World, device: Device) -> None:
    """The network goes, in the middle of whatever was said."""
    if device.link:
        world.counts.cuts += 1
        world.history.add(HarmEntry("cut", f"device {device.number}"))
        device.link.cut()
        device.link = None


def sleep(world: World, device: Device) -> None:
    """The device goes offline until it is woken."""
    device.awake.clear()
    cut(world, device)


def _mark(world: World, device: Device, kind: str, chat: str, seq: int) -> int:
    expected = "seq_out_of_range" if kind != "ack" and seq >= _BEYOND else ""
    n = world.attempt(Attempt(expected=expected))
    world.counts.marks += 1
    world.history.add(MarkEntry(n, device.number, kind, chat, seq))
    return n


def ack(world: World, device: Device) -> None:
    """Over the socket; at times an older one, as if it came late."""
    if device.link:
        late = world.dice.random() < 0.1
        seq = world.dice.randint(1, device.applied) if late else device.applied
        n = _mark(world, device, "ack", "", seq)
        device.link.say(wire.write({"op": "ack", "seq": seq, "ref": str(n)}))


async def ack_over_http(world: World, device: Device) -> bool:
    """Ack over HTTP; returns whether that succeeded."""
    n = _mark(world, device, "ack", "", device.applied)
    return await _put(world, device, n, "POST", "/v1/events/ack", device.applied)


def mark(world: World, device: Device) -> None:
    """Something was read, or delivered: up to anywhere in what is known, or, rarely, far beyond."""
    known = {chat: seq for chat, seq in device.person.newest.items() if seq}
    if not known:
        return
    chat = world.dice.choice(list(known))
    seq = known[chat] if world.dice.random() < 0.5 else world.dice.randint(1, known[chat])
    if world.dice.random() < 0.02:
        seq += _BEYOND
    if device.link and world.dice.random() < 0.6:
        n = _mark(world, device, "read", chat, seq)
        device.link.say(wire.write({"op": "read", "chat_id": chat, "seq": seq, "ref": str(n)}))
    elif not world.is_busy:
        kind = world.dice.choice(("read", "read", "delivered"))
        world.spawn(_mark_over_http(world, device, kind, chat, seq))


async def _mark_over_http(world: World, device: Device, kind: str, chat: str, seq: int) -> None:
    n = _mark(world, device, kind, chat, seq)
    await _put(world, device, n, "PUT", f"/v1/chats/{chat}/{kind}", seq)


async def _put(world: World, device: Device, n: int, method: str, path: str, seq: int) -> bool:
    try:
        answer = await world.http.request(
            method, world.node() + path, json={"seq": seq}, headers=device.headers
        )
    except httpx.HTTPError:
        return False
    if answer.is_success:
        world.marked(n)
    else:
        world.refused(n, code_of(answer.content))
    return answer.is_success


async def look(world: World, device: Device, chat: str) -> bool:
    """One of one's chats as it is now; whether it could be seen."""
    since = len(world.history)
    try:
        answer = await world.http.get(f"{world.node()}/v1/chats/{chat}", headers=device.headers)
    except httpx.HTTPError:
        return False
    if answer.status_code == HTTPStatus.OK:
        view = msgspec.json.decode(answer.content, type=wire.ChatView)
        marks = msgspec.structs.astuple(view.marks)
        world.history.add(ViewEntry(device.person.user, chat, since, view.last_seq, view.unread, *marks))
        return True
    if world.is_strict() and (
        answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR or code_of(answer.content) != "overloaded"
    ):
        world.odd("a look at a chat", f"{device.person.user} was told {answer.status_code} of {chat}")
    return False


async def accept(world: World, person: Person, chat: str) -> None:
    """The peer of somebody's chat lets them write from now on."""
    peer = person.strange[chat]
    since = len(world.history)
    path = f"{world.node()}/v1/chats/{chat}/accept"
    with suppress(httpx.HTTPError):
        answer = await world.http.put(path, headers=peer.devices[0].headers)
        if answer.is_success and chat in person.strange:
            world.history.add(AcceptedEntry(peer.user, chat, since))
            world.accepted(person, chat)
            send(world, person.devices[0], write(world, person, chat))


async def peek(world: World, device: Device, chat: str) -> None:
    """At a chat of others."""
    path = f"{world.node()}/v1/chats/{chat}" + world.dice.choice(("", "/messages"))
    with suppress(httpx.HTTPError):
        answer = await world.http.get(path, headers=device.headers)
        if code_of(answer.content) != "overloaded":
            world.history.add(PeekEntry(device.person.user, chat, answer.status_code))
