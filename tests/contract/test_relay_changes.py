"""SMS of messages that are edited or deleted: what a phone still gets, and what the trace says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from duologue.clock import MINUTE
from duologue.core.changes import Changes
from duologue.core.sessions import Caller
from duologue.model import Message
from tests.support.carrier import is_busy
from tests.support.relays import DELAY, World, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


async def delete(people: World, message: Message) -> None:
    await _rules(people).delete(Caller(people.ana.id, 1), people.pair, message.seq)


def _rules(people: World) -> Changes:
    return Changes(people.store.db, people.clock, edit_window=DELAY)


async def test_a_message_deleted_before_its_alarm_is_never_queued(people: World) -> None:
    message = await people.writes()
    await delete(people, message)
    await people.later()
    assert people.carrier.asked == []
    assert await people.row(message.seq) is None
    assert (await people.hops(message.seq))[-1] == ("deleted", "")


async def test_an_sms_that_waits_is_cancelled_by_a_deletion_and_the_trace_says_so(people: World) -> None:
    people.carrier.script.append(is_busy(60))
    message = await people.writes()
    await people.later()
    await delete(people, message)
    await people.later(5 * MINUTE)
    assert people.carrier.phones == []
    assert await people.fate(message.seq) == ("cancelled", "message_deleted, after: 429")
    hops = await people.hops(message.seq)
    assert ("sms_cancelled", "message_deleted, after: 429") in hops
    assert ("deleted", "") in hops


async def test_a_deletion_while_the_sms_is_handed_over_comes_too_late_and_the_trace_says_so(
    people: World,
) -> None:
    message, go = await people.is_sending()
    await delete(people, message)
    assert ("deleted", "an SMS of it may have been sent") in await people.hops(message.seq)
    go.set()
    await people.sent()
    assert (await people.fate(message.seq))[0] == "sent"
    assert ("deleted", "an SMS of it was sent") in await people.hops(message.seq)


async def test_a_refused_sms_is_not_tried_again_once_its_message_is_deleted(people: World) -> None:
    message, go = await people.is_sending(is_busy(1))
    await delete(people, message)
    go.set()
    await people.sent()
    await people.later(MINUTE)
    assert people.carrier.phones == []
    assert await people.fate(message.seq) == ("cancelled", "message_deleted")


async def test_an_sms_that_waits_takes_the_newest_text(people: World) -> None:
    message = await people.writes("first words")
    await _rules(people).edit(Caller(people.ana.id, 1), people.pair, message.seq, "last words")
    await people.later()
    [text] = people.carrier.texts()
    assert text.startswith(f"{people.ana.phone}: last words\n")
    assert "edited" in [hop for hop, _ in await people.hops(message.seq)]


async def test_a_deleted_message_holds_no_mark_back(people: World) -> None:
    gone = await people.writes("gone")
    await people.writes("stays")
    await delete(people, gone)
    await people.later()
    await people.reports(people.carrier.taken[0])
    await people.work()
    assert await people.delivered() == 2
