"""Paging: every message once, every chat once, in order, whatever comes in meanwhile."""

from __future__ import annotations

import asyncio
import random

import pytest

from duologue.core.chats import MAX_ACTIVITY
from duologue.model import Chat, Pair, pair_id
from duologue.storage.tables.chats import chat_page, find_pair, open_chat, pair_by_phone, pair_of, update_chat
from duologue.storage.tables.messages import page_after, page_before
from tests.contract.store import Store, new_phone, opened, post
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio


async def test_pages_before_and_after_are_that_part_of_the_chat(store: Store) -> None:
    pair, other = await store.pair(), await store.pair()
    everything = await store.fill(pair, [number % 3 // 2 for number in range(23)])
    await store.fill(other, [0, 1])
    for bound in (0, 1, 2, 10, 23, 24, 1000):
        for limit in (1, 2, 7, 23, 100):
            before = await store.db.read(page_before, pair, bound, limit)
            after = await store.db.read(page_after, pair, bound, limit)
            assert before == [message for message in everything if message.seq < bound][-limit:]
            assert after == [message for message in everything if message.seq > bound][:limit]


async def test_a_message_is_read_as_it_was_answered(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "first")
    texts = [
        "",
        "x" * 4096,
        "½ ☃ 😀 \u0001\t\r\n",
        "'; DROP TABLE messages; --",
        "{1,NULL}",
        "\\x00 %s :chat_id",
    ]
    outcomes = [
        await store.apply(post(pair, n % 2, f"key-{n}", text, reply_to=n % 2)) for n, text in enumerate(texts)
    ]
    stored = await store.db.read(page_after, pair, 1, 100)
    assert [message.text for message in stored] == texts
    assert stored == [outcome.message for outcome in outcomes]  # type: ignore[union-attr]
    assert {message.sender_id for message in stored} == {pair.low, pair.high}


async def walk(store: Store, user_id: int, limit: int) -> list[Chat]:
    """A user's whole chat list, page by page."""
    chats: list[Chat] = []
    below = MAX_ACTIVITY
    while page := await store.db.read(chat_page, user_id, below, limit):
        chats += page
        below = page[-1].activity
    return chats


@pytest.mark.parametrize("seed", range(3))
async def test_the_chat_list_is_by_newest_activity(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    one = await store.user()
    pairs = [await store.pair_of(one, await store.user()) for _ in range(8)]
    order = pairs[::-1]
    for step in range(25):
        lot = [chance.choice(pairs) for _ in range(chance.choice((1, 1, 2, 5)))]
        await store.together(*(post(pair, chance.randrange(2), f"{step}-{n}") for n, pair in enumerate(lot)))
        for pair in lot:
            order.remove(pair)
            order.insert(0, pair)
        chats = await walk(store, one.id, chance.randint(1, 9))
        assert [chat.id for chat in chats] == [pair.chat_id for pair in order]
    assert_sound(store.url)


async def test_what_is_changed_in_a_chat_moves_it_nowhere(store: Store) -> None:
    one = await store.user()
    first, second = [await store.pair_of(one, await store.user()) for _ in range(2)]
    changes: dict[str, int | bool | None] = {"archived": True, "pinned": True, "muted_until": 5}
    changed = await store.db.write(update_chat, one.id, first.chat_id, changes, store.clock())
    assert changed
    assert (changed.archived, changed.pinned, changed.muted_until) == (True, True, 5)
    assert [chat.id for chat in await walk(store, one.id, 1)] == [second.chat_id, first.chat_id]
    theirs = await store.view(first.peer_of(one.id), first)
    assert (theirs.archived, theirs.pinned, theirs.muted_until) == (False, False, None)


async def test_a_change_that_changes_nothing_is_no_event(store: Store) -> None:
    pair = await store.pair()
    changes: dict[str, int | bool | None] = {"archived": True}
    await store.db.write(update_chat, pair.low, pair.chat_id, changes, store.clock())
    told = len(store.heard.events)
    await store.db.write(update_chat, pair.low, pair.chat_id, changes, store.clock())
    assert len(store.heard.events) == told


async def test_cursors_hold_while_new_messages_arrive(store: Store) -> None:
    one = await store.user()
    pairs = [await store.pair_of(one, await store.user()) for _ in range(12)]
    seen = await store.db.read(chat_page, one.id, MAX_ACTIVITY, 4)
    await store.send(pairs[2], 0, "moves up a chat that is still to come")
    await store.send(pairs[9], 0, "moves up a chat that was seen")
    await store.pair_of(one, await store.user())
    while page := await store.db.read(chat_page, one.id, seen[-1].activity, 4):
        seen += page
    assert [chat.id for chat in seen] == [pair.chat_id for pair in reversed(pairs) if pair != pairs[2]]


async def test_lists_of_several_users_dont_mix(store: Store) -> None:
    pair, other = await store.pair(), await store.pair()
    await store.fill(pair, [0])
    await store.fill(other, [0, 1])
    assert [chat.id for chat in await walk(store, pair.low, 10)] == [pair.chat_id]
    assert [chat.id for chat in await walk(store, other.high, 10)] == [other.chat_id]


async def test_a_chat_is_found_from_either_side_and_by_nobody_else(store: Store) -> None:
    one, other, stranger = [await store.user() for _ in range(3)]
    pair = await store.pair_of(one, other)
    assert pair == Pair(pair_id(pair.low, pair.high), *sorted((one.id, other.id)))
    assert await store.pair_of(other, one) == pair
    assert await store.db.read(pair_by_phone, one.id, other.phone or "") == pair
    assert await store.db.read(pair_of, other.id, pair.chat_id) == pair
    assert await store.db.read(pair_of, stranger.id, pair.chat_id) is None
    assert await store.db.read(pair_by_phone, one.id, new_phone()) is None
    assert await store.db.write(open_chat, one.id, one.phone or "", store.clock()) is None


async def test_a_chat_opened_from_both_sides_at_once_is_one_chat(store_url: str) -> None:
    async with opened(store_url) as here, opened(store_url) as there:
        for _ in range(10):
            one, other = await here.user(), await here.user()
            pairs = await asyncio.gather(here.pair_of(one, other), there.pair_of(other, one))
            assert pairs[0] == pairs[1]
        assert here.count("chats") == 10
    assert_sound(store_url)


async def test_a_taken_chat_id_gives_way_to_the_next(store: Store) -> None:
    one, other = await store.user(), await store.user()
    low, high = sorted((one.id, other.id))
    squatter = pair_id(low, high)
    await store.db.write(
        lambda tx: tx.run(
            "INSERT INTO chats (id, low_user, high_user, created_at) VALUES (:id, 1, 2, 0)", id=squatter
        )
    )
    pair = await store.pair_of(one, other)
    assert pair == Pair(pair_id(low, high, 1), low, high)
    assert await store.db.read(find_pair, low, high) == pair
    assert await store.pair_of(other, one) == pair
