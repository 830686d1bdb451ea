"""`duologue outbox`: what an operator sees of the relay, and what nobody should."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from duologue.clock import DAY, SECOND
from duologue.core.phone_numbers import masked
from duologue.core.retention import sweep_round
from duologue.storage.database import Tx
from duologue.storage.tables.unplaced import KEPT, newest, note
from duologue_lab.servers.process import environment
from tests.contract.store import new_phone
from tests.support.carrier import is_busy, rejects
from tests.support.relays import SERVICES, World, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def people(store_url: str) -> AsyncIterator[World]:
    async with world(store_url, now=1_700_000_000_000) as people:
        yield people


def run(url: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "duologue.cli", "outbox", "--database-url", url, *more]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment("DUOLOGUE_")
    )


def numbers(shown: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"^ *([a-z]+) +([0-9,]+)$", shown, re.MULTILINE)}


async def test_it_counts_by_state_and_says_why_the_newest_failed(people: World) -> None:
    people.carrier.script.extend([rejects("number", "21211")])
    await people.writes("a secret")
    await people.writes("another secret")
    await people.later()
    people.carrier.script.append(is_busy(60))
    friend, pair = await people.friend_of(people.ben)
    await people.writes("stuck", pair=pair, by=friend)
    await people.later()
    done = run(people.store.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert numbers(done.stdout) == {
        **dict.fromkeys(("leased", "arrived", "delivered", "failed", "cancelled"), 0),
        "queued": 1,
        "sent": 1,
        "dead": 1,
    }
    [line] = [line for line in done.stdout.splitlines() if "cht_" in line]
    assert "number: 21211" in line
    assert masked(people.ben.phone or "") in line
    assert "waited since" in done.stdout, "by the clock of this machine all of them should have gone long ago"


async def test_it_shows_no_text_and_no_whole_number(people: World) -> None:
    people.carrier.script.append(rejects("content"))
    await people.writes("a secret")
    await people.later()
    shown = run(people.store.url).stdout
    for secret in ("secret", people.ben.phone or "", people.ana.phone or ""):
        assert secret not in shown


async def test_an_empty_outbox_is_told_as_such(people: World) -> None:
    shown = run(people.store.url).stdout
    assert set(numbers(shown).values()) == {0}
    assert "None failed." in shown
    assert "waited" not in shown


def test_where_there_is_no_database_it_says_so(tmp_path: Path) -> None:
    done = run(f"sqlite:///{tmp_path}/nothing.db")
    assert done.returncode == 2
    assert done.stderr.startswith("duologue: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "nothing.db").exists()


async def test_it_lists_texts_that_nobody_got_with_their_reasons_and_without_their_words(
    people: World,
) -> None:
    stranger = new_phone()
    for sender in (stranger, "0612345678", "[b]Bank\x1b[2J", SERVICES[1]):
        people.clock.pass_by(SECOND)
        await people.phone_says("a secret", sender=sender)
    shown = run(people.store.url).stdout
    lines = shown[shown.index("in no chat") :].splitlines()[2:]
    assert [re.split(r" {2,}", line)[1:3] for line in lines] == [
        [masked(SERVICES[1]), "carrier"],
        ["[b]B•••••2J", "carrier"],
        ["0612••••78", "carrier"],
        [masked(stranger), "carrier"],
    ]
    for line, words in zip(lines, ("our own", "name", "country code", "has no chat"), strict=True):
        assert words in line
    for secret in ("secret", stranger, SERVICES[1], "\x1b"):
        assert secret not in shown


async def test_of_texts_that_nobody_got_the_newest_are_kept_for_the_days_of_traces(people: World) -> None:
    def flood(tx: Tx) -> None:
        for number in range(KEPT + 20):
            note(tx, "carrier", "+336••••••78", "number", number)

    await people.store.db.write(flood)
    kept = await people.store.db.read(newest, 1_000)
    assert [each.at for each in kept] == list(range(KEPT + 19, 19, -1))
    assert await sweep_round(people.store.db, lambda: 3 * DAY + 120, 3 * DAY) == 100
    assert len(await people.store.db.read(newest, 1_000)) == KEPT - 100


@pytest.mark.parametrize(
    ("phone", "shown"),
    [("+33612345678", "+336••••••78"), ("+1234567", "+123••67"), ("12345", "12345"), ("Bank", "Bank")],
)
def test_a_number_is_masked_in_its_middle(phone: str, shown: str) -> None:
    assert masked(phone) == shown
