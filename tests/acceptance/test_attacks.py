"""Attacks on signing in, with every limit on: what they cost, and what they come to.

Days pass on a clock that is set by hand; the rules, the store and the servers are the real ones. The odds that are
asserted here are those that docs/security.md states.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psycopg
import pytest

from duologue.clock import DAY, HOUR, MINUTE
from duologue.core.secret import load_secret
from duologue.core.sms_policy import ASKER_PER_NUMBER, CODES_SHARE, STRANGERS_PER_NUMBER, parse_prices
from duologue.errors import ApiError
from duologue.storage.engine.engines import migrate, sqlite_path
from duologue.storage.tables.verifications import MAX_ATTEMPTS, Verification
from duologue_lab.servers.process import environment
from duologue_lab.servers.server import DuologueServer
from tests.contract.store import opened
from tests.support.client import api_of, new_phone
from tests.support.sign_in import (
    OWNER,
    STRANGER,
    Clock,
    Desk,
    Phones,
    SmsApi,
    apart,
    bearer,
    elsewhere,
    problem,
)

pytestmark = pytest.mark.anyio

CODES = 1_000_000
VICTIM = "+33612345678"
GUESSES_A_DAY = 60
"""At one number, from any number of networks that it has not signed in from."""
ODDS_A_DAY = GUESSES_A_DAY / CODES
TRIALS = 100
INDISTINGUISHABLE = 0.2
"""How far the chance that one kind takes longer than the other may be from a half: 5 standard deviations."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    url = f"sqlite:///{tmp_path}/duologue.db"
    migrate(url)
    clock = Clock()
    async with opened(url, clock) as store:
        yield Desk(store.db, clock, Phones())


async def guess_on(desk: Desk, verification: Verification, address: str) -> int:
    """Burn what tries a verification has left; how many there were."""
    guesses = 0
    while (await desk.guess(verification, address)).code == "code_wrong":
        guesses += 1
    return guesses


async def guess_for(desk: Desk, span: int, addresses: Sequence[str]) -> int:
    """Try codes for a number throughout a span of time, whenever a new code can be had from some address."""
    guesses = 0
    until = desk.clock() + span
    used: dict[str, int] = {}
    while desk.clock() < until:
        for address in sorted(addresses, key=lambda each: used.get(each, 0)):
            told = await desk.ask(VICTIM, address)
            if isinstance(told, ApiError):
                break
            used[address] = desk.clock()
            guesses += await guess_on(desk, told, address)
        desk.clock.pass_by(20 * MINUTE)
    return guesses


async def test_whoever_guesses_from_everywhere_has_60_tries_a_day(desk: Desk) -> None:
    networks = [elsewhere(number) for number in range(400)]
    assert GUESSES_A_DAY == STRANGERS_PER_NUMBER * MAX_ATTEMPTS
    assert await guess_for(desk, DAY, networks) == GUESSES_A_DAY
    assert await guess_for(desk, 3 * DAY, networks) <= 3 * GUESSES_A_DAY
    assert ODDS_A_DAY <= 0.00006


async def test_whoever_guesses_from_one_network_has_30_tries_a_day(desk: Desk) -> None:
    addresses = [f"203.0.113.{number}" for number in range(256)]
    assert await guess_for(desk, DAY, addresses) == ASKER_PER_NUMBER * MAX_ATTEMPTS == 30


async def test_no_day_of_a_long_attack_has_more_than_twice_as_many_tries(desk: Desk) -> None:
    """A day's allowance may be spent at its end, and the next one at its beginning."""
    await desk.ask(VICTIM, STRANGER)
    desk.clock.pass_by(DAY - HOUR)
    assert await guess_for(desk, DAY, [elsewhere(number) for number in range(400)]) <= 2 * GUESSES_A_DAY


