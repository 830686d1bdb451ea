"""Sessions in use, out of use and over, on both engines, through months that pass in no time."""

from __future__ import annotations

import asyncio

import pytest

from duologue.clock import DAY, HOUR, MINUTE, SECOND
from duologue.core.retention import expire_round, sweep_round
from duologue.core.sessions import Caller, Sessions, new_token
from duologue.errors import ApiError
from duologue.model import Kind, Session
from duologue.storage.database import Tx
from duologue.storage.tables.accounts import end_sessions, idle_sessions, live_sessions, sessions_by_token
from duologue.storage.tables.quotas import add
from duologue.storage.tables.sign_in import NewSession, sign_in
from duologue.storage.tables.verifications import begin
from tests.contract.store import Store, new_phone, opened
from tests.contract.truth import assert_sound
from tests.support.sign_in import Clock

pytestmark = pytest.mark.anyio

IDLE = 90 * DAY


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(store: Store, clock: Clock) -> Sessions:
    return Sessions(store.db, clock, IDLE)


async def device(store: Store, clock: Clock, phone: str | None = None) -> tuple[str, Session]:
    """A new session and its token."""
    token, token_hash = new_token()
    _, session, _ = await store.db.join(
        sign_in, NewSession(phone or new_phone(), token_hash, "phone", "::1", clock())
    )
    return token, session


async def opens(sessions: Sessions, token: str) -> bool:
    try:
        await sessions.authenticate(token)
    except ApiError as fault:
        told = fault.code
    else:
        return True
    assert told == "not_signed_in"
    return False


async def last_seen(store: Store, session: Session) -> int:
    [found] = [each for each in await store.db.read(live_sessions, session.user_id) if each.id == session.id]
    return found.last_seen_at


async def test_a_session_opens_nothing_after_ninety_days_without_use(
    store: Store, sessions: Sessions, clock: Clock
) -> None:
    token, session = await device(store, clock)
    other, _ = await device(store, clock)
    clock.pass_by(IDLE)
    assert await opens(sessions, other)
    clock.pass_by(1)
    assert not await opens(sessions, token)
    with pytest.raises(ApiError, match="not_signed_in"):
        await sessions.check(Caller(session.user_id, session.id))
    assert await sessions.live(session.user_id) == []


async def test_use_keeps_a_session_for_another_ninety_days(
    store: Store, sessions: Sessions, clock: Clock
) -> None:
    token, session = await device(store, clock)
    for _ in range(5):
        clock.pass_by(IDLE - MINUTE)
        assert await opens(sessions, token)
        assert await expire_round(store.db, clock, IDLE) == 0
        await sessions.check(Caller(session.user_id, session.id))
    clock.pass_by(IDLE + 1)
    assert not await opens(sessions, token)


async def test_a_session_back_from_afar_is_kept_before_anything_is_flushed(
    store: Store, sessions: Sessions, clock: Clock
) -> None:
    token, session = await device(store, clock)
    clock.pass_by(IDLE)
    assert await opens(sessions, token)
    clock.pass_by(10 * SECOND)
    assert await expire_round(store.db, clock, IDLE) == 0
    assert await opens(Sessions(store.db, clock, IDLE), token), "on another node too"
    assert await last_seen(store, session) >= clock() - 2 * MINUTE


async def test_an_idle_session_ends_with_an_event_and_loses_its_token(
    store: Store, sessions: Sessions, clock: Clock
) -> None:
    phone = new_phone()
    token, idle = await device(store, clock, phone)
    clock.pass_by(IDLE - DAY)
    fresh_token, fresh = await device(store, clock, phone)
    clock.pass_by(DAY + 1)
    assert await expire_round(store.db, clock, IDLE) == 1
    last = store.heard.of(idle.user_id)[-1]
    assert (last.kind, last.ref) == (Kind.SESSION_ENDED, idle.id)
    assert isinstance(last.body, Session)
    assert last.body.ended_at == clock()
    assert [(row[1], row[2]) for row in store.table("sessions") if row[1] == idle.id] == [(idle.id, None)]
    assert not await opens(sessions, token)
    assert await opens(sessions, fresh_token)
    assert [each.id for each in await sessions.live(idle.user_id)] == [fresh.id]
    assert await expire_round(store.db, clock, IDLE) == 0
    assert_sound(store.url)


