"""Storage of messages between users of whom one has not answered the other."""

from __future__ import annotations

import asyncio

import pytest

from duologue.core.limits import UNANSWERED_MESSAGES
from duologue.model import (
    LONGEST,
    NEVER,
    Kind,
    Known,
    Pair,
    Presets,
    Privacy,
    ShowPresence,
    User,
    WhoCanWrite,
)
from duologue.storage.append import strangers
from duologue.storage.append.strangers import SenderStanding, TooManyWaiting
from duologue.storage.audit.audit import audit
from duologue.storage.audit.snapshot import snapshot
from duologue.storage.database import AlarmRule, Posted
from duologue.storage.tables import accounts, chats, receipts
from tests.contract.store import Store, mark, post

pytestmark = pytest.mark.anyio

MOST = UNANSWERED_MESSAGES


async def choose(store: Store, user: User, **choices: object) -> None:
    """Have a user choose about strangers."""
    privacy = Privacy(**choices)  # type: ignore[arg-type]
    await store.db.write(accounts.update_user, user.id, None, store.clock(), privacy=privacy)


async def send(
    store: Store,
    pair: Pair,
    user: User,
    client_id: str,
    *,
    most: int | None = MOST,
    alarms: AlarmRule | None = None,
) -> Posted:
    """A message as it was stored."""
    new = post(pair, pair.side_of(user.id), client_id, f"text of {client_id}")
    outcome, _ = await store.db.write(strangers.send, new, alarms, most, store.clock())
    assert isinstance(outcome, Posted)
    return outcome


async def standing(store: Store, pair: Pair, user: User) -> SenderStanding:
    return await store.db.read(strangers.sender_standing, pair, user.id)


async def meet(store: Store) -> tuple[User, User, Pair]:
    """A user who has opened the chat with another."""
    one, other = await store.user(), await store.user()
    return one, other, await store.opened_by(one, other)


def assert_audited(store: Store) -> None:
    with snapshot(store.url) as tx:
        report = audit(tx)
    assert report.sound, report.findings


def kinds(store: Store, user: User) -> list[int]:
    return [event.kind for event in store.heard.of(user.id)]


async def test_who_is_known_rises_from_opening_to_answering(store: Store) -> None:
    ana, ben, pair = await meet(store)
    before = await standing(store, pair, ana)
    assert (before.sender_known, before.recipient_known) == (Known.OPENED, Known.STRANGER)
    await send(store, pair, ana, "hello")
    assert (await standing(store, pair, ana)).sender_known is Known.ANSWERED
    await store.opened_by(ben, ana)
    assert (await standing(store, pair, ben)).sender_known is Known.OPENED
    await store.db.write(strangers.accept, ben.id, pair, store.clock())
    assert (await standing(store, pair, ben)).mutual
    assert_audited(store)


async def test_the_first_message_tells_the_recipient_who_writes(store: Store) -> None:
    ana, ben, pair = await meet(store)
    await store.db.write(accounts.update_user, ana.id, "Ana", store.clock())
    view = await store.view(ben.id, pair)
    assert (view.peer.display_name, view.peer.registered_at) == ("", None)
    told = len(store.heard.of(ben.id))
    await send(store, pair, ana, "hello")
    await send(store, pair, ana, "again")
    news = store.heard.of(ben.id)[told:]
    assert [event.kind for event in news] == [Kind.USER_UPDATED, Kind.MESSAGE_CREATED, Kind.MESSAGE_CREATED]
    assert isinstance(news[0].body, User)
    assert news[0].body.display_name == "Ana"
    assert (await store.view(ben.id, pair)).peer.display_name == "Ana"
    assert (await store.view(ana.id, pair)).peer.registered_at is None
    assert_audited(store)


async def test_so_many_messages_may_wait_and_reading_them_makes_room(store: Store) -> None:
    ana, ben, pair = await meet(store)
    for number in range(MOST):
        await send(store, pair, ana, f"{number}")
    with pytest.raises(TooManyWaiting):
        await send(store, pair, ana, "one more")
    assert (await send(store, pair, ana, "0")).replayed
    await store.apply(mark(pair, pair.side_of(ben.id), read=2))
    for number in range(2):
        await send(store, pair, ana, f"more {number}")
    with pytest.raises(TooManyWaiting):
        await send(store, pair, ana, "too many")
    await store.db.write(strangers.accept, ben.id, pair, store.clock())
    await send(store, pair, ana, "as many as one likes")
    assert_audited(store)


