"""Storage of changes: edits and deletions in the store, in both logs, and for those who send again."""

from __future__ import annotations

import asyncio

import pytest

from duologue.core.changes import Changes
from duologue.errors import ApiError
from duologue.model import Event, Kind, Message, Pair, WhoCanWrite
from duologue.storage.append import strangers
from duologue.storage.database import Posted
from duologue.storage.tables.replay import event_page
from tests.contract.changing import assert_audited, caller, refused
from tests.contract.store import Store, post
from tests.contract.test_storage_strangers import choose

pytestmark = pytest.mark.anyio

WINDOW = 60_000  # ms


def changes(store: Store, later: int = 0) -> Changes:
    """The rules, so many milliseconds later."""
    return Changes(store.db, lambda: store.clock() + later, edit_window=WINDOW)


async def updates(store: Store, user_id: int) -> list[Event]:
    """Return the changes that a user's log tells, read back."""
    _, events = await store.db.read(event_page, user_id, 0, 1_000)
    return [event for event in events if event.kind is Kind.MESSAGE_UPDATED]


async def stored(store: Store, pair: Pair, seq: int = 1) -> Message:
    return (await store.all_messages(pair))[seq - 1]


async def test_an_edit_is_in_both_logs_once_and_keeps_its_place(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0, 1])
    activity = [(await store.view(side, pair)).activity for side in (pair.low, pair.high)]
    edited, marks = await changes(store).edit(caller(pair.low), pair, 1, "better")
    assert (edited.text, edited.seq, marks) == ("better", 1, (0, 0))
    assert edited.edited_at is not None
    assert edited.edited_at >= edited.sent_at
    assert await stored(store, pair) == edited
    for user_id, own in ((pair.low, 1), (pair.high, 0)):
        [event] = await updates(store, user_id)
        assert (event.ref, event.a, event.b, event.body) == (pair.chat_id, 1, own, edited)
        assert store.heard.of(user_id)[-1] == event
    assert [(await store.view(side, pair)).activity for side in (pair.low, pair.high)] == activity
    assert_audited(store)


async def test_the_same_text_changes_nothing(store: Store) -> None:
    pair = await store.pair()
    first = await store.send(pair, 0, "a", "text")
    same, _ = await changes(store, 2 * WINDOW).edit(caller(pair.low), pair, 1, "text")
    assert same == first
    assert await updates(store, pair.low) == []


async def test_the_window_ends_and_deleting_has_none(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a", "text")
    late = changes(store, 2 * WINDOW)
    assert await refused(late.edit(caller(pair.low), pair, 1, "late")) == "edit_window_over"
    await late.delete(caller(pair.low), pair, 1)
    assert (await stored(store, pair)).text == ""
    assert_audited(store)


async def test_a_deleted_message_leaves_its_place_and_no_word_anywhere(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a", "the first words")
    await store.send(pair, 1, "b", "reply")
    await changes(store).edit(caller(pair.low), pair, 1, "other words")
    await changes(store).delete(caller(pair.low), pair, 1)
    gone = await stored(store, pair)
    assert (gone.seq, gone.text, gone.client_id) == (1, "", "a")
    assert gone.deleted_at is not None
    assert (await store.view(pair.high, pair)).unread == 1
    for user_id in (pair.low, pair.high):
        _, events = await store.db.read(event_page, user_id, 0, 1_000)
        told = [event.body for event in events if isinstance(event.body, Message) and event.a == 1]
        assert told == [gone] * 3
    assert not [row for row in store.table("messages") if "words" in str(row)]
    assert_audited(store)


async def test_a_repeated_deletion_tells_nobody_and_ends_edits(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a", "text")
    await changes(store).delete(caller(pair.low), pair, 1)
    first = await stored(store, pair)
    await changes(store, 1_000).delete(caller(pair.low), pair, 1)
    assert await stored(store, pair) == first
    assert len(await updates(store, pair.high)) == 1
    assert await refused(changes(store).edit(caller(pair.low), pair, 1, "again")) == "message_deleted"


async def test_only_the_sender_changes_a_message(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a", "text")
    rules = changes(store)
    assert await refused(rules.edit(caller(pair.high), pair, 1, "mine")) == "not_sender"
    assert await refused(rules.delete(caller(pair.high), pair, 1)) == "not_sender"
    for seq in (0, 2, 9_999_999_999):
        assert await refused(rules.delete(caller(pair.low), pair, seq)) == "not_found"


@pytest.mark.parametrize("how", ["edited", "deleted"])
async def test_a_repeat_of_a_changed_message_returns_it_as_it_is(store: Store, how: str) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a", "as it was")
    if how == "edited":
        await changes(store).edit(caller(pair.low), pair, 1, "as it is")
    else:
        await changes(store).delete(caller(pair.low), pair, 1)
    now = await stored(store, pair)
    again = post(pair, 0, "a", "as it was")
    outcomes = [
        await store.apply(again),
        *await store.together(post(pair, 0, "new"), again, again),
        (await store.db.write(strangers.send, again, None, None, store.clock()))[0],
    ]
    replays = [outcome for outcome in outcomes if isinstance(outcome, Posted) and outcome.replayed]
    assert [replay.message for replay in replays] == [now] * 4
    [other] = await store.together(post(pair, 0, "a", "as it was", reply_to=1))
    assert isinstance(other, ApiError)
    assert other.code == "client_id_reused"
    assert_audited(store)


async def test_edits_from_all_sides_end_in_one_state_that_the_log_tells_last(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a", "text")
    rules = changes(store)
    await asyncio.gather(
        *(rules.edit(caller(pair.low), pair, 1, f"edit {number}") for number in range(20)),
        *(store.send(pair, 1, f"b{number}") for number in range(20)),
    )
    last = await stored(store, pair)
    for user_id in (pair.low, pair.high):
        told = [event for event in store.heard.of(user_id) if event.kind is Kind.MESSAGE_UPDATED]
        assert len(told) == 20
        assert told[-1].body == last
    assert_audited(store)


async def test_its_recipient_learns_nothing_of_a_withheld_message_that_changes(store: Store) -> None:
    ana, ben = await store.user(), await store.user()
    pair = await store.opened_by(ana, ben)
    await choose(store, ben, who_can_write=WhoCanWrite.NOBODY)
    new = post(pair, pair.side_of(ana.id), "a", "text")
    await store.db.write(strangers.send, new, None, None, store.clock())
    rules, told = changes(store), len(store.heard.of(ben.id))
    await rules.edit(caller(ana.id), pair, 1, "better")
    assert await refused(rules.edit(caller(ben.id), pair, 1, "mine")) == "not_found"
    assert await refused(rules.delete(caller(ben.id), pair, 1)) == "not_found"
    await rules.delete(caller(ana.id), pair, 1)
    assert len(await updates(store, ana.id)) == 2
    assert len(store.heard.of(ben.id)) == told
    [place] = await store.db.read(strangers.page_seen_after, ben.id, pair, 0, 9)
    assert (place.withheld, place.edited_at, place.deleted_at) == (True, None, None)
    assert_audited(store)


async def test_a_message_that_nobody_changed_names_no_change(store: Store) -> None:
    pair = await store.pair()
    await store.fill(pair, [0, 1, 0])
    found = await store.db.read(
        lambda tx: tx.all(
            "SELECT edited_at, deleted_at, reactions FROM messages WHERE chat_id = :chat_id",
            chat_id=pair.chat_id,
        )
    )
    assert found == [(None, None, None)] * 3
