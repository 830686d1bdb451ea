"""A message withheld from its recipient's devices goes to no phone either."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from duologue.core.delivery.sms_relay import alarm_rule
from duologue.model import Pair, Privacy, User, WhoCanWrite
from duologue.storage.append import strangers
from duologue.storage.tables import accounts
from tests.contract.store import post
from tests.support.relays import World, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url) as people:
        yield people


async def write(people: World, pair: Pair, sender: User, text: str) -> None:
    """A message of somebody whom the recipient may not know."""
    new = post(pair, pair.side_of(sender.id), text, text)
    await people.store.db.write(strangers.send, new, alarm_rule(people.rule), None, people.clock())


async def test_a_withheld_message_goes_to_no_phone(people: World) -> None:
    """Though an earlier one of the same chat, which is not withheld, has raised the alarm."""
    eve, ben = await people.store.user(), await people.store.user()
    pair = await people.store.opened_by(eve, ben)
    await write(people, pair, eve, "shown")
    choice = Privacy(who_can_write=WhoCanWrite.NOBODY)
    await people.store.db.write(accounts.update_user, ben.id, None, people.clock(), privacy=choice)
    await write(people, pair, eve, "withheld")
    await people.later()
    assert [text.split(": ")[1].split("\n")[0] for text in people.carrier.texts(ben.phone)] == ["shown"]
