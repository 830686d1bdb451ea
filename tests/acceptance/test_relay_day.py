"""A day of traffic under a budget, quiet hours and caps, and what must hold of it in the evening: on both engines."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from duologue.clock import DAY, HOUR, MINUTE, SECOND
from duologue.core.quiet_hours import QuietHours, zones_of
from duologue.model import Message, Pair, User
from duologue.providers.sms.provider import Accepted, OutgoingSms
from duologue.providers.sms.segments import price
from duologue.storage.engine.engines import migrate
from duologue.storage.tables import outbox
from duologue.storage.tables.outbox import State
from tests.support.carrier import Carrier, accepts
from tests.support.relays import DELAY, World, world
from tests.support.sign_in import NOON, Desk, Phones

pytestmark = pytest.mark.anyio

QUIET = QuietHours(22 * 60, 8 * 60)
PRICES = {"FR": 60_000, "US": 10_000, "IN": 30_000, "*": 100_000}
BUDGET, CAP = 6_000_000, 600_000
STEP = 10 * MINUTE
PHONES = ("+3361200", "+1212555", "+1213555", "+91981200")
"""Paris, New York, Los Angeles, India."""


@dataclass
class Day:
    """Record of a day: all that people did, and the texts that reached phones, with their times."""

    people: World
    senders: list[User]
    recipients: list[User]
    online: set[int]
    chance: random.Random
    arrived: list[tuple[int, OutgoingSms]] = field(default_factory=list)
    written: dict[str, tuple[Message, Pair, User, User]] = field(default_factory=dict)

    async def carry(self, carrier: Carrier, sms: OutgoingSms) -> Accepted:
        self.arrived.append((self.people.clock(), sms))
        return await accepts(carrier, sms)

    async def pass_by(self) -> None:
        """Some people write, those who are online have it at once, and time passes."""
        for _ in range(self.chance.randrange(8)):
            # Some write far more than others.
            sender = self.senders[min(self.chance.randrange(12), self.chance.randrange(12))]
            recipient = self.chance.choice(self.recipients)
            pair = await self.people.store.pair_of(sender, recipient)
            text = f"[{len(self.written)}] " + "x" * self.chance.choice([5, 80, 300])
            message = await self.people.writes(text, pair=pair, by=sender)
            self.written[text.partition("]")[0]] = (message, pair, sender, recipient)
            if recipient.id in self.online:
                await self.people.acks(message.seq, pair=pair, by=recipient)
        await self.people.later(STEP)

    def of(self, sms: OutgoingSms) -> tuple[Message, Pair, User, User]:
        """The message that an SMS carries."""
        return self.written["[" + sms.text.partition("[")[2].partition("]")[0]]

    def cost(self, sms: OutgoingSms) -> int:
        return price(sms.text, sms.to, PRICES) or 0


@pytest.fixture
async def day(database_url: str) -> AsyncIterator[Day]:
    migrate(database_url)
    async with world(
        database_url,
        services=tuple(f"+3375700000{number}" for number in range(8)),
        quiet=QUIET,
        prices=PRICES,
        daily_budget=BUDGET,
        sender_budget=CAP,
        now=NOON - NOON % DAY,
    ) as people:
        senders = [await people.store.user() for _ in range(12)]
        recipients = [
            await people.store.user(f"{start}{number:04d}") for start in PHONES for number in range(8)
        ]
        online = {user.id for user in recipients[::2]}
        day = Day(people, senders, recipients, online, random.Random(11))
        people.carrier.usual = day.carry
        yield day


async def test_a_day_of_traffic_under_budget_quiet_hours_and_caps(day: Day) -> None:
    people = day.people
    desk = Desk(people.store.db, people.clock, Phones(), daily_budget=BUDGET, prices=PRICES)
    for step in range(DAY // STEP):
        await day.pass_by()
        if step % 12 == 0:
            await desk.start(f"+3361{step:03d}1234")
    spent = Counter[int]()
    for _, sms in day.arrived:
        spent[day.of(sms)[2].id] += day.cost(sms)
    assert 0 < max(spent.values()) <= CAP
    assert any(value > CAP * 0.5 for value in spent.values()), "nobody used more than may go at once"
    total = sum(spent.values())
    assert BUDGET * 0.5 < total <= BUDGET * 0.7, "the day's money was of no concern"
    assert desk.phones.sent == 12, "codes went out all day"
    await _let_the_rest_go(day)
    _nobody_was_disturbed(day)
    _nobody_online_was_texted(day)
    _each_went_once_and_in_order(day)
    await _each_has_one_fate(day)


async def _let_the_rest_go(day: Day) -> None:
    for _ in range(2 * DAY // HOUR):
        await day.people.later(HOUR)
    for accepted in day.people.carrier.taken:
        await day.people.reports(accepted)


def _nobody_was_disturbed(day: Day) -> None:
    for at, sms in day.arrived:
        for zone in zones_of(sms.to):
            assert not QUIET.holds(datetime.fromtimestamp(at / SECOND, zone)), (at, sms.to)


def _nobody_online_was_texted(day: Day) -> None:
    assert not [sms for _, sms in day.arrived if day.of(sms)[3].id in day.online]
    assert {day.of(sms)[3].phone for _, sms in day.arrived} <= {user.phone for user in day.recipients}


def _each_went_once_and_in_order(day: Day) -> None:
    order = defaultdict(list)
    for at, sms in day.arrived:
        message, pair, _, recipient = day.of(sms)
        assert at >= message.sent_at + DELAY
        assert sms.to == recipient.phone
        order[pair.chat_id].append(message.seq)
    for seqs in order.values():
        assert seqs == sorted(set(seqs))


async def _each_has_one_fate(day: Day) -> None:
    """Each message of the day was delivered to a device or to a phone, or it is told why it was not."""
    counts = await day.people.store.db.read(outbox.counts)
    assert counts.keys() <= {State.DELIVERED, State.DEAD}
    assert counts[State.DELIVERED] == len(day.arrived)
    fates = Counter[str]()
    for message, pair, _, recipient in day.written.values():
        row = await day.people.row(message.seq, pair)
        if recipient.id in day.online:
            assert row is None
        else:
            assert row is not None
            fates[row.reason] += 1
    assert fates.keys() >= {"", "expired: budget_spent"}
    assert fates.keys() <= {
        "",
        *(f"expired: {why}" for why in ("sender_budget_spent", "budget_spent", "quiet_hours")),
    }
    for chat_of in {
        pair.chat_id: (pair, recipient) for _, pair, _, recipient in day.written.values()
    }.values():
        await _the_mark_is_right(day, *chat_of)


async def _the_mark_is_right(day: Day, pair: Pair, recipient: User) -> None:
    """It stands before the first message that reached neither device nor phone."""
    seqs = sorted(message.seq for message, of, _, _ in day.written.values() if of == pair)
    reached = {day.of(sms)[0].seq for _, sms in day.arrived if day.of(sms)[1] == pair}
    expected = 0
    for seq in seqs:
        if recipient.id not in day.online and seq not in reached:
            break
        expected = seq
    assert await day.people.delivered(pair=pair, by=recipient) == expected
