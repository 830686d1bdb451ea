"""People whose texts go over SMPP: a real store and relay, the real provider, and an SMSC with habits of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from duologue.clock import SECOND
from duologue.model import User
from duologue.providers.sms.smpp import Smpp, SmppAccount
from duologue.storage.tables import outbox
from duologue.storage.tables.outbox import State
from tests.support.relays import Node, World
from tests.support.sms_wire import DELIVER, DELIVER_RESP, SUBMIT, SUBMIT_RESP, RawCarrier, deliver_body, pdu

OWN = "33757000001"
Answer = Callable[[], None]


@dataclass
class Smsc:
    """A carrier on a real socket, to which a provider is bound."""

    provider: Smpp
    raw: RawCarrier
    delivered: int = field(default=0)

    def deliver(self, data: bytes, **fields: Any) -> None:
        """Hand a deliver_sm over, without waiting for its answer."""
        self.delivered += 1
        self.raw.say(pdu(DELIVER, self.delivered, deliver_body(data, **fields)))

    async def hears(self, data: bytes, **fields: Any) -> None:
        """Hand a deliver_sm over, and wait until it is confirmed."""
        self.deliver(data, **fields)
        await self.raw.until(DELIVER_RESP)

    async def submitted(self) -> tuple[bytes, Callable[[str], None]]:
        """The body of the next submit_sm, and a way to answer it with an id."""
        sequence, body = await self.raw.until(SUBMIT)
        return body, lambda message_id: self.raw.say(pdu(SUBMIT_RESP, sequence, message_id.encode() + b"\0"))


@contextlib.asynccontextmanager
async def smsc(people: World, name: str = "smpp", **options: Any) -> AsyncIterator[tuple[Smsc, Node]]:
    """An SMSC, and a node that uses it."""
    raw = RawCarrier()
    account = SmppAccount("127.0.0.1", await raw.start(), "me", "pass", sender=OWN, **options)
    provider = Smpp(name, account)
    node = Node(people.store, people.clock, provider, people.rule, people.policy, people.valid_for)
    await provider.start(node.callbacks)
    await raw.bound()
    try:
        yield Smsc(provider, raw), node
    finally:
        await provider.aclose()
        await raw.close()


Place = tuple[int, int]
"""A message: its chat's id and its seq."""


async def states_of(people: World, places: Collection[Place]) -> dict[Place, str]:
    """The state of each of these relayed messages."""

    def read(tx: Any) -> dict[Place, str]:
        found = {}
        for place in places:
            row = outbox.find(tx, *place)
            assert row, "it is not relayed"
            # Between these two there is only the mark of the chat, which a failed message holds back.
            state = State.DELIVERED if row.state is State.ARRIVED else row.state
            found[place] = state.name.lower()
        return found

    return await people.store.db.read(read)


async def until_states(people: World, wanted: dict[Place, str]) -> dict[Place, str]:
    """The states once they are the wanted ones, or after 20 s whatever they are then."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 20
    while (found := await states_of(people, wanted)) != wanted and loop.time() < deadline:
        await asyncio.sleep(0.05)
    return found


async def has_been_written_to(people: World, carrier: Smsc, node: Node) -> None:
    """Ana's message has gone to Ben's phone, with the id 1."""
    await people.writes()
    people.clock.pass_by(31 * SECOND)
    await node.round()
    _, tell = await carrier.submitted()
    tell("1")
    await node.sent()


def number_of(user: User) -> str:
    """A user's number without its plus."""
    assert user.phone
    return user.phone[1:]