async def test_guessing_at_all_numbers_together_is_paid_by_the_budget(desk: Desk) -> None:
    """Each try costs the operator a fifth of an SMS, so what a day's tries can cost is what they can be."""
    prices = parse_prices("FR=0.06,*=0.10")
    budget = 3_000_000
    spending = Desk(desk.db, desk.clock, desk.phones, daily_budget=budget, prices=prices)
    guesses = number = 0
    while not isinstance(told := await spending.ask(apart(number), elsewhere(number)), ApiError):
        guesses += await guess_on(spending, told, elsewhere(number))
        number += 1
    assert told.code == "sms_budget_spent"
    assert guesses == budget * CODES_SHARE // 100 // prices["FR"] * MAX_ATTEMPTS == 225
    assert (20_000_000 * CODES_SHARE // 100 // prices["FR"]) * MAX_ATTEMPTS / CODES == 0.0015, (
        "the default budget, any account at all"
    )


async def test_a_flood_from_everywhere_brings_a_handset_twelve_sms_a_day(desk: Desk) -> None:
    for tick in range(72):
        await desk.granted((VICTIM, elsewhere(10 * tick + number)) for number in range(10))
        desk.clock.pass_by(20 * MINUTE)
    assert len(desk.phones.inbox[VICTIM]) == STRANGERS_PER_NUMBER == 12


async def attack_from(desk: Desk, addresses: Sequence[str]) -> None:
    """Ask for all the codes that can be had, and burn all their tries."""
    for address in addresses:
        told = await desk.ask(VICTIM, address)
        if isinstance(told, Verification):
            await guess_on(desk, told, address)


async def test_burning_codes_from_another_network_locks_nobody_out(desk: Desk) -> None:
    for _ in range(3):
        for _ in range(24):
            await attack_from(desk, [f"203.0.113.{number}" for number in range(3)])
            desk.clock.pass_by(20 * MINUTE)
        await desk.sign_in(VICTIM, OWNER)
        desk.clock.pass_by(16 * HOUR)


async def test_a_code_under_way_survives_an_attack_on_its_number(desk: Desk) -> None:
    verification = await desk.start(VICTIM, OWNER)
    code = desk.code_of(verification)
    await attack_from(desk, [elsewhere(number) for number in range(40)])
    assert await desk.redeem(verification, code, OWNER)


async def test_an_attack_from_everywhere_locks_nobody_out_where_they_signed_in_before(desk: Desk) -> None:
    await desk.sign_in(VICTIM, OWNER)
    for day in range(3):
        for tick in range(12):
            await attack_from(desk, [elsewhere(100 * tick + number) for number in range(day, 20)])
            desk.clock.pass_by(HOUR)
        await desk.sign_in(VICTIM, OWNER)
        desk.clock.pass_by(12 * HOUR)


async def test_a_breaker_tripped_on_purpose_locks_nobody_out_where_they_signed_in_before(desk: Desk) -> None:
    await desk.sign_in(VICTIM, OWNER)
    for number in range(72):
        await desk.granted([(f"{VICTIM[:-4]}{number:04d}", elsewhere(number))])
        desk.clock.pass_by(10 * MINUTE)
    assert (await desk.refusal(f"{VICTIM[:-4]}9999", elsewhere(99))).code == "rate_limited"
    await desk.sign_in(VICTIM, OWNER)


