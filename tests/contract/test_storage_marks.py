"""Marks only rise, and unread is what a count would give."""

from __future__ import annotations

import random

import pytest

from duologue.errors import ApiError
from duologue.model import Kind, Pair
from duologue.storage.append import group
from duologue.storage.append.batch import Batch, OutOfRange
from duologue.storage.database import Mark, Marked, Post, Posted
from duologue.storage.tables.accounts import delete_user, update_user
from duologue.storage.tables.receipts import LogStep, received, shown_marks, store_acks
from tests.contract.store import Store, mark, post
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio

MOVED, STOOD = Marked(changed=True), Marked(changed=False)


async def marks(store: Store, user_id: int, pair: Pair) -> tuple[int, int, int, int]:
    chat = await store.view(user_id, pair)
    return chat.delivered, chat.read, chat.peer_delivered, chat.peer_read


async def show_receipts(store: Store, user_id: int, *, show: bool) -> None:
    await store.db.write(update_user, user_id, None, store.clock(), read_receipts=show)


async def test_marks_only_rise(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0] * 10)
    assert await store.apply(mark(pair, 1, delivered=5)) == MOVED
    assert await store.apply(mark(pair, 1, read=3)) == MOVED
    assert await marks(store, pair.high, pair) == (5, 3, 0, 0)
    for late in (mark(pair, 1, delivered=5), mark(pair, 1, delivered=2), mark(pair, 1, read=1, delivered=4)):
        assert await store.apply(late) == STOOD
    assert await marks(store, pair.high, pair) == (5, 3, 0, 0)
    assert await marks(store, pair.low, pair) == (0, 0, 5, 3)


async def test_read_implies_delivered(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0] * 4)
    assert await store.apply(mark(pair, 1, read=4)) == MOVED
    assert await marks(store, pair.high, pair) == (4, 4, 0, 0)
    assert await store.apply(mark(pair, 1, delivered=4)) == STOOD


async def test_a_mark_beyond_the_last_message_is_refused(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0, 1])
    told = len(store.heard.events)
    for beyond in (mark(pair, 1, read=3), mark(pair, 1, delivered=3), mark(pair, 1, delivered=9, read=1)):
        with pytest.raises(OutOfRange):
            await store.apply(beyond)
    assert await marks(store, pair.high, pair) == (0, 0, 0, 0)
    assert len(store.heard.events) == told


async def test_a_mark_in_a_strangers_chat_is_refused(store: Store) -> None:
    pair, stranger = await store.pair(), await store.user()
    await store.fill(pair, [0, 1])
    foreign = Pair(pair.chat_id, *sorted((pair.low, stranger.id)))
    with pytest.raises(OutOfRange):
        await store.apply(mark(foreign, foreign.side_of(stranger.id), read=1))


async def test_marks_merged_in_one_batch_each_have_their_outcome(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0] * 5)
    assert await store.together(
        mark(pair, 1, delivered=2), mark(pair, 1, read=4), mark(pair, 1, delivered=3)
    ) == [MOVED, MOVED, MOVED]
    assert await marks(store, pair.high, pair) == (4, 4, 0, 0)
    receipts = [event for event in store.heard.of(pair.low) if event.kind is Kind.RECEIPT_PEER]
    assert [(event.a, event.b) for event in receipts] == [(4, 4)]


async def test_a_merged_mark_out_of_range_spoils_no_other(store: Store) -> None:
    pair, other = await store.pair(), await store.pair()
    await store.fill(pair, [0] * 5)
    await store.fill(other, [0])
    good, bad, better, elsewhere, too_far = await store.together(
        mark(pair, 1, read=2),
        mark(pair, 1, read=6),
        mark(pair, 1, delivered=5),
        mark(other, 1, read=1),
        mark(pair, 0, delivered=99),
    )
    assert (good, better, elsewhere) == (MOVED, MOVED, MOVED)
    assert isinstance(bad, OutOfRange)
    assert isinstance(too_far, OutOfRange)
    assert await marks(store, pair.high, pair) == (5, 2, 0, 0)
    assert_sound(store.url)


async def test_a_mark_may_cover_a_message_of_its_own_batch(store: Store) -> None:
    pair = await store.pair()
    _, marked = await store.together(post(pair, 0, "a"), mark(pair, 1, read=1))
    assert marked == MOVED
    assert (await store.view(pair.high, pair)).unread == 0


async def test_receipts_are_told_to_both_sides(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0] * 3)
    await store.apply(mark(pair, 1, delivered=3, read=2))
    mine, theirs = store.heard.of(pair.high)[-1], store.heard.of(pair.low)[-1]
    assert (mine.kind, mine.ref, mine.a, mine.b) == (Kind.RECEIPT_MINE, pair.chat_id, 3, 2)
    assert (theirs.kind, theirs.ref, theirs.a, theirs.b) == (Kind.RECEIPT_PEER, pair.chat_id, 3, 2)
    assert mine.body == theirs.body


async def test_private_reading_is_not_shown(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0] * 6)
    await store.apply(mark(pair, 1, read=2))
    await show_receipts(store, pair.high, show=False)
    told = len(store.heard.of(pair.low))
    await store.apply(mark(pair, 1, delivered=4))
    await store.apply(mark(pair, 1, read=4))
    assert await marks(store, pair.high, pair) == (4, 4, 0, 0)
    assert await marks(store, pair.low, pair) == (0, 0, 4, 2)
    assert (await store.view(pair.high, pair)).unread == 2
    assert [(event.a, event.b) for event in store.heard.of(pair.low)[told:]] == [(4, 2)]
    shown = await store.db.read(shown_marks, pair)
    assert shown.of == {pair.low: (4, 2), pair.high: (0, 0)}


