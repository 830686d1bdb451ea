"""Storage of reactions: once each, a few a person, told to both logs, and to nobody who may not see the message."""

from __future__ import annotations

import asyncio

import pytest

from duologue.core.changes import Changes
from duologue.core.reactions import Reactions
from duologue.errors import ApiError
from duologue.model import Kind, Known, Message, Reaction, WhoCanWrite
from duologue.storage.append import strangers
from tests.contract.changing import assert_audited, caller, refused
from tests.contract.store import Store, post
from tests.contract.test_storage_strangers import choose, meet, send, standing

pytestmark = pytest.mark.anyio


def rules(store: Store) -> Reactions:
    return Reactions(store.db, store.clock)


def told(store: Store, user_id: int) -> list[tuple[Reaction, ...]]:
    """Return the reactions that a user's devices heard of, live."""
    events = [event for event in store.heard.of(user_id) if event.kind is Kind.MESSAGE_UPDATED]
    return [event.body.reactions for event in events if isinstance(event.body, Message)]


async def test_reactions_stand_once_and_in_their_order_in_the_store_and_both_logs(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a")
    low, high = caller(pair.low), caller(pair.high)
    for who, emoji in ((high, "👍"), (low, "❤"), (high, "👍"), (low, "👍"), (low, "❤️")):
        await rules(store).add(who, pair, 1, emoji)
    expected = Reaction(pair.high, "👍"), Reaction(pair.low, "❤️"), Reaction(pair.low, "👍")
    assert (await store.all_messages(pair))[0].reactions == expected
    for user_id in (pair.low, pair.high):
        assert told(store, user_id) == [expected[:1], expected[:2], expected]
    await rules(store).remove(high, pair, 1, "👍")
    await rules(store).remove(high, pair, 1, "👍")
    assert told(store, pair.low)[3:] == [expected[1:]]
    await rules(store).remove(low, pair, 1, "👍")
    await rules(store).remove(low, pair, 1, "❤️")
    assert (await store.all_messages(pair))[0].reactions == ()
    assert_audited(store)


async def test_each_person_has_three_however_many_come_at_once(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a")
    tries = [
        rules(store).add(caller(user_id), pair, 1, emoji)
        for emoji in "👍🎉🚉🙏😀😎"
        for user_id in (pair.low, pair.high)
    ]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    failed = [outcome.code for outcome in outcomes if isinstance(outcome, ApiError)]
    assert failed == ["too_many_reactions"] * 6
    reactions = (await store.all_messages(pair))[0].reactions
    assert sorted(each.user_id for each in reactions) == sorted([pair.low, pair.high] * 3)
    assert_audited(store)


async def test_a_deletion_takes_the_reactions_with_it_and_ends_them(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a")
    await rules(store).add(caller(pair.high), pair, 1, "👍")
    await Changes(store.db, store.clock, edit_window=0).delete(caller(pair.low), pair, 1)
    assert (await store.all_messages(pair))[0].reactions == ()
    assert await refused(rules(store).add(caller(pair.high), pair, 1, "👍")) == "message_deleted"
    await rules(store).remove(caller(pair.high), pair, 1, "👍")
    assert_audited(store)


async def test_a_withheld_message_has_no_reactions_but_its_senders(store: Store) -> None:
    ana, ben = await store.user(), await store.user()
    pair = await store.opened_by(ana, ben)
    await choose(store, ben, who_can_write=WhoCanWrite.NOBODY)
    new = post(pair, pair.side_of(ana.id), "a", "text")
    await store.db.write(strangers.send, new, None, None, store.clock())
    before = len(store.heard.of(ben.id))
    assert await refused(rules(store).add(caller(ben.id), pair, 1, "👍")) == "not_found"
    await rules(store).add(caller(ana.id), pair, 1, "👍")
    assert len(store.heard.of(ben.id)) == before
    [place] = await store.db.read(strangers.page_seen_after, ben.id, pair, 0, 9)
    assert place.reactions == ()
    assert (await standing(store, pair, ben)).sender_known is not Known.ANSWERED
    assert_audited(store)


async def test_a_reaction_is_an_answer_to_a_stranger_as_a_message_is(store: Store) -> None:
    ana, ben, pair = await meet(store)
    await send(store, pair, ana, "hello")
    await rules(store).add(caller(ben.id), pair, 1, "👍")
    assert (await standing(store, pair, ben)).mutual
    kinds = [event.kind for event in store.heard.of(ana.id)]
    assert kinds.index(Kind.USER_UPDATED) < kinds.index(Kind.MESSAGE_UPDATED)
    assert_audited(store)
