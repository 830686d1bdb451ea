"""A store that fails: nothing acknowledged is lost, nothing unacknowledged is guessed at."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from duologue.errors import ApiError
from duologue.model import Pair
from duologue.storage.database import Posted
from duologue.storage.engine.engines import migrate
from duologue.storage.tables.accounts import sessions_by_token, user_by_id
from duologue.storage.tables.chats import open_chat
from duologue_lab.servers.postgres import PostgresServer, postgres_server
from tests.contract.store import PATIENCE, Store, contents, mark, new_phone, opened, post
from tests.contract.truth import assert_sound
from tests.contract.wire import wire_to

pytestmark = pytest.mark.anyio


class Crowd:
    """Senders that repeat a post, under the same key, until it is acknowledged."""

    def __init__(self, store: Store, pairs: list[Pair]) -> None:
        self._store = store
        self._pairs = pairs
        self._over = False
        self._news = asyncio.Condition()
        self.acks: dict[str, Posted] = {}

    async def send(self, sender: int) -> None:
        number = 0
        while not self._over:
            key = f"{sender}-{number}"
            await self._until_acknowledged(key, self._pairs[(sender + number) % len(self._pairs)])
            number += 1

    async def _until_acknowledged(self, key: str, pair: Pair) -> None:
        while key not in self.acks:
            try:
                posted = await self._store.apply(post(pair, len(key) % 2, key))
            except ApiError as refused:
                assert refused.code == "overloaded"  # noqa: PT017 - most of the time nothing is raised
                continue
            assert isinstance(posted, Posted)
            async with self._news:
                self.acks[key] = posted
                self._news.notify_all()

    async def open_chats(self, user_id: int) -> None:
        while not self._over:
            try:
                await self._store.db.write(open_chat, user_id, new_phone(), self._store.clock())
            except ApiError as refused:
                assert refused.code == "overloaded"  # noqa: PT017

    async def wait_for(self, more: int) -> None:
        """Until so many more posts were acknowledged."""
        goal = len(self.acks) + more
        async with self._news, asyncio.timeout(PATIENCE):
            await self._news.wait_for(lambda: len(self.acks) >= goal)

    def disperse(self) -> None:
        self._over = True


async def test_a_server_that_dies_under_load_loses_nothing(server: PostgresServer, url: str) -> None:
    async with opened(url) as store:
        one = await store.user()
        pairs = [await store.pair_of(one, await store.user()) for _ in range(3)]
        crowd = Crowd(store, pairs)
        async with asyncio.TaskGroup() as tasks:
            for sender in range(20):
                tasks.create_task(crowd.send(sender))
            tasks.create_task(crowd.open_chats(one.id))
            for kill in (True, False, True):
                await crowd.wait_for(300)
                await asyncio.to_thread(server.restart, kill=kill)
            await crowd.wait_for(300)
            crowd.disperse()
        assert store.heard.doubts
        found = {message.client_id: message for pair in pairs for message in await store.all_messages(pair)}
        assert found == {key: posted.message for key, posted in crowd.acks.items()}
        told = [(event.user_id, event.seq) for event in store.heard.events]
        assert len(told) == len(set(told))
        assert set(told) <= {(user, seq) for user, seq, *_ in contents(url)["events"]}
    assert_sound(url)


async def test_an_outage_is_overloaded_and_then_over(server: PostgresServer, url: str) -> None:
    async with opened(url) as store:
        pair = await store.pair()
        server.stop()
        try:
            failed = await asyncio.gather(
                store.apply(post(pair, 0, "a")),
                store.db.read(user_by_id, pair.low),
                store.db.find(sessions_by_token, b"token"),
                store.db.find(sessions_by_token, b"another"),
                store.db.write(open_chat, pair.low, new_phone(), store.clock()),
                return_exceptions=True,
            )
        finally:
            server.start()
        assert [getattr(fault, "code", fault) for fault in failed] == ["overloaded"] * 5
        assert (await store.send(pair, 0, "a")).seq == 1
        assert await store.db.read(user_by_id, pair.low)
        assert await store.db.find(sessions_by_token, b"token") is None
    assert_sound(url)


async def test_a_node_may_start_while_its_database_is_away(server: PostgresServer, url: str) -> None:
    """The schema was looked at a moment before; a worker that replaces another doesn't look at it at all."""
    async with opened(url) as store:
        pair = await store.pair()
    server.stop()
    async with opened(url) as store:
        try:
            with pytest.raises(ApiError) as refused:
                await store.send(pair, 0, "a")
        finally:
            server.start()
        assert refused.value.code == "overloaded"
        assert (await store.send(pair, 0, "a")).seq == 1
    assert_sound(url)


