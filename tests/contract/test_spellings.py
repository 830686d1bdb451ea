"""Accounts under old spellings of a number get the present one; two of one person become one; no text is lost."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections import Counter

import psycopg
import pytest

from duologue.core.phone_numbers import parse_phone
from duologue.model import Kind, Pair, User
from duologue.storage.engine.engines import sqlite_path
from duologue.storage.engine.migrate import migrations
from duologue.storage.tables import accounts, chats, opt_outs, replay
from tests.contract.store import Store, opened, rows
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio

NUMBER = 9
OLD = ["+541123456789", "+552187654321", "+5215512345678", "+22990011234"]
NOW = 1_790_000_000_000


def migrate_again(url: str) -> None:
    """Let the step run over what is there, as if it had been stored before the step existed."""
    engine = "sqlite" if sqlite_path(url) else "postgres"
    [step] = [each for each in migrations(engine) if each.number == NUMBER]
    # A later step gave the alarms another name.
    script = f"DROP TABLE moved_chats;\nALTER TABLE alarms RENAME TO relay_alarms;\n{step.sql}"
    script += "\nALTER TABLE relay_alarms RENAME TO alarms;"
    if path := sqlite_path(url):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"BEGIN;\n{script}\nCOMMIT;")
        return
    with psycopg.connect(url) as connection:
        connection.execute(script.encode())


async def texts_of(store: Store, user_id: int) -> Counter[tuple[str, bool]]:
    """Each text in the user's list of chats, and whether it is the user's own; every page of the list."""
    found: Counter[tuple[str, bool]] = Counter()
    below, listed = 2**62, set()
    while page := await store.db.read(chats.chat_page, user_id, below, 2):
        for chat in page:
            listed.add(chat.id)
            pair = await store.db.read(chats.pair_of, user_id, chat.id)
            assert pair is not None
            for message in await store.all_messages(pair):
                found[message.text, message.sender_id == user_id] += 1
        below = page[-1].activity
    assert len(listed) == len(set(listed))
    return found


async def unregistered(store: Store, phone: str) -> User:
    return await store.db.write(accounts.ensure_user, phone, store.clock())


async def say(store: Store, sender: User, recipient: User, text: str) -> Pair:
    pair = await store.pair_of(sender, recipient)
    await store.send(pair, int(pair.high == sender.id), text, text)
    return pair


async def by_phone(store: Store, phone: str) -> User:
    user = await store.db.read(accounts.user_by_phone, parse_phone(phone))
    assert user is not None
    return user


@pytest.mark.parametrize("old", OLD)
async def test_an_account_under_an_old_spelling_gets_the_present_one(store_url: str, old: str) -> None:
    async with opened(store_url) as store:
        ana, ben = await store.user(old), await store.user()
        await say(store, ben, ana, "hi")
        before = await store.log_span(ana.id)
    migrate_again(store_url)
    async with opened(store_url) as store:
        assert (await by_phone(store, old)).id == ana.id
        assert await texts_of(store, ana.id) == {("hi", False): 1}
        assert await store.log_span(ana.id) == before, "its devices go on where they were"
        again = await store.user(parse_phone(old))
        assert again.id == ana.id
    assert_sound(store_url)


@pytest.mark.parametrize("old", OLD)
@pytest.mark.parametrize("stays", ["old", "new"])
async def test_two_accounts_become_the_one_that_was_signed_in_with(
    store_url: str, old: str, stays: str
) -> None:
    async with opened(store_url) as store:
        ben, cleo = await store.user(), await store.user()
        new = parse_phone(old)
        first = await (store.user(old) if stays == "old" else unregistered(store, old))
        second = await (store.user(new) if stays == "new" else unregistered(store, new))
        for peer in (ben, cleo):
            await say(store, peer, first, f"to the old one from {peer.id}")
        pair = await say(store, ben, second, "to the new one")
        await say(store, first, second, "to myself")
        await store.db.write(opt_outs.opt_out, old, store.clock())
    migrate_again(store_url)
    kept, lost = (first, second) if stays == "old" else (second, first)
    async with opened(store_url) as store:
        assert (await by_phone(store, old)).id == kept.id
        gone = await store.db.read(accounts.user_by_id, lost.id)
        assert gone is not None
        assert gone.phone is None
        expected = Counter({(f"to the old one from {peer.id}", False): 1 for peer in (ben, cleo)})
        expected += Counter({("to the new one", False): 1, ("to myself", kept is first): 1})
        assert await texts_of(store, kept.id) == expected
        assert await store.db.read(opt_outs.is_opted_out, parse_phone(old))
        assert not await store.db.read(opt_outs.is_opted_out, old)

        found = await store.db.read(chats.pair_by_phone, ben.id, parse_phone(old))
        assert found is not None
        assert kept.id in (found.low, found.high)
        assert stays == "old" or found == pair
        here = await store.db.read(chats.pair_by_phone, cleo.id, parse_phone(old))
        assert here is not None, "her one chat with that person is the chat that moved"
        message = await store.send(here, int(here.high == cleo.id), "later", "later")
        assert message.seq == 2
        assert ("later", False) in await texts_of(store, kept.id)
        last, floor = await store.log_span(kept.id)
        assert last == floor + 1, "the one who stays loads its chats anew, and hears of all that follows"
    assert_sound(store_url)


async def test_peers_hear_of_the_chat_that_moved_and_keep_their_place_in_the_log(store_url: str) -> None:
    async with opened(store_url) as store:
        ben, old, new = await store.user(), await store.user(OLD[0]), await store.user(parse_phone(OLD[0]))
        pair = await say(store, ben, old, "hi")
        await store.db.write(accounts.update_user, old.id, "Ana", store.clock())
        last, _ = await store.log_span(ben.id)
    migrate_again(store_url)
    async with opened(store_url) as store:
        _, events = await store.db.read(replay.event_page, ben.id, 0, 100)
        assert [event.seq for event in events] == list(range(1, last + 2))
        assert (events[-1].kind, events[-1].ref) == (Kind.CHAT_UPDATED, pair.chat_id)
        assert (await store.view(ben.id, pair)).peer.id == new.id
    assert_sound(store_url)


async def test_sessions_of_the_account_that_goes_end(store_url: str) -> None:
    async with opened(store_url) as store:
        old, new = await store.user(OLD[1]), await store.user(parse_phone(OLD[1]))
    migrate_again(store_url)
    async with opened(store_url) as store:
        assert await store.db.read(accounts.live_sessions, old.id) == []
        assert len(await store.db.read(accounts.live_sessions, new.id)) == 1


@pytest.mark.parametrize("seed", range(3))
async def test_of_any_people_with_any_spellings_no_message_is_lost(store_url: str, seed: int) -> None:
    chance = random.Random(seed)
    async with opened(store_url) as store:
        people = [[await store.user()] for _ in range(3)]
        for old in OLD:
            spellings = chance.choice([[old], [parse_phone(old)], [old, parse_phone(old)]])
            people.append(
                [
                    await (store.user(each) if chance.random() < 0.6 else unregistered(store, each))
                    for each in spellings
                ]
            )
        everybody = [user for accounts_of_one in people for user in accounts_of_one]
        for number in range(60):
            sender, recipient = chance.sample(everybody, 2)
            await say(store, sender, recipient, f"text {number}")
        before = {
            person[0].phone: sum([await texts_of(store, user.id) for user in person], Counter())
            for person in people
        }
    migrate_again(store_url)
    async with opened(store_url) as store:
        for phone, texts in before.items():
            assert phone
            now = await texts_of(store, (await by_phone(store, phone)).id)
            # What somebody wrote to the own other number is there once now, as it is in one account.
            assert {text for text, _ in now} == {text for text, _ in texts}
            assert now <= texts
        total = rows(store_url, "SELECT count(*) FROM messages")[0][0][0]
        assert total == 60
    assert_sound(store_url)


async def test_numbers_that_only_look_alike_stay_as_they_are(store_url: str) -> None:
    phones = [
        "+5491123456789",
        "+548001234567",
        "+552122345678",
        "+551177123456",
        "+5521987654321",
        "+525512345678",
        "+2290190011234",
        "+22890112345",
        "+33612345678",
    ]
    assert [parse_phone(phone) for phone in phones] == phones
    async with opened(store_url) as store:
        for phone in phones:
            await store.user(phone)
    migrate_again(store_url)
    assert {row[0] for row in rows(store_url, "SELECT phone FROM users")[0]} == set(phones)
