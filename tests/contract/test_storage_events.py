"""A committed event is told once, in order, and only then; and it is read back as it was told."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import pytest

from duologue.model import Event, Kind
from duologue.protocol import render
from duologue.storage.database import Tx
from duologue.storage.tables.accounts import delete_user, ensure_user, update_user
from duologue.storage.tables.chats import open_chat, update_chat
from duologue.storage.tables.replay import event_page
from tests.contract.store import Heard, Store, mark, new_phone, opened, post
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio

FIXED = {Kind.MESSAGE_CREATED, Kind.RECEIPT_MINE, Kind.RECEIPT_PEER}
"""Events whose content never changes after they happened."""


async def replay(store: Store, user_id: int, limit: int = 7) -> list[Event]:
    """A user's whole log, page by page."""
    events: list[Event] = []
    while page := (await store.db.read(event_page, user_id, len(events), limit))[1]:
        events += page
    return events


def reference(event: Event) -> tuple[int, ...]:
    return (event.user_id, event.seq, event.kind, event.ref, event.a, event.b, event.at)


async def busy_hour(store: Store) -> list[int]:
    """Many things at once, in four chats of five users; the users."""
    users = [await store.user() for _ in range(5)]
    pairs = [await store.pair_of(users[0], user) for user in users[1:]]

    async def talk(which: int) -> None:
        pair = pairs[which % len(pairs)]
        for number in range(25):
            await store.apply(post(pair, which % 2, f"{which}-{number}", f"text {which} {number}"))
            await store.apply(mark(pair, 1 - which % 2, delivered=number + 1, read=number))

    async def change(which: int) -> None:
        user, pair = users[which % 5], pairs[which % 4]
        for number in range(15):
            await store.db.write(update_user, user.id, f"name {number}", store.clock(), read_receipts=None)
            changes: dict[str, int | bool | None] = {"pinned": number % 2 == 0}
            await store.db.write(update_chat, pair.low, pair.chat_id, changes, store.clock())
            await store.db.write(open_chat, user.id, new_phone(), store.clock())

    await asyncio.gather(*(talk(which) for which in range(8)), *(change(which) for which in range(5)))
    return [user.id for user in users]


async def test_each_event_is_told_once(store: Store) -> None:
    await busy_hour(store)
    told = sorted((event.user_id, event.seq) for event in store.heard.events)
    assert told == [(user, seq) for user, seq, *_ in store.table("events")]
    assert_sound(store.url)


async def test_each_users_events_are_told_in_order(store: Store) -> None:
    users = await busy_hour(store)
    for user_id in users:
        seqs = [event.seq for event in store.heard.of(user_id)]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_replay_equals_what_was_told(store: Store) -> None:
    for user_id in await busy_hour(store):
        told = sorted(store.heard.of(user_id), key=lambda event: event.seq)
        read = await replay(store, user_id)
        assert [reference(event) for event in read] == [reference(event) for event in told]
        for one, other in zip(read, told, strict=True):
            if one.kind in FIXED:
                assert render.event(one) == render.event(other)


async def test_any_page_of_a_log_is_that_part_of_it(store: Store) -> None:
    (user_id, *_) = await busy_hour(store)
    whole = [reference(event) for event in await replay(store, user_id, 1000)]
    for after, limit in [(0, 1), (3, 5), (10, 100), (len(whole) - 1, 5), (len(whole), 5)]:
        at, page = await store.db.read(event_page, user_id, after, limit)
        assert at == (whole[after - 1][-1] if after and page else 0)
        assert [reference(event) for event in page] == whole[after : after + limit]


async def test_a_batch_is_told_after_its_callers_were_answered(store: Store) -> None:
    pair = await store.pair()
    order: list[str] = []
    heard = store.heard.committed

    def committed(events: Sequence[Event]) -> None:
        heard(events)
        order.append("told")

    store.heard.committed = committed  # type: ignore[method-assign]
    with store.writer_held():
        for number in range(3):
            store.db.append(post(pair, 0, f"key-{number}"), lambda _: order.append("answered"))
        last = asyncio.ensure_future(store.apply(post(pair, 0, "last")))
        await asyncio.sleep(0)
    await last
    assert order == ["answered", "answered", "answered", "told"]


class Witness(Heard):
    """A listener that looks into the database before it believes what it is told."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self.unfounded: list[Event] = []

    def committed(self, events: Sequence[Event]) -> None:
        super().committed(events)
        stored = {row[:-1] for row in self._store.table("events")}
        self.unfounded += [event for event in events if reference(event)[:-1] not in stored]


async def test_nothing_is_told_before_it_is_committed(store_url: str) -> None:
    async with opened(store_url) as quiet:
        pair, user = await quiet.pair(), await quiet.user()
    store = Store(store_url, quiet.clock)
    witness = store.heard = Witness(store)
    await store.db.open(witness)
    try:
        await asyncio.gather(
            *(store.apply(post(pair, number % 2, f"key-{number}")) for number in range(60)),
            *(store.db.write(open_chat, user.id, new_phone(), store.clock()) for _ in range(10)),
        )
        await store.apply(mark(pair, 0, read=60))
    finally:
        await store.db.close()
    assert witness.unfounded == []
    assert len(witness.events) == 60 * 2 + 10 * 2 + 2


async def test_every_event_says_what_it_is_about(store: Store) -> None:
    one, other = await store.user(), await store.user()
    pair = await store.pair_of(one, other)
    sender = pair.side_of(one.id)
    message = await store.send(pair, sender, "a")
    await store.apply(mark(pair, 1 - sender, read=1))
    await store.db.write(delete_user, one.id, store.clock())
    await store.finish_chores()
    log: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
    for event in store.heard.events:
        log[event.user_id].append((event.kind, event.ref, event.a, event.b))
    chat = pair.chat_id
    assert log[one.id][1:] == [
        (Kind.USER_UPDATED, one.id, 0, 0),
        (Kind.CHAT_UPDATED, chat, 0, 0),
        (Kind.MESSAGE_CREATED, chat, 1, 1),
        (Kind.RECEIPT_PEER, chat, 1, 1),
        (Kind.USER_UPDATED, one.id, 0, 0),
    ]
    assert log[other.id][1:] == [
        (Kind.USER_UPDATED, other.id, 0, 0),
        (Kind.CHAT_UPDATED, chat, 0, 0),
        (Kind.MESSAGE_CREATED, chat, 1, 0),
        (Kind.RECEIPT_MINE, chat, 1, 1),
        (Kind.USER_UPDATED, one.id, 0, 0),
    ]
    bodies = [event.body for event in await replay(store, other.id) if event.kind is Kind.MESSAGE_CREATED]
    assert bodies == [message]


async def test_emitting_nothing_tells_nothing(store: Store) -> None:
    def quiet(tx: Tx) -> None:
        tx.emit([])
        ensure_user(tx, new_phone(), 1)

    await store.db.write(quiet)
    assert store.heard.commits == []
