"""A deleted user is gone at once, and erased in small steps afterwards."""

from __future__ import annotations

import asyncio

import pytest

from duologue.model import Kind
from duologue.storage.audit.audit import audit
from duologue.storage.tables.accounts import (
    arrivals,
    delete_user,
    is_session_lost,
    live_sessions,
    sessions_by_token,
    standings,
)
from duologue.storage.tables.chats import open_chat
from duologue.storage.tables.erasure import ERASED_AT_ONCE, erase_some, next_erasure
from duologue.storage.tables.events import NOWHERE, log_head
from duologue.storage.tables.replay import event_page
from duologue.storage.tables.sign_in import NewSession, sign_in
from tests.contract.costs import NOW, counted, give_peers, long_ago
from tests.contract.store import Store, new_phone, opened
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio


async def test_a_deletion_costs_the_same_however_much_there_is_to_delete(store: Store) -> None:
    light, heavy = await store.user(), await long_ago(store, 2_000, 600)
    for user in (light, heavy):
        await store.db.write(give_peers, user.id, 200 if user is heavy else 1)
    costs = [await counted(store, delete_user, user.id, NOW) for user in (light, heavy)]
    assert costs[0].statements == costs[1].statements < 12
    assert costs[0].written == costs[1].written < 8
    steps = []
    while await store.db.read(next_erasure) is not None:
        steps.append(await counted(store, erase_some, NOW))
    assert max(step.written for step in steps) <= ERASED_AT_ONCE + 2
    assert max(step.statements for step in steps) <= 8
    assert len(steps) > 4
    await store.finish_chores()
    gone = {light.id, heavy.id}
    for name in ("sessions", "events", "logs"):
        assert not {row[0] for row in store.table(name)} & gone, name
    assert store.table("events")


async def test_a_deleted_user_is_gone_at_once_though_not_yet_erased(store: Store) -> None:
    phone = new_phone()
    user, session, _ = await store.db.join(sign_in, NewSession(phone, b"token", "", "", NOW))
    peer = await store.user()
    await store.db.write(open_chat, user.id, peer.phone or "", NOW)
    assert await store.db.write(delete_user, user.id, NOW) == [session.id]
    assert await store.db.find(sessions_by_token, b"token") is None
    assert await store.db.read(sessions_by_token, [b"token"]) == {}
    assert await store.db.read(standings, [session.id]) == {}
    assert await store.db.read(event_page, user.id, 0, 100) == (0, [])
    assert await store.db.read(log_head, user.id) is None
    assert await store.db.read(arrivals, [(session.id, NOWHERE)]) == {}
    assert not await store.db.read(is_session_lost, session.id, user.id)
    assert store.heard.of(user.id)[-1].kind is Kind.USER_UPDATED, "what ends the sockets, on every node"
    heir, _, is_new = await store.db.join(sign_in, NewSession(phone, b"heir", "", "", NOW))
    assert is_new
    assert heir.id != user.id
    await store.finish_chores()
    assert not await store.db.read(is_session_lost, session.id, user.id), "erased, but not lost"
    _, events = await store.db.read(event_page, heir.id, 0, 100)
    assert [event.ref for event in events][1:] == [heir.id]
    assert len(await store.db.read(live_sessions, heir.id)) == 1


@pytest.mark.parametrize("steps", range(4))
async def test_a_database_is_sound_between_the_steps_of_a_deletion(store: Store, steps: int) -> None:
    user, peer = await long_ago(store, 600, 600), await store.user()
    await store.db.write(open_chat, peer.id, user.phone or "", NOW)
    await store.db.write(delete_user, user.id, NOW)
    for _ in range(steps):
        await store.db.write(erase_some, NOW)
    assert (await store.db.read(audit)).findings == []
    assert_sound(store.url)


async def test_two_nodes_erase_together(store_url: str) -> None:
    async with opened(store_url) as one, opened(store_url) as other:
        user = await long_ago(one, 3 * ERASED_AT_ONCE, 0)
        await one.db.write(delete_user, user.id, NOW)
        for _ in range(3):
            await asyncio.gather(*(store.db.write(erase_some, NOW) for store in (one, other)))
        assert await one.db.read(next_erasure) is None
        assert one.count("events") == 0
