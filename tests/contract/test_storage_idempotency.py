"""A message is stored once for each `client_id`, on every path, for ever."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from duologue.clock import now_ms
from duologue.core.chats import Chats
from duologue.core.messages import Messages
from duologue.core.strangers import Strangers
from duologue.core.traces import Traces
from duologue.errors import ApiError
from duologue.model import Kind
from duologue.storage.append.strangers import check_path
from duologue.storage.database import Outcome, Posted
from duologue.storage.tables.accounts import delete_user
from tests.contract.store import Store, opened, post
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio

UUID = "01936f3e-7d1c-7cc3-b9a4-1f0c2b6f8d11"


def stored(outcome: Outcome) -> Posted:
    assert isinstance(outcome, Posted), outcome
    return outcome


def is_refused(outcome: Outcome) -> bool:
    return isinstance(outcome, ApiError) and outcome.code == "client_id_reused"


async def test_repeat_returns_the_first_outcome(store: Store) -> None:
    pair = await store.pair()
    first = stored(await store.apply(post(pair, 0, "a", "hello")))
    await store.send(pair, 1, "b")
    again = stored(await store.apply(post(pair, 0, "a", "hello")))
    assert not first.replayed
    assert again == Posted(first.message, replayed=True)
    assert store.count("messages") == 2
    assert_sound(store.url)


async def test_repeat_is_known_after_reopening(store_url: str) -> None:
    async with opened(store_url) as store:
        pair = await store.pair()
        first = await store.send(pair, 0, UUID)
    async with opened(store_url) as store:
        assert stored(await store.apply(post(pair, 0, UUID))) == Posted(first, replayed=True)
        assert store.heard.events == []


async def test_a_repeat_is_not_confirmed_if_the_store_has_lost_its_message_meanwhile(store: Store) -> None:
    """It was found before the store went back to an older state; now it would be an answer about nothing."""
    pair = await store.pair()
    posted = await store.apply(post(pair, 0, "a", "hello"))
    again = stored(await store.apply(post(pair, 0, "a", "hello")))
    chats, traces = Chats(store.db, now_ms, limited=False), Traces(store.db, now_ms, kept=True)
    strangers = Strangers(store.db, now_ms, limited=True, alarms=None)
    messages = Messages(store.db, now_ms, chats, traces, strangers)
    assert await messages.marks(pair, again.message) == (0, 0)
    await store.db.write(
        lambda tx: tx.run("UPDATE messages SET sent_at = sent_at + 1 WHERE chat_id = :id", id=pair.chat_id)
    )
    with pytest.raises(ApiError) as refused:
        await messages.marks(pair, stored(posted).message)
    assert refused.value.code == "overloaded"


async def test_an_answer_to_what_the_store_has_lost_is_not_stored(store: Store) -> None:
    """Its target was looked up before the store went back; for a while after that it is looked up again."""
    pair = await store.pair()
    await store.send(pair, 0, "a")
    await store.send(pair, 1, "b")
    await store.db.read(check_path, [post(pair, 1, "c", reply_to=2)])
    with pytest.raises(ApiError) as refused:
        await store.db.read(check_path, [post(pair, 1, "c", reply_to=2), post(pair, 1, "d", reply_to=3)])
    assert refused.value.code == "overloaded"


@pytest.mark.parametrize("other", [("other text", 0), ("hello", 1)], ids=["text", "reply_to"])
async def test_other_content_under_the_same_key_is_refused(store: Store, other: tuple[str, int]) -> None:
    pair = await store.pair()
    first = await store.send(pair, 0, "a", "hello")
    with pytest.raises(ApiError) as refused:
        await store.apply(post(pair, 0, "a", *other))
    assert refused.value.code == "client_id_reused"
    assert await store.all_messages(pair) == [first]


async def test_a_key_is_one_senders_in_one_chat(store: Store) -> None:
    one, other = await store.pair(), await store.pair()
    places = list(itertools.product((one, other), (0, 1)))
    outcomes = await store.together(*(post(pair, side, "same", f"text {side}") for pair, side in places))
    assert [stored(outcome).message.seq for outcome in outcomes] == [1, 2, 1, 2]
    assert not any(stored(outcome).replayed for outcome in outcomes)


@pytest.mark.parametrize(
    "client_id", [UUID, UUID.upper(), UUID.replace("-", ""), "\x01" + "0" * 16, "x", "~" * 64, " "]
)
async def test_any_key_comes_back_as_it_was_given(store: Store, client_id: str) -> None:
    pair = await store.pair()
    first = await store.send(pair, 0, client_id)
    assert first.client_id == client_id
    assert await store.all_messages(pair) == [first]
    assert stored(await store.apply(post(pair, 0, client_id))).replayed


async def test_keys_that_differ_in_case_are_different(store: Store) -> None:
    pair = await store.pair()
    keys = [UUID, UUID.upper(), UUID.replace("-", ""), "key", "Key", "key "]
    outcomes = await store.together(*(post(pair, 0, key) for key in keys))
    assert [stored(outcome).message.seq for outcome in outcomes] == [1, 2, 3, 4, 5, 6]


async def test_duplicates_in_one_batch_are_one_message(store: Store) -> None:
    pair = await store.pair()
    first, twin, other, last = await store.together(
        post(pair, 0, "a", "x"), post(pair, 0, "a", "x"), post(pair, 0, "a", "y"), post(pair, 0, "b", "z")
    )
    assert not stored(first).replayed
    assert stored(twin) == Posted(stored(first).message, replayed=True)
    assert is_refused(other)
    assert stored(last).message.seq == 2
    assert_sound(store.url)


async def test_duplicates_among_fresh_ones_leave_no_hole(store: Store) -> None:
    pair, other = await store.pair(), await store.pair()
    old = [await store.send(pair, 0, f"old-{n}") for n in range(3)]
    outcomes = await store.together(
        post(pair, 0, "new-0"),
        post(pair, 0, "old-1"),
        post(other, 1, "new-1"),
        post(pair, 1, "old-1"),
        post(pair, 0, "old-2"),
        post(pair, 0, "new-2"),
    )
    assert [stored(outcome).replayed for outcome in outcomes] == [False, True, False, False, True, False]
    assert [stored(outcome).message.seq for outcome in outcomes] == [4, 2, 1, 5, 3, 6]
    assert stored(outcomes[1]).message == old[1]
    assert_sound(store.url)


async def test_a_repeat_behind_other_content_under_its_key_is_still_a_repeat(store: Store) -> None:
    pair = await store.pair()
    first = await store.send(pair, 0, "a", "hello")
    other, repeat = await store.together(post(pair, 0, "a", "other"), post(pair, 0, "a", "hello"))
    assert is_refused(other)
    assert stored(repeat) == Posted(first, replayed=True)


async def test_a_repeat_is_known_after_the_peer_has_gone(store: Store) -> None:
    pair = await store.pair()
    first = await store.send(pair, 0, "a")
    await store.db.write(delete_user, pair.high, store.clock())
    assert stored(await store.apply(post(pair, 0, "a"))) == Posted(first, replayed=True)


async def test_repeats_are_told_to_nobody(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a")
    told = len(store.heard.events)
    await store.together(post(pair, 0, "a"), post(pair, 0, "a"), post(pair, 0, "a", "other"))
    assert len(store.heard.events) == told


async def test_one_key_on_two_connections_at_once_is_one_message(store_url: str) -> None:
    async with opened(store_url) as one, opened(store_url) as other:
        pair = await one.pair()
        for number in range(40):
            here, there = await asyncio.gather(
                one.apply(post(pair, 0, f"same-{number}")), other.apply(post(pair, 0, f"same-{number}"))
            )
            assert stored(here).message == stored(there).message
            assert {stored(here).replayed, stored(there).replayed} == {True, False}
        assert one.count("messages") == 40
        told = [
            event for event in (*one.heard.events, *other.heard.events) if event.kind == Kind.MESSAGE_CREATED
        ]
        assert len(told) == len({(event.user_id, event.seq) for event in told}) == 80
    assert_sound(store_url)


async def test_batches_that_overlap_on_two_connections_store_each_message_once(store_url: str) -> None:
    async with opened(store_url) as one, opened(store_url) as other:
        pair = await one.pair()
        posts = [post(pair, number % 2, f"key-{number // 2}") for number in range(600)]
        here, there = await asyncio.gather(one.together(*posts[:400]), other.together(*reversed(posts[200:])))
        both = dict(zip(posts, here, strict=False))
        for item, outcome in zip(reversed(posts[200:]), there, strict=True):
            if item in both:
                assert stored(both[item]).message == stored(outcome).message
                assert stored(both[item]).replayed != stored(outcome).replayed
        assert one.count("messages") == 600
    assert_sound(store_url)
