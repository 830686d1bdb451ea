"""`duologue outbox`: what an operator sees of the relay, and what nobody should."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from duologue.lab.process import environment
from duologue.outbox import masked
from tests.support.carrier import is_busy, rejects
from tests.support.relays import World, world

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


@pytest.mark.parametrize(("phone", "shown"), [("+33612345678", "+336••••••78"), ("+1234567", "+123••67")])
def test_a_number_is_masked_in_its_middle(phone: str, shown: str) -> None:
    assert masked(phone) == shown
