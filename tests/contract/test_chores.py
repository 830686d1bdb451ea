"""What one request leaves to be done for many is done in small steps: once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from duologue.core.chores import Chores
from duologue.model import Event, Kind, User, new_id, pair_id
from duologue.storage.accounts import (
    NEWS_REST,
    delete_user,
    end_sessions,
    live_sessions,
    session_by_token,
    sessions_by_token,
    sign_in,
    standings,
    touch_sessions,
    update_user,
    user_by_id,
)
from duologue.storage.audit import audit
from duologue.storage.chats import open_chat, peers_last_seen
from duologue.storage.database import Row, Tx
from duologue.storage.erasure import ERASED_AT_ONCE, erase_some, next_erasure
from duologue.storage.events import log_head, trim_logs
from duologue.storage.profile_news import (
    PEERS_TOLD,
    TOLD_AT_ONCE,
    begin_news,
    fresh_news,
    next_news,
    peers_to_tell,
    tell_news,
)
from duologue.storage.quotas import Quota, QuotaExceeded
from duologue.storage.replay import event_page
from tests.contract.store import Store, new_phone, opened
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio

NOW = 1_000_000


class Counting:
    """A `Tx` that counts its statements, and the rows that it writes."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.statements = 0
        self.written = 0

    def one(self, sql: str, **params: Any) -> Row | None:
        found = self.all(sql, **params)
        return found[0] if found else None

    def all(self, sql: str, **params: Any) -> list[Row]:
        self.statements += 1
        found = self._tx.all(sql, **params)
        self.written += len(found) if sql.startswith(("UPDATE", "INSERT", "DELETE")) else 0
        return found

    def run(self, sql: str, **params: Any) -> int:
        self.statements += 1
        touched = self._tx.run(sql, **params)
        self.written += touched
        return touched

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        rows = list(rows)
        self.statements += 1
        self.written += len(rows)
        self._tx.many(sql, rows)

    def lock_logs(self) -> None:
        self._tx.lock_logs()

    def emit(self, events: Iterable[Event]) -> None:
        self._tx.emit(events)


async def counted(store: Store, function: Callable[..., Any], *args: Any) -> Counting:
    """What a transaction with this storage function costs."""

    def count(tx: Tx) -> Counting:
        counting = Counting(tx)
        function(counting, *args)
        return counting

    return await store.db.write(count)


def give_peers(tx: Tx, user_id: int, count: int) -> list[int]:
    """Chats of a user with so many others, the one that is active last first."""
    peers = [new_id() for _ in range(count)]
    tx.many("INSERT INTO users (id, registered_at, created_at) VALUES (?, 1, 1)", [(peer,) for peer in peers])
    tx.many("INSERT INTO logs (user_id, last_seq) VALUES (?, 0)", [(peer,) for peer in peers])
    tx.many(
        "INSERT INTO members (user_id, chat_id, peer_id, activity) VALUES (?, ?, ?, ?)",
        [
            (user_id, pair_id(min(user_id, peer), max(user_id, peer)), peer, count - number)
            for number, peer in enumerate(peers)
        ],
    )
    return peers


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
    """Whose logs tell of this user, each as often as they do."""
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


