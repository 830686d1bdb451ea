"""A feed gives its reader every event once and in order, whatever the bus does to the notices."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from duologue.core import feed as feed_module
from duologue.core.positions import Position
from duologue.errors import ApiError, overloaded
from duologue.model import Kind, Pair
from duologue.realtime.bus import Notice
from duologue.storage.database import Tx
from duologue.storage.tables.accounts import delete_user
from tests.contract.line import Diary, Line

pytestmark = pytest.mark.anyio


FAULTS = {
    "sound": (0.0, 0.0, 0.0),
    "losing": (0.2, 0.0, 0.0),
    "repeating": (0.0, 0.5, 0.0),
    "reordering": (0.0, 0.0, 0.3),
    "all at once": (0.1, 0.2, 0.3),
    "hardly there": (0.95, 0.5, 0.5),
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
async def test_readers_get_each_event_once_in_order_while_many_write(
    line: Line, faults: tuple[float, float, float]
) -> None:
    line.bus.lose, line.bus.repeat, line.bus.delay = faults
    user = await line.store.user()
    pairs = [await line.store.pair_of(user, await line.store.user()) for _ in range(4)]
    diaries = [await line.diary(user.id).follow(after) for after in (0, None)]
    owed = [1, diaries[1].feed.next]
    writing = [
        asyncio.create_task(line.talk(pair, side, f"{index}-{side}", 40))
        for index, pair in enumerate(pairs)
        for side in (0, 1)
    ]
    for _ in range(6):
        await asyncio.sleep(0.03)
        diaries.append(await line.diary(user.id).follow(len(diaries[0].seqs) // 2))
        owed.append(diaries[-1].feed.next)
    await asyncio.gather(*writing)
    line.bus.lose = line.bus.delay = 0.0
    line.hub.recheck()  # as a bus does that was away
    newest = await line.newest(user.id)
    assert newest > 320
    for diary, first in zip(diaries, owed, strict=True):
        await diary.has(newest)
        assert diary.seqs == list(range(first, newest + 1))
        await diary.until(lambda: diary.caught_up_at)  # noqa: B023 - called before the next turn
        assert len(diary.caught_up_at) == 1
        diary.feed.close()


async def test_a_log_of_several_pages_is_replayed_whole(line: Line) -> None:
    pair = await line.store.pair()
    await line.talk(pair, 1, "text", 5 * feed_module.PAGE // 2)
    newest = await line.newest(pair.low)
    diary = await line.diary(pair.low).follow(0)
    await diary.has(newest)
    assert diary.seqs == list(range(1, newest + 1))
    diary.feed.close()


async def test_a_live_reader_costs_no_reads(line: Line) -> None:
    pair = await line.store.pair()
    diary = await line.diary(pair.low).follow(None)
    await diary.until(lambda: diary.caught_up_at)
    before = line.db.reads
    await line.talk(pair, 1, "text", 100)
    assert diary.seqs == list(range(diary.seqs[0], diary.seqs[0] + 100))
    assert line.db.reads == before
    diary.feed.close()


async def test_a_swapped_pair_is_put_right_without_a_read(line: Line) -> None:
    pair = await line.store.pair()
    diary = await line.diary(pair.low).follow(None)
    await diary.until(lambda: diary.caught_up_at)
    before, first = line.db.reads, diary.feed.next
    for seq in (first + 2, first + 1, first, first + 1):
        line.hub.deliver([notice(pair.low, seq)])
    assert diary.seqs == [first, first + 1, first + 2]
    await asyncio.sleep(feed_module.GAP_PATIENCE * 3)
    assert line.db.reads == before
    diary.feed.close()


def notice(user_id: int, seq: int) -> Notice:
    return Notice(user_id, seq, Kind.MESSAGE_CREATED, 1, 1, 0, b"{}")


async def unheard(line: Line) -> tuple[Pair, Diary]:
    """A chat, and a live feed of its lower user that no notice reaches from now on."""
    pair = await line.store.pair()
    diary = await line.diary(pair.low).follow(None)
    await diary.until(lambda: diary.caught_up_at)
    line.bus.mute = True
    return pair, diary


async def test_a_gap_is_read_from_the_log_after_a_moment(line: Line) -> None:
    pair, diary = await unheard(line)
    await line.talk(pair, 1, "unheard", 3)
    assert diary.seqs == []
    line.bus.mute = False
    await line.talk(pair, 1, "heard", 1)
    await diary.has(await line.newest(pair.low))
    assert diary.seqs == list(range(diary.seqs[0], diary.seqs[0] + 4))
    diary.feed.close()


async def test_a_recheck_finds_what_no_notice_told_of(line: Line) -> None:
    pair, diary = await unheard(line)
    await line.talk(pair, 1, "unheard", 3)
    line.hub.recheck()
    await diary.has(await line.newest(pair.low))
    assert len(diary.seqs) == 3
    diary.feed.close()


async def test_what_happens_while_a_slow_reader_replays_comes_after_it_without_a_hole(line: Line) -> None:
    pair = await line.store.pair()
    await line.talk(pair, 1, "before", 5)
    diary = line.diary(pair.low)
    diary.gate.clear()
    await diary.follow(0)
    await line.talk(pair, 1, "meanwhile", feed_module.MOST_EARLY + 50)
    assert diary.seqs == []
    assert len(diary.feed.early) <= feed_module.MOST_EARLY, "it costs no more memory"
    diary.gate.set()
    newest = await line.newest(pair.low)
    await diary.has(newest)
    assert diary.seqs == list(range(1, newest + 1))
    assert diary.caught_up_at == [newest]
    diary.feed.close()


async def test_a_reader_joins_while_others_never_stop_writing(line: Line) -> None:
    """Catching up must not need a moment of silence."""
    pair = await line.store.pair()
    stop = asyncio.Event()

    async def write(name: str) -> None:
        for number in range(100_000):
            if stop.is_set():
                break
            await line.store.send(pair, 1, f"{name}-{number}")

    writing = [asyncio.create_task(write(str(writer))) for writer in range(20)]
    for _ in range(3):
        diary = await line.diary(pair.low).follow(0)
        await diary.until(lambda: diary.caught_up_at)  # noqa: B023 - called before the next turn
        diary.feed.close()
    stop.set()
    await asyncio.gather(*writing)


async def test_a_reader_hears_early_of_what_it_has_yet_to_reach(line: Line) -> None:
    pair = await line.store.pair()
    diary = line.diary(pair.low)
    diary.gate.clear()
    await diary.follow(0)
    await line.talk(pair, 1, "news", 1)
    assert diary.foreseen == [await line.newest(pair.low)]
    diary.feed.close()


async def test_a_log_trimmed_below_the_reader_is_told_as_expired(line: Line) -> None:
    pair = await line.store.pair()
    await line.talk(pair, 1, "text", 150)
    newest = await line.newest(pair.low)
    diary = line.diary(pair.low)
    diary.gate.clear()
    await diary.follow(0)
    await diary.until(lambda: line.db.reads == 1)
    await line.trim_all()
    diary.gate.set()
    await diary.until(lambda: diary.errors)
    error = diary.errors[0]
    assert (error.code, error.extra["latest"]) == ("events_expired", newest)
    assert error.extra["latest_at"], "known, though the event is not kept any more"
    assert diary.seqs == list(range(1, len(diary.seqs) + 1))
    assert diary.caught_up_at == []
    diary.feed.close()


@pytest.mark.parametrize(("after", "code"), [(0, "events_expired"), (9_999, "seq_out_of_range")])
async def test_a_position_that_is_not_in_the_log_is_refused(line: Line, after: int, code: str) -> None:
    pair = await line.store.pair()
    await line.trim_all()
    diary = line.diary(pair.low)
    with pytest.raises(ApiError) as refused:
        await diary.follow(after)
    assert refused.value.code == code
    diary.feed.close()
    assert not line.hub.wants(pair.low)


async def test_a_trim_between_two_looks_at_the_log_leaves_no_hole(line: Line) -> None:
    """All that is read at once is read as it was at one moment."""
    pair = await line.store.pair()
    await line.talk(pair, 1, "text", 5)
    newest = await line.newest(pair.low)
    loop = asyncio.get_running_loop()

    class Meddler:
        """Has the log trimmed before its second query."""

        def __init__(self, tx: Tx) -> None:
            self.tx = tx

        def __getattr__(self, name: str) -> Any:
            return getattr(self.tx, name)

        def one(self, sql: str, **params: Any) -> Any:
            asyncio.run_coroutine_threadsafe(line.talk(pair, 1, "before the trim", 1), loop).result()
            asyncio.run_coroutine_threadsafe(line.trim_all(), loop).result()
            return self.tx.one(sql, **params)

    def read(tx: Tx) -> tuple[list[Notice], bool]:
        return feed_module.read_notices(cast(Tx, Meddler(tx)), pair.low, Position(newest), 100)

    assert await line.store.db.read(read) == ([], True)
    with pytest.raises(ApiError, match="no longer kept"):
        await line.store.db.read(feed_module.read_notices, pair.low, Position(newest), 100)


async def test_a_deleted_account_ends_the_feed(line: Line) -> None:
    pair, diary = await unheard(line)
    await line.store.db.write(delete_user, pair.low, line.store.clock())
    line.hub.recheck()
    await diary.until(lambda: diary.errors)
    assert diary.errors[0].code == "not_signed_in"
    diary.feed.close()


async def test_a_store_that_is_overloaded_is_asked_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "RETRY", 0.01)
    pair = await line.store.pair()
    diary = await line.diary(pair.low).follow(0)
    await diary.until(lambda: diary.caught_up_at)
    line.bus.mute = True
    await line.store.send(pair, 1, "missed")
    line.db.faults = [overloaded(), overloaded()]
    line.hub.recheck()
    await diary.has(await line.newest(pair.low))
    assert diary.errors == []
    diary.feed.close()


async def test_a_fault_that_nobody_foresaw_ends_the_feed_instead_of_hanging(line: Line) -> None:
    pair = await line.store.pair()
    diary = await line.diary(pair.low).follow(0)
    await diary.until(lambda: diary.caught_up_at)
    line.db.faults = [LookupError("a bug")]
    line.hub.recheck()
    await diary.until(lambda: diary.errors)
    assert diary.errors[0].code == "internal"
    diary.feed.close()


async def test_a_closed_feed_says_nothing_more(line: Line) -> None:
    pair = await line.store.pair()
    diary = await line.diary(pair.low).follow(0)
    await diary.has(1)
    diary.feed.close()
    seen = list(diary.seqs)
    await line.talk(pair, 1, "too late", 3)
    diary.feed.recheck()
    await line.newest(pair.low)
    assert diary.seqs == seen
    assert not line.hub.wants(pair.low)


async def test_only_what_somebody_follows_is_published(line: Line) -> None:
    pair = await line.store.pair()
    published: list[Notice] = []
    line.bus.publish = published.extend  # type: ignore[assignment,method-assign]
    diary = await line.diary(pair.low).follow(None)
    await line.talk(pair, 1, "text", 2)
    assert {notice.user_id for notice in published} == {pair.low}
    assert len(published) == 2
    diary.feed.close()


async def test_a_reader_is_told_how_far_the_log_goes_and_reads_what_it_lacks(line: Line) -> None:
    pair, diary = await unheard(line)
    await line.talk(pair, 1, "unheard", 1)
    newest = await line.newest(pair.low)
    assert diary.seqs == []
    line.hub.reached(pair.low, newest)
    await diary.has(newest)
    diary.feed.close()


async def test_a_recheck_during_a_replay_is_not_forgotten(line: Line) -> None:
    pair = await line.store.pair()
    await line.talk(pair, 1, "before", 5)
    diary = line.diary(pair.low)
    diary.gate.clear()
    await diary.follow(0)
    await diary.until(lambda: diary.held)
    line.bus.mute = True
    await line.talk(pair, 1, "unheard", 2)
    line.hub.recheck()
    diary.gate.set()
    newest = await line.newest(pair.low)
    await diary.has(newest)
    assert diary.seqs == list(range(1, newest + 1))
    diary.feed.close()