async def test_the_limit_is_exact_however_many_send_at_once(store: Store) -> None:
    ana, _, pair = await meet(store)
    outcomes = await asyncio.gather(
        *(send(store, pair, ana, f"{number}") for number in range(2 * MOST)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Posted) for outcome in outcomes) == MOST
    assert sum(isinstance(outcome, TooManyWaiting) for outcome in outcomes) == MOST
    assert len(await store.all_messages(pair)) == MOST


async def test_a_withheld_message_leaves_no_trace_with_its_recipient(store: Store) -> None:
    ana, ben, pair = await meet(store)
    await send(store, pair, ana, "seen")
    await choose(store, ben, who_can_write=WhoCanWrite.NOBODY)
    before, told = await store.view(ben.id, pair), kinds(store, ben)
    for number in range(3):
        posted = await send(store, pair, ana, f"{number}")
        assert posted.message.seq == 2 + number
    after = await store.view(ben.id, pair)
    assert kinds(store, ben) == told
    assert (after.last_message, after.unread, after.activity) == (before.last_message, 1, before.activity)
    assert after.last_seq == 4
    mine = await store.view(ana.id, pair)
    assert mine.last_message is not None
    assert (mine.last_message.seq, mine.last_message.withheld) == (4, True)
    assert_audited(store)


async def test_what_was_withheld_stays_so_whatever_is_chosen_later(store: Store) -> None:
    ana, ben = await store.user(), await store.user()
    await choose(store, ben, who_can_write=WhoCanWrite.NOBODY)
    pair = await store.opened_by(ana, ben)
    first = await send(store, pair, ana, "withheld")
    assert (await store.db.read(chats.chat_page, ben.id, 2**31 - 1, 10)) == []
    await choose(store, ben, who_can_write=WhoCanWrite.EVERYONE)
    await send(store, pair, ana, "seen")
    await send(store, pair, ben, "answer")
    [chat] = await store.db.read(chats.chat_page, ben.id, 2**31 - 1, 10)
    assert chat.unread == 1
    seen = await store.db.read(receipts.as_seen, pair.chat_id, ben.id, await store.all_messages(pair))
    assert [(message.text, message.client_id, message.withheld) for message in seen] == [
        ("", "", True),
        ("text of seen", "seen", False),
        ("text of answer", "answer", False),
    ]
    await store.apply(mark(pair, pair.side_of(ben.id), read=3))
    assert await store.db.read(receipts.marks_of_message, pair, first.message) == (0, 0)
    assert (await store.view(ben.id, pair)).unread == 0
    assert_audited(store)


async def test_a_mark_on_a_withheld_message_is_shown_no_further_than_what_was_seen(store: Store) -> None:
    ana, ben, pair = await meet(store)
    await send(store, pair, ana, "seen")
    await choose(store, ben, who_can_write=WhoCanWrite.NOBODY)
    await send(store, pair, ana, "withheld")
    await store.apply(mark(pair, pair.side_of(ben.id), read=2))
    view = await store.view(ana.id, pair)
    assert (view.peer_delivered, view.peer_read) == (1, 1)
    assert_audited(store)


async def test_nobody_hears_of_a_chat_that_a_stranger_made_alone(store: Store) -> None:
    ana, ben = await store.user(), await store.user()
    await choose(store, ben, who_can_write=WhoCanWrite.NOBODY)
    told = kinds(store, ben)
    pair = await store.opened_by(ana, ben)
    await send(store, pair, ana, "withheld")
    await store.apply(mark(pair, pair.side_of(ana.id), read=1))
    await store.db.write(accounts.update_user, ana.id, "Ana", store.clock())
    assert kinds(store, ben) == told
    assert await store.opened_by(ben, ana) == pair
    assert kinds(store, ben) == [*told, Kind.CHAT_UPDATED]
    [chat] = await store.db.read(chats.chat_page, ben.id, 2**31 - 1, 10)
    assert (chat.last_message, chat.unread, chat.last_seq, chat.known) == (None, 0, 1, Known.OPENED)
    assert_audited(store)