async def timed(api: SmsApi, phones: Sequence[tuple[str, bool]]) -> dict[bool, list[float]]:
    """Time in seconds of each request for a code, and of the wrong code after it, by whether the number is known."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for phone, known in phones:
        began = time.perf_counter()
        started = await api.start(phone)
        answer = await api.redeem(started["id"], "nonsense")
        taken[known].append(time.perf_counter() - began)
        assert answer.json()["attempts_left"] == 4
    return taken


def chance_of_longer(some: list[float], others: list[float]) -> float:
    """The effect size of Mann and Whitney: how often a value of some is above one of the others."""
    wins = sum((one > other) + (one == other) / 2 for one in some for other in others)
    return wins / (len(some) * len(others))


async def test_neither_answers_nor_their_timing_tell_whether_a_number_is_known(tmp_path: Path) -> None:
    dice = random.Random(4)
    phones = [(new_phone(), known) for known in (True, False) for _ in range(TRIALS)]
    with DuologueServer(tmp_path / "data", "--sign-in", "sms") as server:
        async with api_of(server.url) as client:
            api = SmsApi(client.http)
            for phone, known in phones:
                if known:
                    await api.sign_in(phone)
            dice.shuffle(phones)
            taken = await timed(api, phones)
    effect = chance_of_longer(taken[True], taken[False])
    assert abs(effect - 0.5) < INDISTINGUISHABLE, f"known numbers take longer in {effect:.0%} of all pairs"


async def test_a_revoked_token_is_dead_after_a_crash_too(tmp_path: Path) -> None:
    with DuologueServer(tmp_path / "data", "--sign-in", "sms") as server:
        phone = new_phone()
        async with api_of(server.url) as client:
            stolen, owner = [await SmsApi(client.http).sign_in(phone) for _ in range(2)]
            await client.http.delete("/v1/sessions", headers=bearer(owner))
        await asyncio.to_thread(server.restart, kill=True)
        async with api_of(server.url) as client:
            for _ in range(3):
                answer = await client.http.get("/v1/me", headers=bearer(stolen))
                assert problem(answer) == (401, "not_signed_in")
            assert (await client.http.get("/v1/me", headers=bearer(owner))).is_success


def dump(url: str, folder: Path) -> bytes:
    """All that a thief of the database gets: the bytes of the files, or every table as it is copied out."""
    if sqlite_path(url):
        return b"".join(path.read_bytes() for path in folder.glob("duologue.db*"))
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        stolen = []
        for (table,) in tables:
            with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as copy:
                stolen += [bytes(line) for line in copy]
        return b"".join(stolen)


async def test_a_stolen_database_holds_neither_codes_nor_tokens(database_url: str, tmp_path: Path) -> None:
    data = tmp_path if sqlite_path(database_url) else tmp_path / "data"
    env = {"DUOLOGUE_DATABASE_URL": database_url}
    with DuologueServer(data, "--sign-in", "sms", env=env) as server:
        async with api_of(server.url) as client:
            api = SmsApi(client.http)
            signed_in = await api.sign_in(new_phone())
            started = await api.start(VICTIM)
            code = await api.code(VICTIM)
            stolen = dump(database_url, data)
            assert VICTIM.encode() in stolen, "the thief does get the verification"
            assert not re.search(rb"(?<!\d)%s(?!\d)" % code.encode(), stolen)
            token = signed_in["token"].encode()
            for secret in (token, token.removeprefix(b"dlg_"), load_secret(data / "secret").hex().encode()):
                assert secret not in stolen
            assert (await api.redeem(started["id"], code)).status_code == 201
    modes = {path.name: path.stat().st_mode & 0o077 for path in data.iterdir() if path.is_file()}
    assert set(modes.values()) == {0}, f"others on the machine can read {modes}"


PUBLIC = ["--host", "192.0.2.1"]
REFUSED_STARTS = {
    "open sign-in for the public": ([*PUBLIC], "--allow-open-network"),
    "simulated phones for the public": ([*PUBLIC, "--sign-in", "sms"], "--allow-simulated-phones"),
    "a short secret": (["--sign-in", "sms", "--secret", "hunter2"], "openssl rand -hex 32"),
    "a secret that others can read": (["--sign-in", "sms", "--data-dir", "open"], "chmod 600"),
    "a secret that is damaged": (["--sign-in", "sms", "--data-dir", "damaged"], "is damaged"),
    "a provider that nobody knows": (["--sms-url", "pigeon://loft"], "not an SMS provider"),
}


def test_insecure_settings_are_refused_with_a_sentence_and_exit_code_2(tmp_path: Path) -> None:
    for name, content, mode in (("open", "ab" * 32, 0o644), ("damaged", "", 0o600)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text(content)
        (tmp_path / name / "secret").chmod(mode)
    command = [sys.executable, "-m", "duologue.cli", "serve", "--port", "0"]
    started = {
        what: subprocess.Popen(
            [*command, *options],
            cwd=tmp_path,
            env=environment("DUOLOGUE_"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for what, (options, _) in REFUSED_STARTS.items()
    }
    for what, process in started.items():
        said, told = process.communicate(timeout=60)
        assert (process.returncode, said) == (2, ""), f"{what}: {told}"
        assert REFUSED_STARTS[what][1] in told, f"{what}: {told}"
        assert told.startswith("duologue: ")
        assert "Traceback" not in told
        assert "hunter2" not in told
