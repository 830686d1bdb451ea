"""Users and their sessions: one for each number, gone when they go."""

from __future__ import annotations

import asyncio

import pytest

from duologue.model import Kind, User
from duologue.storage.append.batch import NoSuchChat
from duologue.storage.database import Posted
from duologue.storage.tables.accounts import (
    delete_user,
    end_sessions,
    live_sessions,
    sessions_by_token,
    touch_sessions,
    update_user,
    user_by_id,
    user_by_phone,
)
from duologue.storage.tables.chats import open_chat
from duologue.storage.tables.receipts import shown_marks
from duologue.storage.tables.replay import event_page
from duologue.storage.tables.sign_in import SESSIONS_PER_USER, NewSession, sign_in
from tests.contract.store import Store, mark, new_phone, opened, post
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio


async def test_a_number_is_one_user_however_often_it_signs_in(store_url: str) -> None:
    phone = new_phone()
    async with opened(store_url) as one, opened(store_url) as other:
        signed = await asyncio.gather(
            *(
                (one, other)[number % 2].db.join(sign_in, NewSession(phone, b"%d" % number, "", "", number))
                for number in range(20)
            )
        )
        assert len({user.id for user, _, _ in signed}) == 1
        assert [is_new for _, _, is_new in signed].count(True) == 1
        assert len(await one.db.read(live_sessions, signed[0][0].id)) == 20
    assert_sound(store_url)


async def test_a_number_written_to_first_is_the_same_user_after_signing_in(store: Store) -> None:
    one, phone = await store.user(), new_phone()
    pair = await store.db.write(open_chat, one.id, phone, store.clock())
    assert pair
    await store.send(pair, pair.side_of(one.id), "a")
    before = await store.db.read(user_by_phone, phone)
    user, _, is_new = await store.db.join(sign_in, NewSession(phone, b"t", "", "", store.clock()))
    assert before
    assert before.registered_at is None
    assert (user.id, is_new) == (before.id, True)
    await store.finish_chores()
    _, events = await store.db.read(event_page, user.id, 0, 10)
    kinds = [event.kind for event in events]
    assert kinds == [Kind.CHAT_UPDATED, Kind.MESSAGE_CREATED, Kind.SESSION_CREATED, Kind.USER_UPDATED]
    assert (await store.view(user.id, pair)).unread == 1
    told = [event.ref for event in store.heard.of(one.id) if event.kind == Kind.USER_UPDATED]
    assert user.id not in told, "its owner has answered nobody yet"


async def test_a_token_opens_its_session_until_that_ends(store: Store) -> None:
    user, session, _ = await store.db.join(sign_in, NewSession(new_phone(), b"token", "phone", "::1", 5))
    assert await store.db.find(sessions_by_token, b"token") == (session, user)
    assert await store.db.find(sessions_by_token, b"other") is None
    (ended,) = await store.db.write(end_sessions, user.id, [session.id, 77], 9)
    assert (ended.id, ended.ended_at) == (session.id, 9)
    assert await store.db.find(sessions_by_token, b"token") is None
    assert await store.db.write(end_sessions, user.id, [session.id], 10) == []
    kinds = [event.kind for event in store.heard.of(user.id)]
    assert kinds == [Kind.SESSION_CREATED, Kind.USER_UPDATED, Kind.SESSION_ENDED]


async def test_a_session_is_ended_by_nobody_else(store: Store) -> None:
    user, session, _ = await store.db.join(sign_in, NewSession(new_phone(), b"token", "", "", 5))
    stranger = await store.user()
    assert await store.db.write(end_sessions, stranger.id, [session.id], 9) == []
    assert await store.db.read(live_sessions, user.id) == [session]


async def test_one_session_too_many_ends_the_one_unused_for_longest(store: Store) -> None:
    phone = new_phone()
    sessions = []
    for number in range(SESSIONS_PER_USER):
        user, session, _ = await store.db.join(sign_in, NewSession(phone, b"%d" % number, "", "", number))
        sessions.append(session.id)
    await store.db.write(touch_sessions, {sessions[0]: 1000, sessions[1]: 1000})
    await store.db.join(sign_in, NewSession(phone, b"last", "", "", 2000))
    live = await store.db.read(live_sessions, user.id)
    assert len(live) == SESSIONS_PER_USER
    assert {session.id for session in live} >= set(sessions) - {sessions[2]}
    assert [event.ref for event in store.heard.of(user.id) if event.kind is Kind.SESSION_ENDED] == [
        sessions[2]
    ]


async def test_last_seen_only_moves_forward(store: Store) -> None:
    user, session, _ = await store.db.join(sign_in, NewSession(new_phone(), b"t", "", "", 100))
    for seen in (300, 200):
        await store.db.write(touch_sessions, {session.id: seen, 77: seen})
    assert [found.last_seen_at for found in await store.db.read(live_sessions, user.id)] == [300]


