"""Ids under which receipts come: found in any spelling, after a restart too, and never those of an older SMS."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator

import psycopg
import pytest

from duologue.clock import DAY
from duologue.providers.sms.provider import Accepted, DeliveryReport, GivenId
from duologue.storage.engine.engines import migrate
from duologue.storage.engine.migrate import migrations
from duologue.storage.tables import sms_ids
from tests.contract.store import rows
from tests.support.carrier import Carrier
from tests.support.relays import World, another, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


async def test_an_id_is_found_by_its_folded_form_on_every_node(people: World) -> None:
    await people.callbacks.given("carrier", [GivenId("000AbC", "5678"), GivenId("77", "1111")])
    async with another(people) as other:
        assert await other.callbacks.known("carrier", ["abc", "nothing"]) == [GivenId("000AbC", "5678")]
        assert await other.callbacks.known("another", ["abc"]) == []


async def test_a_receipt_between_the_id_and_the_end_of_sending_counts(people: World) -> None:
    """The id is noted as soon as it is given, and its receipt may come before the outbox knows of it."""

    async def reports_at_once(carrier: Carrier, sms: object) -> Accepted:
        accepted = Accepted(carrier.name, ("Id-1",), 1)
        await people.callbacks.given(carrier.name, [GivenId("Id-1", "5678")])
        await people.callbacks.receipts(carrier.name, [DeliveryReport("Id-1", "delivered")])
        return accepted

    people.carrier.script.append(reports_at_once)
    message = await people.writes()
    await people.later()
    assert await people.fate(message.seq) == ("delivered", "")


async def test_an_id_that_is_given_again_belongs_to_the_newest_sms(people: World) -> None:
    """Carriers count from 1 again after a while: what was reported before is of the older SMS."""
    first = await people.writes()
    await people.later()
    [accepted] = people.carrier.taken
    await people.reports(accepted)

    async def takes_the_same_id(carrier: Carrier, sms: object) -> Accepted:
        await people.callbacks.given(carrier.name, [GivenId(accepted.provider_ids[0], "5678")])
        return accepted

    people.carrier.script.append(takes_the_same_id)
    second = await people.writes()
    await people.later()
    assert await people.fate(second.seq) == ("sent", "")
    await people.reports(accepted)
    assert await people.fate(second.seq) == ("delivered", "")
    assert await people.fate(first.seq) == ("delivered", "")


async def test_ids_of_codes_are_forgotten_in_time(people: World) -> None:
    await people.callbacks.given("carrier", [GivenId("1", "5678")])
    await people.writes()
    await people.later()
    people.clock.pass_by(DAY)
    assert await people.store.db.write(sms_ids.purge_ids, people.clock() - DAY + 1) == 1
    assert await people.store.db.write(sms_ids.purge_ids, people.clock() - DAY + 1) == 0
    assert rows(people.store.url, "SELECT count(*) FROM sms_ids") == [[(1,)]]


def test_pieces_and_ids_outlive_the_migration(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = "sqlite" if database_url.startswith("sqlite") else "postgres"
    known = migrations(engine)
    with monkeypatch.context() as patch:
        patch.setattr(
            "duologue.storage.engine.migrate.migrations",
            lambda _: [step for step in known if step.number < 8],
        )
        migrate(database_url)
    run(
        database_url,
        "INSERT INTO sms_pieces (sender, service, reference, number, total, provider, provider_id, text, at)"
        " VALUES ('+33', '', 1, 1, 2, 'p', 'i', 'é€', 1)",
        "INSERT INTO sms_ids (provider, provider_id, outbox_id, receipts) VALUES ('p', '00AbC', 5, 1)",
    )
    migrate(database_url)
    [[(data, alphabet)], [(folded,)]] = rows(
        database_url, "SELECT data, alphabet FROM sms_pieces", "SELECT folded FROM sms_ids"
    )
    assert (bytes(data).decode(), alphabet, folded) == ("é€", "utf-8", "abc")


def run(url: str, *statements: str) -> None:
    """Change a database past the code under test."""
    if url.startswith("sqlite:///"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            for sql in statements:
                connection.execute(sql)
        return
    with psycopg.connect(url) as link:
        for sql in statements:
            link.execute(sql.encode())
