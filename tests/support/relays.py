"""The relay over a real store: people who write to each other, a clock set by hand, nodes that see to the outbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from duologue.clock import DAY, HOUR, MINUTE, SECOND
from duologue.core.delivery.offline import AlarmLoop, answer_alarms
from duologue.core.delivery.relay_policy import RelayPolicy
from duologue.core.delivery.sms_relay import SmsRelay, alarm_rule
from duologue.core.given_codes import GivenCodes
from duologue.core.replies import Replies
from duologue.core.sessions import Caller
from duologue.core.sms_callbacks import SmsCallbacks
from duologue.core.strangers import Strangers
from duologue.core.traces import Traces
from duologue.model import Message, Pair, Relay, Step, User
from duologue.providers.sms.provider import (
    Accepted,
    DeliveryReport,
    DeliveryState,
    InboundSms,
    Provider,
    SegmentHeader,
)
from duologue.storage.engine.engines import make_database
from duologue.storage.engine.postgres import PostgresDatabase
from duologue.storage.engine.sqlite import SqliteDatabase
from duologue.storage.tables import accounts, outbox
from duologue.storage.tables.chats import open_chat
from duologue.storage.tables.outbox import Outgoing
from duologue.storage.tables.sms_relay import RelayRule
from tests.contract.store import Store, mark, new_phone
from tests.support.carrier import Carrier, accepts, receipts, waits_for
from tests.support.carrier import Step as CarrierStep
from tests.support.sign_in import NOON, SECRET, Clock
from tests.support.spending import split_spending

DELAY = 30 * SECOND
LEASE = 121 * SECOND
"""Longer than a lease lasts."""
APP = "Duologue"
SERVICES = ("+33757000001", "+33757000002", "+33757000003")
RULE = RelayRule(Relay.OFFLINE, Relay.OFF, DELAY)


def policy(**changes: Any) -> RelayPolicy:
    """The operator's choices: free, at any hour, from three service numbers, unless told otherwise."""
    chosen: dict[str, Any] = {
        "app": APP,
        "language": "en",
        "services": SERVICES,
        "quiet": None,
        "sender_budget": 0,
        "invite_once": False,
    } | changes
    return RelayPolicy(**split_spending(chosen))


class RelayStore(Store):
    """A store that raises the relay's alarms."""

    def __init__(self, url: str, clock: Clock, rule: RelayRule = RULE) -> None:
        super().__init__(url, clock)
        db = make_database(url, clock, alarm_rule(rule))
        assert isinstance(db, SqliteDatabase | PostgresDatabase)
        self.db = db


@dataclass
class Node:
    """The SMS services of one node."""

    store: Store
    clock: Clock
    carrier: Provider
    rule: RelayRule = RULE
    policy: RelayPolicy = field(default_factory=policy)
    valid_for: int = 24 * HOUR

    def __post_init__(self) -> None:
        db = self.store.db
        alarms = alarm_rule(self.rule)
        self.loop = SmsRelay(
            db, self.clock, self.carrier, self.rule, self.policy, valid_for=self.valid_for, callback_base=None
        )
        self.alarms = AlarmLoop(db, self.clock, alarms, [self.loop])
        strangers = Strangers(db, self.clock, limited=True, alarms=alarms)
        self.replies = Replies(db, self.clock, self.carrier, self.policy, strangers, GivenCodes(SECRET))
        self.callbacks = SmsCallbacks(self.carrier, db, self.clock, self.replies, self.loop.wake)
        self.traces = Traces(db, self.clock, kept=True, rule=self.rule)

    async def work(self) -> None:
        """Do all that there is to do at this time, to its end."""
        while True:
            await self.round()
            await self.sent()
            if not self.loop._rounds.woken:
                return

    async def round(self) -> None:
        """Answer the alarms that are due, and begin to send what is in the outbox."""
        await self.alarms.round()
        await self.loop.round()

    async def answer(self) -> int:
        """Answer the next few alarms, and do nothing about what is in the outbox then; how many alarms."""
        return await self.store.db.write(answer_alarms, alarm_rule(self.rule), [self.loop], self.clock())

    async def sent(self) -> None:
        """Wait until what is being sent has come to its end."""
        await self.loop._worker._doing.ended()
        # What is to be done at their end is done by now.
        await asyncio.sleep(0)

    async def die(self) -> None:
        """As by kill -9: what is being sent is never heard of again."""
        self.loop._worker._doing.cancel()
        await self.loop._worker._doing.ended()


