"""Alarms: whose message raises one, when it is due, and how long it stays."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from duologue.clock import SECOND
from duologue.core.delivery.offline import answer_alarms
from duologue.core.delivery.sms_relay import SmsRelay, alarm_rule
from duologue.model import NEVER, Relay, User, alarm_after
from duologue.storage.append import strangers
from duologue.storage.database import Row
from duologue.storage.engine import migrate as steps
from duologue.storage.engine.engines import migrate, sqlite_path
from duologue.storage.engine.migrate import migrations
from duologue.storage.tables import accounts, alarms
from duologue.storage.tables.accounts import delete_user, update_user
from duologue.storage.tables.sms_relay import RelayRule
from duologue_lab.servers.postgres import Postgres
from tests.contract.store import new_phone, post, rows
from tests.support.relays import DELAY, RULE, RelayStore, World, world
from tests.support.sign_in import NOON, Clock

pytestmark = pytest.mark.anyio

CHOICES = (None, Relay.OFF, Relay.OFFLINE, Relay.ALWAYS)
NAMELESS = 14
"""The last step in which alarms were the relay's."""


@contextlib.asynccontextmanager
async def alarmed(url: str, rule: RelayRule) -> AsyncIterator[RelayStore]:
    """A store whose messages raise alarms."""
    store = RelayStore(url, Clock(NOON), rule)
    await store.db.open(store.heard)
    try:
        yield store
    finally:
        await store.db.close()


async def people(store: RelayStore) -> dict[str, User]:
    """Somebody of each kind."""
    found = {}
    for choice in CHOICES:
        name = choice.name.lower() if choice is not None else "silent"
        found[name] = user = await store.user()
        if choice is not None:
            await store.db.write(update_user, user.id, None, NOON, sms_relay=choice)
    found["unregistered"] = await store.db.write(accounts.ensure_user, new_phone(), NOON)
    return found


@pytest.mark.parametrize("alone", [False, True], ids=["message path", "one by one"])
@pytest.mark.parametrize(
    ("default", "unregistered"),
    [(Relay.OFF, Relay.ALWAYS), (Relay.OFFLINE, Relay.OFF), (Relay.ALWAYS, Relay.OFF)],
)
async def test_an_alarm_is_due_when_its_user_asked_for_it(
    store_url: str, default: Relay, unregistered: Relay, alone: bool
) -> None:
    waits = {Relay.OFF: None, Relay.OFFLINE: DELAY, Relay.ALWAYS: 0}
    wanted = {
        "silent": waits[default],
        "off": None,
        "offline": DELAY,
        "always": 0,
        "unregistered": waits[unregistered],
    }
    rule = RelayRule(default, unregistered, DELAY)
    async with alarmed(store_url, rule) as store:
        ana, found = await store.user(), await people(store)
        pairs = {name: await store.pair_of(ana, user) for name, user in found.items()}
        if alone:
            for pair in pairs.values():
                new = post(pair, pair.side_of(ana.id), "a")
                await store.db.write(strangers.send, new, alarm_rule(rule), None, NOON)
        else:
            await store.together(*(post(pair, pair.side_of(ana.id), "a") for pair in pairs.values()))
        due = await store.db.read(lambda tx: tx.all("SELECT user_id, chat_id, due_at, seq FROM alarms"))
    names = {user.id: name for name, user in found.items()}
    assert {names[user]: at - NOON for user, _, at, _ in due} == {
        name: wait for name, wait in wanted.items() if wait is not None
    }
    assert {(chat, seq) for user, chat, _, seq in due} == {
        (pairs[names[user]].chat_id, 1) for user, *_ in due
    }


async def test_a_deleted_user_asks_for_no_alarm(store_url: str) -> None:
    async with alarmed(store_url, RelayRule(Relay.ALWAYS, Relay.ALWAYS, DELAY)) as store:
        ben = await store.user()
        await store.db.write(delete_user, ben.id, NOON)
        [row] = await store.db.read(
            lambda tx: tx.all("SELECT alarm_after FROM users WHERE id = :id", id=ben.id)
        )
        assert row == (NEVER,)


async def test_an_alarm_stays_until_every_channel_has_seen_to_its_messages(store_url: str) -> None:
    """Two phones' worth of the one channel that there is: the second waits for longer."""
    async with world(store_url) as people:
        slow = RelayRule(Relay.OFFLINE, Relay.OFF, 2 * DELAY)
        channels = [
            people.loop,
            SmsRelay(people.store.db, people.clock, people.carrier, slow, people.policy),
        ]
        message = await people.writes()
        people.clock.pass_by(DELAY)
        assert await ring(people, channels) == 1
        assert await people.fate(message.seq) == ("queued", "")
        people.clock.pass_by(DELAY - 1)
        assert await ring(people, channels) == 0
        people.clock.pass_by(1)
        assert await ring(people, channels) == 1
        assert await people.store.db.read(lambda tx: tx.all("SELECT 1 FROM alarms")) == []
        await people.work()
        assert len(people.carrier.phones) == 1, "queued once, however often it is asked about"