async def test_an_answer_lost_after_the_commit_is_found_again(postgres_url: str) -> None:
    migrate(postgres_url)
    async with opened(postgres_url) as store:
        pair = await store.pair()
    async with wire_to(postgres_url) as wire, opened(wire.url) as store:
        wire.cut_after(b"the unheard one")
        outcomes = await store.together(
            post(pair, 0, "a", "one"), post(pair, 0, "b", "the unheard one"), mark(pair, 1, read=0)
        )
        assert wire.cuts == 1
        assert [outcome.message.seq for outcome in outcomes[:2]] == [1, 2]  # type: ignore[union-attr]
        assert store.heard.doubts == 2, "at the loss, and when the store has answered again"
        assert (await store.send(pair, 1, "c")).seq == 3
        assert store.heard.doubts == 2, "at the loss, and when the store has answered again"
        assert len(await store.all_messages(pair)) == 3
    assert_sound(postgres_url)


async def test_a_lost_connection_is_doubted_before_the_store_is_back() -> None:
    """Until then other nodes may be sooner, and tell of a store that has gone back to an older state."""
    with postgres_server() as server:
        migrate(server.url())
        async with opened(server.url()) as store:
            pair = await store.pair()
            await store.send(pair, 0, "a")
            assert store.heard.doubts == 0
            server.stop()
            with pytest.raises(ApiError):
                await store.send(pair, 0, "b")
            await asyncio.sleep(0)
            assert store.heard.doubts


async def test_an_answer_lost_after_a_storage_functions_commit_is_doubted(postgres_url: str) -> None:
    migrate(postgres_url)
    phone = new_phone()
    async with opened(postgres_url) as store:
        user = await store.user()
    async with wire_to(postgres_url) as wire, opened(wire.url) as store:
        wire.cut_after(b"COMMIT")
        pair = await store.db.write(open_chat, user.id, phone, store.clock())
        assert wire.cuts == 1
        assert pair
        assert (await store.view(user.id, pair)).peer.phone == phone
        assert store.heard.doubts == 2, "at the loss, and when the store has answered again"
    assert_sound(postgres_url)


async def test_a_full_disk_is_overloaded_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/duologue.db"
    migrate(url)
    async with opened(url) as store:
        pair = await store.pair()
        connection = store.db._connection  # type: ignore[union-attr]
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        accepted: list[str] = []

        async def fill_up() -> None:
            for number in range(100):
                await store.send(pair, 0, f"key-{number}", "x" * 4000)
                accepted.append(f"key-{number}")

        with pytest.raises(ApiError) as refused:
            await fill_up()
        assert refused.value.code == "overloaded"
        told = len(store.heard.of(pair.high))
        assert [message.client_id for message in await store.all_messages(pair)] == accepted
        outcomes = await store.together(*(post(pair, 0, f"more-{n}", "x" * 4000) for n in range(9)))
        assert [getattr(outcome, "code", outcome) for outcome in outcomes] == ["overloaded"] * 9
        connection.execute("PRAGMA max_page_count = 1000000")
        again = await store.send(pair, 0, f"key-{len(accepted)}", "x" * 4000)
        assert again.seq == len(accepted) + 1
        assert len(store.heard.of(pair.high)) == told + 1
    assert_sound(url)


async def test_closing_in_an_outage_answers_everybody_at_once(server: PostgresServer, url: str) -> None:
    async with opened(url) as store:
        pair = await store.pair()
        server.stop()
        waiting = asyncio.gather(
            store.apply(post(pair, 0, "a")),
            store.apply(mark(pair, 0, read=0)),
            store.db.read(user_by_id, pair.low),
            store.db.find(sessions_by_token, b"token"),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
    try:
        assert [getattr(answer, "code", answer) for answer in await waiting] == ["overloaded"] * 4
    finally:
        server.start()


async def test_behind_a_pooler_nothing_is_prepared(postgres_url: str) -> None:
    """As PgBouncer needs it that gives each transaction another connection."""
    migrate(postgres_url)
    async with opened(f"{postgres_url}&prepare=off") as store:
        pair = await store.pair()
        for number in range(10):
            await store.send(pair, 0, f"{number}")
        link = store.db._link.line().connection  # type: ignore[union-attr]
        assert link.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        assert len(await store.all_messages(pair)) == 10