@pytest.mark.parametrize("choice", [{"who_can_write": WhoCanWrite.REQUESTS}, {"discoverable": False}])
async def test_marks_are_shown_from_the_answer_on(store: Store, choice: dict[str, object]) -> None:
    ana, ben, pair = await meet(store)
    await choose(store, ben, **choice)
    for number in range(3):
        await send(store, pair, ana, f"{number}")
    await store.apply(mark(pair, pair.side_of(ben.id), delivered=3, read=2))
    view = await store.view(ana.id, pair)
    assert (view.peer_delivered, view.peer_read) == (0, 0)
    assert Kind.RECEIPT_PEER not in kinds(store, ana)
    await send(store, pair, ben, "answer")
    view = await store.view(ana.id, pair)
    assert (view.peer_delivered, view.peer_read) == (3, 2)
    assert kinds(store, ana)[-3:] == [Kind.USER_UPDATED, Kind.RECEIPT_PEER, Kind.MESSAGE_CREATED]
    assert_audited(store)


async def test_reading_in_private_stays_private_when_one_accepts(store: Store) -> None:
    ana, ben, pair = await meet(store)
    await choose(store, ben, discoverable=False)
    await store.db.write(accounts.update_user, ben.id, None, store.clock(), read_receipts=False)
    await send(store, pair, ana, "hello")
    await store.apply(mark(pair, pair.side_of(ben.id), read=1))
    await store.db.write(strangers.accept, ben.id, pair, store.clock())
    view = await store.view(ana.id, pair)
    assert (view.peer_delivered, view.peer_read) == (1, 0)
    assert_audited(store)


async def test_folders_hold_requests_apart(store: Store) -> None:
    ben = await store.user()
    pairs = []
    for number in range(6):
        stranger = await store.user()
        pairs.append(await store.opened_by(stranger, ben))
        await send(store, pairs[-1], stranger, f"{number}")
    await send(store, pairs[0], ben, "answer")
    await store.db.write(strangers.accept, ben.id, pairs[2], store.clock())

    async def folder(name: chats.Folder) -> list[int]:
        found: list[int] = []
        below = 2**31 - 1
        while page := await store.db.read(chats.chat_page, ben.id, below, 2, name):
            found += [chat.id for chat in page]
            below = page[-1].activity
        return [index for chat_id in found for index, pair in enumerate(pairs) if pair.chat_id == chat_id]

    assert await folder("chats") == [0, 5, 4, 3, 2, 1]
    assert await folder("requests") == []
    await choose(store, ben, who_can_write=WhoCanWrite.REQUESTS)
    assert await folder("chats") == [0, 2]
    assert await folder("requests") == [5, 4, 3, 1]
    assert await folder("all") == [0, 5, 4, 3, 2, 1]
    assert [(await store.view(ben.id, pair)).request for pair in pairs] == [
        False,
        True,
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("who", "alarms"), [(WhoCanWrite.EVERYONE, 1), (WhoCanWrite.REQUESTS, 0), (WhoCanWrite.NOBODY, 0)]
)
async def test_only_what_reaches_a_user_may_go_by_sms(store: Store, who: WhoCanWrite, alarms: int) -> None:
    ana, ben, pair = await meet(store)
    await choose(store, ben, who_can_write=who)
    await send(store, pair, ana, "hello", alarms=AlarmRule(LONGEST, NEVER, 0))
    rows = await store.db.read(lambda tx: tx.all("SELECT user_id FROM alarms"))
    assert rows == [(ben.id,)] * alarms


async def test_what_nobody_chose_is_as_the_operator_presets(store: Store) -> None:
    ana, ben, pair = await meet(store)
    store.db._presets = Presets(WhoCanWrite.NOBODY, ShowPresence.NOBODY, discoverable=False)
    await send(store, pair, ana, "withheld")
    assert (await store.view(ben.id, pair)).last_message is None
    await choose(store, ben, who_can_write=WhoCanWrite.EVERYONE)
    await send(store, pair, ana, "seen")
    assert (await store.view(ben.id, pair)).unread == 1
