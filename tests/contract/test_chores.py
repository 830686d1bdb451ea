"""Work that one request leaves for many users is done in small steps: once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from duologue.core.chores import Chores
from duologue.model import Kind, User
from duologue.storage.audit.audit import audit
from duologue.storage.database import Tx
from duologue.storage.tables.accounts import (
    NEWS_REST,
    end_sessions,
    live_sessions,
    touch_sessions,
    update_user,
    user_by_id,
)
from duologue.storage.tables.chats import peers_last_seen
from duologue.storage.tables.events import trim_logs
from duologue.storage.tables.profile_news import (
    PEERS_TOLD,
    TOLD_AT_ONCE,
    begin_news,
    fresh_news,
    next_news,
    peers_to_tell,
    tell_news,
)
from duologue.storage.tables.quotas import Quota, QuotaExceeded
from duologue.storage.tables.sign_in import NewSession, sign_in
from tests.contract.costs import NOW, counted, give_peers, long_ago
from tests.contract.store import Store, new_phone, opened
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio


async def popular(store: Store, count: int) -> tuple[User, list[int]]:
    """Somebody with so many peers."""
    user = await store.user()
    return user, await store.db.write(give_peers, user.id, count)


async def begun(store: Store) -> None:
    """The next telling has begun, and nobody is told yet."""
    for user_id, changes in await store.db.read(fresh_news, NOW):
        peers = await store.db.read(peers_to_tell, user_id)
        await store.db.write(begin_news, user_id, changes, peers)


async def rename(store: Store, user: User, name: str, now: int = NOW) -> None:
    await store.db.write(update_user, user.id, name, now)


def told(store: Store, user: User) -> list[int]:
    """Return the users whose logs tell of this user, each as often as they do."""
    return [
        event.user_id
        for event in store.heard.events
        if event.kind is Kind.USER_UPDATED and event.ref == user.id != event.user_id
    ]


async def test_a_change_of_name_costs_the_same_with_a_thousand_chats_as_with_one(store: Store) -> None:
    (few, _), (many, peers) = await popular(store, 1), await popular(store, PEERS_TOLD)
    costs = [await counted(store, update_user, user.id, "Ana", NOW) for user in (few, many)]
    assert costs[0].statements == costs[1].statements < 12
    assert costs[0].written == costs[1].written < 6
    await begun(store)
    steps = []
    while len(told(store, many)) < PEERS_TOLD:
        steps.append(await counted(store, tell_news, NOW))
    assert max(step.written for step in steps) <= 2 * TOLD_AT_ONCE + 10, "two rows a peer"
    assert max(step.statements for step in steps) <= 30
    assert Counter(told(store, many)) == Counter(peers)


async def test_the_peers_with_the_most_recently_active_chats_are_told_first(store: Store) -> None:
    user, peers = await popular(store, PEERS_TOLD + 5)
    await rename(store, user, "Ana")
    await begun(store)
    await store.db.write(tell_news, NOW)
    assert set(told(store, user)) == set(peers[:TOLD_AT_ONCE])
    await store.finish_chores()
    assert set(told(store, user)) == set(peers[:PEERS_TOLD])


async def test_two_nodes_tell_nobody_twice(store_url: str) -> None:
    async with opened(store_url, lambda: NOW) as one, opened(store_url, lambda: NOW) as other:
        user, peers = await popular(one, 3 * TOLD_AT_ONCE)
        await rename(one, user, "Ana")

        async def work(store: Store) -> None:
            chores = Chores(store.db, lambda: NOW)
            while len(told(one, user)) + len(told(other, user)) < len(peers):
                await chores.step()

        await asyncio.gather(work(one), work(other), work(one))
        assert Counter(told(one, user) + told(other, user)) == Counter(peers)


async def test_what_a_crash_interrupts_goes_on_where_it_stood(store_url: str) -> None:
    async with opened(store_url) as store:
        user, peers = await popular(store, 2 * TOLD_AT_ONCE)
        await rename(store, user, "Ana")
        await begun(store)
        await store.db.write(tell_news, NOW)
        before = told(store, user)

        def crash(tx: Tx) -> None:
            tell_news(tx, NOW)
            raise KeyError

        with pytest.raises(KeyError):
            await store.db.write(crash)
        assert told(store, user) == before
    async with opened(store_url) as store:
        await store.finish_chores()
        assert Counter(before + told(store, user)) == Counter(peers)


async def test_every_peer_ends_with_the_newest_name(store: Store) -> None:
    """A change in the middle of the telling begins it anew, for whoever is a peer by then."""
    user, peers = await popular(store, 2 * TOLD_AT_ONCE)
    await rename(store, user, "Ana")
    await begun(store)
    await store.db.write(tell_news, NOW)
    peers += await store.db.write(give_peers, user.id, 1)
    await rename(store, user, "Anna")
    await store.finish_chores()
    newest = {
        event.user_id: event.body.display_name
        for event in store.heard.events
        if isinstance(event.body, User) and event.ref == user.id
    }
    assert newest == dict.fromkeys([user.id, *peers], "Anna")
    assert len(told(store, user)) == TOLD_AT_ONCE + len(peers)


async def test_changes_of_one_moment_are_told_once(store: Store) -> None:
    user, peers = await popular(store, 3)
    for name in ("A", "An", "Ana"):
        await rename(store, user, name)
    await begun(store)
    await store.db.write(tell_news, NOW)
    assert Counter(told(store, user)) == Counter(peers), "the first telling"
    for name in ("B", "Be", "Ben"):
        await rename(store, user, name)
    await begun(store)
    await store.db.write(tell_news, NOW)
    assert len(told(store, user)) == 3, "the next one waits"
    assert await store.db.read(next_news) == NOW + NEWS_REST
    await store.finish_chores()
    assert Counter(told(store, user)) == Counter(peers * 2)
    assert len([event for event in store.heard.of(user.id) if event.kind is Kind.USER_UPDATED]) == 1 + 6


async def test_peers_looked_up_before_another_change_are_not_taken(store: Store) -> None:
    user, peers = await popular(store, 1)
    await rename(store, user, "Ana")
    [(_, changes)] = await store.db.read(fresh_news, NOW)
    newcomers = await store.db.write(give_peers, user.id, 1)
    await rename(store, user, "Anna")
    await store.db.write(begin_news, user.id, changes, peers)
    await store.finish_chores()
    assert Counter(told(store, user)) == Counter(peers + newcomers)


async def test_somebody_with_few_peers_does_not_wait_for_somebody_with_many(store: Store) -> None:
    (many, _), (few, peers) = await popular(store, PEERS_TOLD), await popular(store, 2)
    await rename(store, many, "Many", NOW - 1)
    await rename(store, few, "Few")
    await begun(store)
    for _ in range(2):
        await store.db.write(tell_news, NOW + 1)
    assert Counter(told(store, few)) == Counter(peers)


async def test_somebody_without_chats_leaves_nothing_to_tell(store: Store) -> None:
    user = await store.user()
    await rename(store, user, "Ana")
    assert await store.db.read(next_news) is None
    assert store.heard.of(user.id)[-1].kind is Kind.USER_UPDATED


async def test_a_name_over_the_allowance_changes_nothing(store: Store) -> None:
    user, allowance = await store.user(), [Quota("profile", 1, 1000)]

    async def change(name: str | None, *, receipts: bool | None = None) -> User | None:
        return await store.db.write(
            update_user, user.id, name, NOW, read_receipts=receipts, allowance=allowance
        )

    await change("Ana")
    await change("Ana", receipts=False)
    await change(None, receipts=True)
    with pytest.raises(QuotaExceeded):
        await change("Anna", receipts=False)
    found = await store.db.read(user_by_id, user.id)
    assert found
    assert (found.display_name, found.read_receipts) == ("Ana", True)


async def test_many_sessions_end_in_a_few_statements(store: Store) -> None:
    phone = new_phone()
    for number in range(50):
        user, session, _ = await store.db.join(sign_in, NewSession(phone, b"%d" % number, "", "", NOW))
    others = [each.id for each in await store.db.read(live_sessions, user.id) if each.id != session.id]
    cost = await counted(store, end_sessions, user.id, others, NOW)
    assert cost.statements == 3
    assert Counter(event.ref for event in store.heard.of(user.id)[-49:]) == Counter(others)
    assert_sound(store.url)


async def test_watching_many_is_a_few_statements(store: Store) -> None:
    user, peers = await store.user(), [await store.user() for _ in range(20)]
    strangers = [await store.user() for _ in range(20)]
    for peer in peers:
        await store.pair_of(user, peer)
    asked = [each.id for each in (*peers, *strangers, user)] * 2
    cost = await counted(store, peers_last_seen, user.id, asked)
    assert cost.statements == 3
    seen = (await store.db.read(peers_last_seen, user.id, asked)).seen
    assert seen.keys() == {peer.id for peer in peers}


async def test_somebody_was_last_seen_with_whichever_device_that_was(store: Store) -> None:
    user, peer = await store.user(), await long_ago(store, 0, 50)
    await store.pair_of(user, peer)
    (live,) = await store.db.read(live_sessions, peer.id)

    async def last_seen() -> int | None:
        return (await store.db.read(peers_last_seen, user.id, [peer.id])).seen[peer.id]

    assert await last_seen() == live.last_seen_at
    await store.db.write(touch_sessions, {live.id: live.last_seen_at + 5})
    assert await last_seen() == live.last_seen_at + 5
    await store.db.write(end_sessions, peer.id, [live.id], live.last_seen_at + 9)
    assert await last_seen() == live.last_seen_at + 5
    _, tablet, _ = await store.db.join(
        sign_in, NewSession(peer.phone or "", b"t", "", "", live.last_seen_at + 3)
    )
    assert tablet.last_seen_at < live.last_seen_at + 5
    assert await last_seen() == live.last_seen_at + 5


async def test_a_step_of_retention_forgets_few_sessions(store: Store) -> None:
    """Those whose end it has just dropped from the log, and no other."""
    phone = new_phone()
    for number in range(4):
        user, session, _ = await store.db.join(
            sign_in, NewSession(phone, b"%d" % number, "", "", NOW + number)
        )
        if number:
            await store.db.write(end_sessions, user.id, [session.id], NOW + number)
    assert len([row for row in store.table("sessions") if row[0] == user.id]) == 4
    await store.db.write(trim_logs, -1, NOW + 3)
    left = {row[1] for row in store.table("sessions") if row[0] == user.id}
    assert len(left) == 2
    assert session.id in left
    assert (await store.db.read(audit)).findings == []


async def test_a_peer_whose_chat_was_moved_can_be_watched(store: Store) -> None:
    """After two accounts became one, their chats keep the ids that they had."""
    user, peer = await store.user(), await store.user()
    low, high = sorted((user.id, peer.id))

    def move(tx: Tx) -> None:
        tx.run(
            "INSERT INTO chats (id, low_user, high_user, created_at) VALUES (7, :high, :low, 1)",
            low=low,
            high=high,
        )
        tx.run(
            "INSERT INTO moved_chats (chat_id, low_user, high_user) VALUES (7, :low, :high)",
            low=low,
            high=high,
        )
        tx.run(
            "INSERT INTO members (user_id, chat_id, peer_id, known) VALUES (:peer, 7, :user, 2)",
            peer=peer.id,
            user=user.id,
        )

    assert (await store.db.read(peers_last_seen, user.id, [peer.id])).seen == {}
    await store.db.write(move)
    seen = (await store.db.read(peers_last_seen, user.id, [peer.id])).seen
    assert seen.keys() == {peer.id}
    assert seen[peer.id] is not None
