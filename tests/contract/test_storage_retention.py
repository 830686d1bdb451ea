"""Event logs are trimmed at their old end, step by small step, and nothing else is."""

from __future__ import annotations

import asyncio

import pytest

from duologue.model import Event, Kind, Session
from duologue.storage.database import Tx
from duologue.storage.tables.accounts import end_sessions, live_sessions, session_by_id
from duologue.storage.tables.events import LogHead, log_head, trim_logs
from duologue.storage.tables.replay import event_page
from duologue.storage.tables.sign_in import NewSession, sign_in
from tests.contract.store import Store, mark, new_phone, opened, post
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio

FOR_EVER = 1 << 60


class SettableClock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


async def trim(store: Store, cutoff: int) -> list[int]:
    """One round over all logs; how many events each step dropped."""
    user: int | None = 0
    steps = []
    while user is not None:
        user, dropped = await store.db.write(trim_logs, user, cutoff)
        steps.append(dropped)
    return steps


async def log_of(store: Store, user_id: int) -> list[Event]:
    _, floor = await store.log_span(user_id)
    _, events = await store.db.read(event_page, user_id, floor, FOR_EVER)
    return events


async def test_old_events_go_and_the_floor_says_so(store_url: str) -> None:
    clock = SettableClock()
    async with opened(store_url, clock) as store:
        pair = await store.pair()
        await store.send(pair, 0, "old")
        clock.now += 1000
        await store.send(pair, 1, "new")
        old = {user: len(store.heard.of(user)) - 1 for user in (pair.low, pair.high)}
        assert sum(await trim(store, clock.now)) == sum(old.values())
        for user_id, gone in old.items():
            assert await store.log_span(user_id) == (gone + 1, gone)
            assert [event.seq for event in await log_of(store, user_id)] == [gone + 1]
        assert sum(await trim(store, clock.now)) == 0
        assert len(await store.all_messages(pair)) == 2
        assert (await store.send(pair, 0, "next")).seq == 3
    assert_sound(store_url)


async def test_a_log_may_be_trimmed_to_nothing_and_goes_on(store_url: str) -> None:
    clock = SettableClock()
    async with opened(store_url, clock) as store:
        pair = await store.pair()
        await store.fill(pair, [0, 1, 0])
        last, _ = await store.log_span(pair.low)
        await trim(store, FOR_EVER)
        assert await store.log_span(pair.low) == (last, last)
        assert store.count("events") == 0
        await store.apply(mark(pair, 1, read=3))
        assert [event.seq for event in await log_of(store, pair.low)] == [last + 1]
    assert_sound(store_url)


async def test_a_step_is_small_whatever_there_is_to_drop(store: Store) -> None:
    pair = await store.pair()
    for _ in range(3):
        await store.together(*(post(pair, 0, f"{_}-{number}") for number in range(900)))
    rounds = 0
    while dropped := await trim(store, FOR_EVER):
        assert max(dropped) <= 1000
        assert_sound(store.url)
        rounds += 1
        if not sum(dropped):
            break
    assert store.count("events") == 0
    assert rounds >= 5


async def test_every_user_comes_under_the_knife(store: Store) -> None:
    def sign_up(tx: Tx) -> None:
        sign_in(tx, [NewSession(new_phone(), b"%d" % number, "", "", 1) for number in range(450)])

    await store.db.write(sign_up)
    assert len(await trim(store, 2)) >= 3
    assert store.count("events") == 0
    assert [last == floor for _, last, floor, *_ in store.table("logs")] == [True] * 450


async def test_an_ended_session_stays_as_long_as_its_events(store_url: str) -> None:
    clock = SettableClock()
    async with opened(store_url, clock) as store:
        user = await store.user()
        (session,) = await store.db.read(live_sessions, user.id)
        clock.now += 1000
        _, live, _ = await store.db.join(sign_in, NewSession(user.phone or "", b"other", "", "", clock.now))
        clock.now += 1000
        await store.db.write(end_sessions, user.id, [session.id], clock.now)
        await trim(store, clock.now)
        (ended,) = await log_of(store, user.id)
        assert ended.kind is Kind.SESSION_ENDED
        assert isinstance(ended.body, Session)
        assert ended.body.ended_at == clock.now
        clock.now += 1000
        await trim(store, clock.now)
        assert await store.db.read(session_by_id, session.id) is None
        assert await store.db.read(live_sessions, user.id) == [live]


async def test_a_log_can_be_read_while_it_is_trimmed_and_written(store_url: str) -> None:
    async with opened(store_url) as store, opened(store_url) as other:
        pair = await store.pair()

        async def send() -> None:
            for number in range(40):
                await store.together(*(post(pair, number % 2, f"{number}-{n}") for n in range(20)))

        async def cut() -> None:
            while not sending.done():
                await other.db.write(trim_logs, 0, FOR_EVER)

        def look(tx: Tx) -> tuple[LogHead, list[int]]:
            head = log_head(tx, pair.low)
            assert head
            return head, [event.seq for event in event_page(tx, pair.low, head.floor, FOR_EVER)[1]]

        sending = asyncio.ensure_future(send())
        cutting = asyncio.ensure_future(cut())
        while not sending.done():
            head, seqs = await store.db.read(look)
            assert seqs == list(range(head.floor + 1, head.last_seq + 1))
        await asyncio.gather(sending, cutting)
    assert_sound(store_url)