async def test_what_was_read_privately_stays_private(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0] * 6)
    await show_receipts(store, pair.high, show=False)
    await store.apply(mark(pair, 1, read=4))
    await show_receipts(store, pair.high, show=True)
    assert await store.apply(mark(pair, 1, read=3)) == STOOD
    assert await marks(store, pair.low, pair) == (0, 0, 4, 0)
    await store.apply(mark(pair, 1, read=5))
    assert await marks(store, pair.low, pair) == (0, 0, 5, 5)


async def test_marks_rise_when_the_peer_has_gone(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0, 0, 1])
    await store.db.write(delete_user, pair.low, store.clock())
    assert await store.apply(mark(pair, 1, delivered=3, read=2)) == MOVED
    chat = await store.view(pair.high, pair)
    assert (chat.delivered, chat.read, chat.unread) == (3, 2, 0)
    last = store.heard.of(pair.high)[-1]
    assert (last.kind, last.a, last.b) == (Kind.RECEIPT_MINE, 3, 2)
    assert_sound(store.url)


@pytest.mark.parametrize("seed", range(3))
async def test_unread_is_what_a_count_gives(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    pair = await store.pair()
    sides: list[int] = []
    for step in range(40):
        fresh = [chance.randrange(2) for _ in range(chance.randrange(6))]
        sides += fresh
        await store.together(
            *(post(pair, side, f"{step}-{number}") for number, side in enumerate(fresh)),
            *(
                mark(pair, side, read=chance.randint(0, len(sides)))
                for side in (0, 1)
                if chance.random() < 0.4
            ),
        )
        for side, user_id in enumerate((pair.low, pair.high)):
            chat = await store.view(user_id, pair)
            assert chat.unread == sides[chat.read :].count(1 - side)
            assert chat.last_seq == len(sides)
    assert_sound(store.url)


async def test_sending_marks_nothing_as_read(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0, 0, 1])
    assert (await store.view(pair.high, pair)).unread == 2
    assert (await store.view(pair.low, pair)).unread == 1


async def test_an_ack_covers_the_peers_messages_up_to_it(store: Store) -> None:
    one, peers = await store.user(), [await store.user() for _ in range(2)]
    pairs = [await store.pair_of(one, peer) for peer in peers]
    start = len(store.heard.of(one.id))
    for pair in pairs:
        await store.fill(pair, [1 - pair.side_of(one.id)] * 3 + [pair.side_of(one.id)])
    head = start + 8
    every = dict.fromkeys(pairs, 3)
    assert await store.db.read(received, one.id, 0, head, 1000) == LogStep(head, head, every)
    part = await store.db.read(received, one.id, 0, start + 2, 1000)
    assert part == LogStep(start + 2, head, {pairs[0]: 2})
    part = await store.db.read(received, one.id, 0, head, start + 5)
    assert part == LogStep(start + 5, head, {pairs[0]: 3, pairs[1]: 1})
    rest = LogStep(head, head, {pairs[1]: 3})
    assert await store.db.read(received, one.id, part.reached, head, 1000) == rest
    await store.db.write(store_acks, {one.id: part.reached})
    assert await store.db.read(received, one.id, 0, head, 1000) == rest


async def test_an_ack_only_moves_forward_and_never_beyond_the_log(store: Store) -> None:
    user = await store.user()
    for seq, acked in [(2, 2), (1, 2), (3, 2)]:
        await store.db.write(store_acks, {user.id: seq})
        assert [row[3] for row in store.table("logs")] == [acked]


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Operations that the group commits tried to store, one after the other."""
    tried: list[Batch] = []

    class Counted(Batch):
        def __init__(self, posts: list[Post], marks: list[Mark], now: int) -> None:
            super().__init__(posts, marks, now)
            tried.append(self)

    monkeypatch.setattr(group, "Batch", Counted)
    return tried


async def test_many_marks_out_of_range_cost_few_transactions(store: Store, transactions: list[Batch]) -> None:
    pairs = [await store.pair() for _ in range(3)]
    for pair in pairs:
        await store.fill(pair, [0] * 5)
    transactions.clear()
    wanted = [(pair, seq) for seq in (3, 200, *range(1, 101), 6, 5) for pair in pairs]
    outcomes = await store.together(*(mark(pair, 1, read=seq) for pair, seq in wanted))
    assert [isinstance(outcome, OutOfRange) for outcome in outcomes] == [seq > 5 for _, seq in wanted]
    assert len(transactions) <= 2
    for pair in pairs:
        assert (await store.view(pair.high, pair)).read == 5


async def test_many_posts_under_a_used_client_id_cost_few_transactions(
    store: Store, transactions: list[Batch]
) -> None:
    pair = await store.pair()
    first = await store.send(pair, 0, "used", "first")
    transactions.clear()
    texts = ["other", "first", *(f"other {number}" for number in range(100))]
    outcomes = await store.together(*(post(pair, 0, "used", text) for text in texts))
    for text, outcome in zip(texts, outcomes, strict=True):
        if text == "first":
            assert outcome == Posted(first, replayed=True)
        else:
            assert isinstance(outcome, ApiError)
            assert outcome.code == "client_id_reused"
    assert len(transactions) <= 2