class World(Node):
    """A node, and the people around it: `ana` writes to `ben`, who is offline."""

    ana: User
    ben: User
    pair: Pair
    carrier: Carrier

    async def settle(self) -> None:
        """Two people who have signed in, with a chat."""
        self.ana, self.ben = await self.store.user(), await self.store.user()
        self.pair = await self.store.pair_of(self.ana, self.ben)

    async def writes(
        self, text: str = "hello", *, pair: Pair | None = None, by: User | None = None
    ) -> Message:
        """A message of Ana's to Ben, or of somebody in another chat."""
        pair, by = pair or self.pair, by or self.ana
        self._count = getattr(self, "_count", 0) + 1
        return await self.store.send(pair, pair.side_of(by.id), f"c{self._count}", text)

    async def is_sending(self, then: CarrierStep = accepts) -> tuple[Message, asyncio.Event]:
        """A message that the carrier has been asked to send, and will once the event is set; or does `then`."""
        go = asyncio.Event()
        self.carrier.script.append(waits_for(go, then))
        message = await self.writes()
        self.clock.pass_by(DELAY)
        await self.round()
        await self.carrier.was_asked(1)
        return message, go

    async def acks(self, seq: int, *, pair: Pair | None = None, by: User | None = None) -> None:
        """A device of Ben's has everything up to there."""
        pair, by = pair or self.pair, by or self.ben
        await self.store.apply(mark(pair, pair.side_of(by.id), delivered=seq))

    async def later(self, ms: int = DELAY) -> None:
        """Time passes, and the node does what is due then."""
        self.clock.pass_by(ms)
        await self.work()

    async def reports(
        self, accepted: Accepted, state: DeliveryState = "delivered", code: str | None = None
    ) -> None:
        """The network reports about every part of an SMS, and the node hears of it."""
        await self.hears(receipts(accepted, state, code))

    async def hears(self, told: Sequence[DeliveryReport]) -> None:
        """The network reports."""
        await self.callbacks.receipts(self.carrier.name, told)
        await self.work()

    async def phone_says(
        self,
        text: str,
        to: str | None = SERVICES[0],
        *,
        id: str | None = None,
        sender: str | None = None,
        part: SegmentHeader | None = None,
    ) -> None:
        """A text from Ben's phone, or another."""
        self._texts = getattr(self, "_texts", 0) + 1
        phone = sender or self.ben.phone
        assert phone
        await self.callbacks.inbound(
            self.carrier.name, [InboundSms(id or f"in-{self._texts}", phone, to, text, part)]
        )
        await self.replies.close()

    async def delivered(self, *, pair: Pair | None = None, by: User | None = None) -> int:
        """Up to where Ben has the chat, as its sender sees it."""
        pair, by = pair or self.pair, by or self.ben
        return (await self.store.view(by.id, pair)).delivered

    async def row(self, seq: int, pair: Pair | None = None) -> Outgoing | None:
        return await self.store.db.read(outbox.find, (pair or self.pair).chat_id, seq)

    async def fate(self, seq: int, pair: Pair | None = None) -> tuple[str, str]:
        """Return the state of a message's relay, and the reason."""
        row = await self.row(seq, pair)
        assert row, "it is not relayed"
        return row.state.name.lower(), row.reason

    async def trace(self, seq: int, *, pair: Pair | None = None, by: User | None = None) -> list[Step]:
        """Return the trace that the sender sees of a message."""
        user = by or self.ana
        caller = Caller(user.id, 0)
        return await self.traces.trace(caller, pair or self.pair, seq)

    async def hops(self, seq: int) -> list[tuple[str, str]]:
        """The trace without its times."""
        return [(step.hop, step.detail) for step in await self.trace(seq)]

    async def choose(self, user: User, relay: Relay) -> None:
        await self.store.db.write(accounts.update_user, user.id, None, self.clock(), sms_relay=relay)

    async def forget_outbox(self) -> None:
        """Days pass, and what was in the outbox is tidied away."""
        self.clock.pass_by(4 * DAY)
        while await self.store.db.write(outbox.purge, self.clock() - DAY):
            pass

    async def stranger(self, phone: str | None = None) -> tuple[User, Pair]:
        """Somebody to whom Ana writes and who never signed in."""
        phone = phone or new_phone()
        pair = await self.store.db.write(open_chat, self.ana.id, phone, self.clock())
        assert pair
        user = await self.store.db.read(accounts.user_by_phone, phone)
        assert user
        return user, pair

    async def friend_of(self, user: User) -> tuple[User, Pair]:
        """One more person who writes to somebody."""
        friend = await self.store.user()
        return friend, await self.store.pair_of(friend, user)


@contextlib.asynccontextmanager
async def world(
    url: str,
    *,
    rule: RelayRule = RULE,
    carrier: Carrier | None = None,
    valid_for: int = 24 * HOUR,
    now: int = NOON,
    **choices: Any,
) -> AsyncIterator[World]:
    """A node with its people, on the database at `url`."""
    clock = Clock(now)
    store = RelayStore(url, clock, rule)
    await store.db.open(store.heard)
    try:
        people = World(store, clock, carrier or Carrier(), rule, policy(**choices), valid_for)
        await people.settle()
        yield people
        await people.die()
    finally:
        await store.db.close()


@contextlib.asynccontextmanager
async def another(one: World) -> AsyncIterator[Node]:
    """One more node on the same database."""
    store = RelayStore(one.store.url, one.clock, one.rule)
    await store.db.open(store.heard)
    try:
        yield Node(store, one.clock, one.carrier, one.rule, one.policy, one.valid_for)
    finally:
        await store.db.close()


async def answers_to(people: World, pair: Pair | None = None, user: User | None = None) -> list[str]:
    """Return the messages that somebody wrote by SMS."""
    user = user or people.ben
    messages = await people.store.all_messages(pair or people.pair)
    return [message.text for message in messages if message.by_sms and message.sender_id == user.id]


async def relayed(people: World, friends: int) -> list[tuple[User, Pair]]:
    """So many people wrote to Ben, each of whom reached his phone, a minute apart."""
    known = []
    for number in range(friends):
        friend, pair = await people.friend_of(people.ben)
        known.append((friend, pair))
        await people.writes(f"I am friend {number}", pair=pair, by=friend)
        await people.later(MINUTE)
    return known