async def long_ago(store: Store, events: int, sessions: int) -> User:
    """Somebody with a long log, and many sessions that have ended."""
    user = await store.user()

    def fill(tx: Tx) -> None:
        tx.many(
            "INSERT INTO events (user_id, seq, kind, ref, a, b, at) VALUES (?, ?, 5, ?, 0, 0, 1)",
            [(user.id, seq, user.id) for seq in range(3, 3 + events)],
        )
        tx.run("UPDATE logs SET last_seq = last_seq + :events WHERE user_id = :id", events=events, id=user.id)
        tx.many(
            "INSERT INTO sessions (id, user_id, device_name, ip, created_at, last_seen_at, ended_at)"
            " VALUES (?, ?, '', '', ?, ?, ?)",
            [(new_id(), user.id, number, number, number) for number in range(sessions)],
        )

    await store.db.write(fill)
    return user


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
    user, session, _ = await store.db.write(sign_in, phone, b"token", "", "", NOW)
    peer = await store.user()
    await store.db.write(open_chat, user.id, peer.phone or "", NOW)
    assert await store.db.write(delete_user, user.id, NOW) == [session.id]
    assert await store.db.read(session_by_token, b"token") is None
    assert await store.db.read(sessions_by_token, [b"token"]) == {}
    assert await store.db.read(standings, [session.id]) == {}
    assert await store.db.read(event_page, user.id, 0, 100) == []
    assert (await store.db.read(log_head, user.id)).last_seq == 0
    assert store.heard.of(user.id)[-1].kind is Kind.USER_UPDATED, "what ends the sockets, on every node"
    heir, _, is_new = await store.db.write(sign_in, phone, b"heir", "", "", NOW)
    assert is_new
    assert heir.id != user.id
    await store.finish_chores()
    assert [event.ref for event in await store.db.read(event_page, heir.id, 0, 100)][1:] == [heir.id]
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


async def test_many_sessions_end_in_a_few_statements(store: Store) -> None:
    phone = new_phone()
    for number in range(50):
        user, session, _ = await store.db.write(sign_in, phone, b"%d" % number, "", "", NOW)
    others = [each.id for each in await store.db.read(live_sessions, user.id) if each.id != session.id]
    cost = await counted(store, end_sessions, user.id, others, NOW)
    assert cost.statements == 3
    assert Counter(event.ref for event in store.heard.of(user.id)[-49:]) == Counter(others)
    assert_sound(store.url)


async def test_watching_many_is_one_statement(store: Store) -> None:
    user, peers = await store.user(), [await store.user() for _ in range(20)]
    strangers = [await store.user() for _ in range(20)]
    for peer in peers:
        await store.pair_of(user, peer)
    asked = [each.id for each in (*peers, *strangers, user)] * 2
    cost = await counted(store, peers_last_seen, user.id, asked)
    assert cost.statements == 1
    seen = await store.db.read(peers_last_seen, user.id, asked)
    assert seen.keys() == {peer.id for peer in peers}


async def test_somebody_was_last_seen_with_whichever_device_that_was(store: Store) -> None:
    user, peer = await store.user(), await long_ago(store, 0, 50)
    await store.pair_of(user, peer)
    (live,) = await store.db.read(live_sessions, peer.id)

    async def last_seen() -> int | None:
        return (await store.db.read(peers_last_seen, user.id, [peer.id]))[peer.id]

    assert await last_seen() == live.last_seen_at
    await store.db.write(touch_sessions, {live.id: live.last_seen_at + 5})
    assert await last_seen() == live.last_seen_at + 5
    await store.db.write(end_sessions, peer.id, [live.id], live.last_seen_at + 9)
    assert await last_seen() == live.last_seen_at + 5
    _, tablet, _ = await store.db.write(sign_in, peer.phone or "", b"t", "", "", live.last_seen_at + 3)
    assert tablet.last_seen_at < live.last_seen_at + 5
    assert await last_seen() == live.last_seen_at + 5


async def test_a_step_of_retention_forgets_few_sessions(store: Store) -> None:
    """Those whose end it has just dropped from the log, and no other."""
    phone = new_phone()
    for number in range(4):
        user, session, _ = await store.db.write(sign_in, phone, b"%d" % number, "", "", NOW + number)
        if number:
            await store.db.write(end_sessions, user.id, [session.id], NOW + number)
    assert len([row for row in store.table("sessions") if row[0] == user.id]) == 4
    await store.db.write(trim_logs, -1, NOW + 3)
    left = {row[1] for row in store.table("sessions") if row[0] == user.id}
    assert len(left) == 2
    assert session.id in left
    assert (await store.db.read(audit)).findings == []