async def test_a_new_name_is_told_to_oneself_and_ones_peers(store: Store) -> None:
    one, peer, stranger = [await store.user() for _ in range(3)]
    await store.pair_of(one, peer)
    told = {user.id: len(store.heard.of(user.id)) for user in (one, peer, stranger)}
    changed = await store.db.write(update_user, one.id, "Ana", store.clock(), read_receipts=None)
    assert changed == User(one.id, one.phone, "Ana", one.registered_at, True, one.created_at)
    await store.finish_chores()
    assert len(store.heard.of(one.id)) == told[one.id] + 1
    assert len(store.heard.of(peer.id)) == told[peer.id] + 1
    assert len(store.heard.of(stranger.id)) == told[stranger.id]


async def test_a_preference_is_told_to_oneself_alone(store: Store) -> None:
    pair = await store.pair()
    told = len(store.heard.of(pair.high))
    changed = await store.db.write(update_user, pair.low, None, store.clock(), read_receipts=False)
    assert changed
    assert not changed.read_receipts
    assert store.heard.of(pair.low)[-1].body == changed
    assert len(store.heard.of(pair.high)) == told
    again = len(store.heard.events)
    assert await store.db.write(update_user, pair.low, "", store.clock(), read_receipts=False) == changed
    assert len(store.heard.events) == again


async def test_a_deleted_user_leaves_its_messages_and_nothing_else(store: Store) -> None:
    pair = await store.pair()
    sent = await store.fill(pair, [0, 1, 0])
    before = await store.db.read(user_by_id, pair.low)
    assert before
    assert before.phone
    (session,) = await store.db.read(live_sessions, pair.low)
    assert await store.db.write(delete_user, pair.low, store.clock()) == [session.id]
    gone = await store.db.read(user_by_id, pair.low)
    assert gone
    assert (gone.phone, gone.display_name, gone.registered_at) == (None, "", None)
    assert await store.db.find(sessions_by_token, before.phone.encode()) is None
    assert await store.log_span(pair.low) == (0, 0)
    await store.finish_chores()
    for name in ("sessions", "events", "logs"):
        assert {row[0] for row in store.table(name)} == {pair.high}
    chat = await store.view(pair.high, pair)
    assert chat.peer == gone
    assert chat.last_message == sent[-1]
    assert await store.all_messages(pair) == sent
    last = store.heard.of(pair.high)[-1]
    assert (last.kind, last.ref) == (Kind.USER_UPDATED, pair.low)
    assert_sound(store.url)


async def test_the_next_owner_of_a_number_starts_afresh(store: Store) -> None:
    one, other = await store.user(), await store.user()
    old = await store.pair_of(one, other)
    await store.fill(old, [0, 1])
    await store.db.write(delete_user, one.id, store.clock())
    await store.finish_chores()
    with pytest.raises(NoSuchChat):
        await store.apply(post(old, old.side_of(other.id), "to the dead"))
    heir = await store.user(one.phone)
    assert heir.id != one.id
    new = await store.pair_of(other, heir)
    assert new.chat_id != old.chat_id
    assert (await store.view(heir.id, new)).last_seq == 0
    posted = await store.apply(post(new, 0, "a"))
    assert isinstance(posted, Posted)
    assert posted.message.seq == 1
    assert_sound(store.url)


async def test_deleting_twice_is_harmless(store: Store) -> None:
    pair = await store.pair()
    await store.db.write(delete_user, pair.low, store.clock())
    assert await store.db.write(delete_user, pair.low, store.clock()) == []
    await store.finish_chores()
    assert [event.ref for event in store.heard.of(pair.high) if event.kind is Kind.USER_UPDATED].count(
        pair.low
    ) == 1
    assert_sound(store.url)


async def test_what_a_deleted_user_had_read_stays_read(store: Store) -> None:
    """Marks only rise: the sender's `read` must not turn into `sent` because the reader left."""
    pair = await store.pair()
    await store.fill(pair, [0, 0, 1])
    await store.apply(mark(pair, 1, delivered=3, read=2))
    await store.db.write(delete_user, pair.high, store.clock())
    chat = await store.view(pair.low, pair)
    assert (chat.peer_delivered, chat.peer_read) == (3, 2)
    assert (await store.db.read(shown_marks, pair)).of[pair.low] == (3, 2)


async def test_a_deleted_user_changes_nothing_any_more(store: Store) -> None:
    """A request of theirs may be under way on another node while they delete the account."""
    pair, other = await store.pair(), await store.user()
    await store.db.write(delete_user, pair.low, store.clock())
    told = len(store.heard.events)
    assert await store.db.write(update_user, pair.low, "ghost", store.clock(), read_receipts=False) is None
    gone = await store.db.read(user_by_id, pair.low)
    assert gone
    assert gone.display_name == ""
    await store.db.write(open_chat, pair.low, other.phone or "", store.clock())
    assert store.count("chats") == 1
    assert len(store.heard.events) == told