async def test_a_message_that_another_clock_has_dated_ahead_is_looked_at_again_at_its_time(
    store_url: str,
) -> None:
    """Not at once, and again and again until then."""
    async with world(store_url, rule=RelayRule(Relay.ALWAYS, Relay.OFF, DELAY)) as people:
        now = people.clock()
        await people.writes()
        people.clock.pass_by(5 * SECOND)
        await people.writes()
        channels, rule = [people.loop], alarm_rule(people.rule)
        rounds = [await people.store.db.write(answer_alarms, rule, channels, now + SECOND) for _ in range(2)]
        assert rounds == [1, 0]
        assert await people.store.db.write(answer_alarms, rule, channels, now + 5 * SECOND) == 1


async def ring(people: World, channels: list[SmsRelay]) -> int:
    """Answer the alarms that are due by now; how many."""
    now = people.clock()
    return await people.store.db.write(answer_alarms, alarm_rule(people.rule), channels, now)


# The step that took the relay's name off them.


@contextlib.contextmanager
def another_database(url: str, postgres: Postgres, folder: Path) -> Iterator[str]:
    """One more database of the kind of `url`."""
    if sqlite_path(url):
        yield f"sqlite:///{folder / 'another.db'}"
        return
    with postgres.database() as another:
        yield another


def migrate_to(monkeypatch: pytest.MonkeyPatch, url: str, number: int) -> None:
    """Bring a database to the schema of an earlier release."""
    known = migrations("sqlite" if sqlite_path(url) else "postgres")
    with monkeypatch.context() as patch:
        patch.setattr(steps, "migrations", lambda _: [step for step in known if step.number <= number])
        migrate(url)


def schema(url: str) -> list[Row]:
    """Everything that a schema has."""
    if sqlite_path(url):
        [found] = rows(url, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2")
        return found
    columns, indexes, functions = rows(
        url,
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = 'public' ORDER BY 1, 2",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
        "SELECT oid::regprocedure::text, prosrc FROM pg_proc WHERE proname LIKE 'duologue%' ORDER BY 1",
    )
    return [*columns, *indexes, *functions]


def test_an_upgraded_schema_is_a_fresh_one(
    database_url: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate_to(monkeypatch, database_url, NAMELESS)
    migrate(database_url)
    with another_database(database_url, postgres, tmp_path) as fresh:
        migrate(fresh)
        assert schema(database_url) == schema(fresh)


LEFT = """
INSERT INTO users (id, phone, registered_at, created_at, sms_relay, deleted_at) VALUES
    (11, '+33600000011', 1, 1, NULL, NULL), (12, '+33600000012', 1, 1, 0, NULL), (13, '+33600000013', 1, 1, 1, NULL),
    (14, '+33600000014', 1, 1, 2, NULL), (15, '+33600000015', NULL, 1, NULL, NULL), (16, NULL, NULL, 1, NULL, 1);
INSERT INTO chats (id, low_user, high_user, created_at) VALUES (77, 11, 13, 1);
INSERT INTO members (user_id, chat_id, peer_id, activity) VALUES (11, 77, 13, 1), (13, 77, 11, 1);
INSERT INTO relay_alarms (user_id, chat_id, due_at, seq) VALUES (13, 77, 1000, 5);
"""
"""Rows that an earlier release has left: somebody of each kind, and an alarm that is not due yet."""


async def test_choices_and_running_alarms_outlive_the_upgrade(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate_to(monkeypatch, database_url, NAMELESS)
    if path := sqlite_path(database_url):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript(LEFT)
    else:
        with psycopg.connect(database_url) as connection:
            connection.execute(LEFT.encode())
    migrate(database_url)
    (found,) = rows(database_url, "SELECT id, alarm_after FROM users ORDER BY id")
    asked = [None, Relay.OFF, Relay.OFFLINE, Relay.ALWAYS, None]
    assert found == [*((11 + place, alarm_after(choice)) for place, choice in enumerate(asked)), (16, NEVER)]
    async with alarmed(database_url, RULE) as store:
        assert not await store.db.read(alarms.is_due, 999)
        [alarm] = await store.db.read(alarms.due_alarms, 1000)
        assert (alarm.user.id, alarm.chat_id, alarm.seq) == (13, 77, 5)