async def test_a_session_used_at_the_last_moment_is_not_ended(store: Store, clock: Clock) -> None:
    _, session = await device(store, clock)
    clock.pass_by(IDLE + 1)
    _, idle = await store.db.read(idle_sessions, 0, clock() - IDLE)
    assert [each.id for each in idle] == [session.id]
    await store.db.write(_touch, session.id, clock())
    assert await store.db.write(end_sessions, session.user_id, [session.id], clock(), clock() - IDLE) == []


def _touch(tx: Tx, session_id: int, now: int) -> None:
    tx.run("UPDATE sessions SET last_seen_at = :now WHERE id = :session_id", now=now, session_id=session_id)


async def test_every_session_comes_under_review_in_small_steps(store: Store, clock: Clock) -> None:
    def sign_up(tx: Tx) -> None:
        for ago in (0, IDLE):
            new = [
                NewSession(new_phone(), b"%d %d" % (ago, number), "", "", clock() - ago)
                for number in range(650)
            ]
            sign_in(tx, new)

    await store.db.write(sign_up)
    clock.pass_by(1)
    steps, found, after = 0, 0, 0
    while True:
        next_after, idle = await store.db.read(idle_sessions, after, clock() - IDLE)
        steps, found = steps + 1, found + len(idle)
        if next_after is None:
            break
        after = next_after
    assert (steps, found) == (2, 650)


async def test_two_nodes_that_expire_at_once_tell_once(store_url: str, clock: Clock) -> None:
    async with opened(store_url) as one, opened(store_url) as other:
        made = [await device(one, clock) for _ in range(20)]
        clock.pass_by(IDLE + 1)
        ended = await asyncio.gather(*(expire_round(each.db, clock, IDLE) for each in (one, other)))
        assert sum(ended) == len(made)
        assert [row[2] for row in one.table("events")].count(Kind.SESSION_ENDED) == len(made)
    assert_sound(store_url)


async def test_last_seen_is_noted_to_the_minute(store: Store, sessions: Sessions, clock: Clock) -> None:
    token, session = await device(store, clock)
    clock.pass_by(2 * MINUTE + 17 * SECOND)
    assert await opens(sessions, token)
    await sessions.flush()
    assert await last_seen(store, session) == clock() - clock() % MINUTE
    await sessions.flush()


async def test_last_seen_never_moves_back(store: Store, sessions: Sessions, clock: Clock) -> None:
    clock.pass_by(30 * SECOND)
    token, session = await device(store, clock)
    assert await opens(sessions, token)
    await sessions.flush()
    assert await last_seen(store, session) == session.created_at


async def test_a_revocation_holds_within_a_second_on_a_node_that_had_trusted_the_token(
    store_url: str, clock: Clock
) -> None:
    async with opened(store_url) as one, opened(store_url) as other:
        here, there = Sessions(one.db, clock, IDLE), Sessions(other.db, clock, IDLE)
        token, session = await device(one, clock)
        caller = await here.authenticate(token)
        await there.authenticate(token)
        await here.end(caller, session.id)
        assert not await opens(here, token), "on its own node at once"
        clock.pass_by(SECOND + 1)
        assert not await opens(there, token)


async def test_a_clock_set_back_prolongs_no_trust(store: Store, sessions: Sessions, clock: Clock) -> None:
    token, session = await device(store, clock)
    assert await opens(sessions, token)
    await store.db.write(end_sessions, session.user_id, [session.id], clock())
    clock.pass_by(-HOUR)
    assert not await opens(sessions, token)


async def test_nothing_is_kept_of_codes_and_allowances_that_are_over(store: Store, clock: Clock) -> None:
    for _ in range(3):
        await store.db.write(begin, new_phone(), "::1", [], clock())
    await store.db.write(add, "old", 1, HOUR, clock())
    await store.db.write(add, "new", 1, DAY, clock())
    assert await sweep_round(store.db, clock, DAY) == 0
    clock.pass_by(2 * HOUR)
    assert await sweep_round(store.db, clock, DAY) == 4
    clock.pass_by(DAY)
    assert await sweep_round(store.db, clock, DAY) == 1


async def test_a_token_is_stored_as_its_hash_alone(store: Store, clock: Clock) -> None:
    token, session = await device(store, clock)
    assert token.startswith("dlg_")
    assert len(token) >= 4 + 43
    [row] = store.table("sessions")
    assert len(row[2]) == 32
    assert token.encode() not in bytes(row[2])
    assert (await store.db.find(sessions_by_token, bytes(row[2])) or (None,))[0] == session
