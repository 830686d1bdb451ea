"""A feed notices that its log is another one than before, as after a restore, and passes nothing of it on."""

from __future__ import annotations

import asyncio

import pytest

from duologue.core import feed as feed_module
from duologue.core.positions import present
from duologue.errors import ApiError
from duologue.storage.database import Tx
from duologue.storage.tables.events import log_head
from tests.contract.line import Line

pytestmark = pytest.mark.anyio


async def rewind(line: Line, user_id: int, seq: int) -> None:
    """Put a user's log back to where it was at that seq, as a restored backup does."""

    def cut(tx: Tx) -> None:
        tx.run("DELETE FROM events WHERE user_id = :user_id AND seq > :seq", user_id=user_id, seq=seq)
        tx.run("UPDATE logs SET last_seq = :seq WHERE user_id = :user_id", user_id=user_id, seq=seq)

    await line.store.db.write(cut)


async def later(line: Line, user_id: int) -> int:
    """Wait until the clock is past the user's newest event; that event's time."""
    head = present(await line.store.db.read(log_head, user_id))
    while line.store.clock() <= head.last_at:
        await asyncio.sleep(0.001)
    return head.last_at


@pytest.mark.parametrize("new", [0, 2, 5], ids=["shorter", "as long", "longer"])
async def test_a_live_reader_of_a_log_that_went_back_is_told(line: Line, new: int) -> None:
    pair = await line.store.pair()
    diary = await line.diary(pair.low).follow(None)
    await line.talk(pair, 1, "kept", 2)
    kept = await line.newest(pair.low)
    await line.talk(pair, 1, "lost", 2)
    await diary.has(kept + 2)
    await later(line, pair.low)
    line.bus.mute = True
    await rewind(line, pair.low, kept)
    await line.talk(pair, 1, "new", new)
    line.hub.recheck()
    await diary.until(lambda: diary.errors)
    (error,) = diary.errors
    assert (error.code, error.extra["latest"]) == ("log_changed", kept + new)
    assert diary.seqs[-1] == kept + 2, "nothing of the other log was passed on"
    diary.feed.close()


async def test_a_log_that_ends_before_what_was_given_is_another_one(line: Line) -> None:
    """The store is asked how far the log goes, and nothing else has told that it went back."""
    pair = await line.store.pair()
    diary = await line.diary(pair.low).follow(None)
    kept = await line.newest(pair.low)
    await line.talk(pair, 1, "lost", 3)
    await diary.has(kept + 3)
    line.bus.mute = True
    await rewind(line, pair.low, kept)
    line.hub.reached(pair.low, kept)
    await diary.until(lambda: diary.errors)
    assert (diary.errors[0].code, diary.errors[0].extra["latest"]) == ("log_changed", kept)
    diary.feed.close()


async def test_a_seq_that_is_given_out_anew_is_noticed_by_the_event_itself(line: Line) -> None:
    pair = await line.store.pair()
    diary = await line.diary(pair.low).follow(None)
    kept = await line.newest(pair.low)
    await line.talk(pair, 1, "lost", 3)
    await diary.has(kept + 3)
    await later(line, pair.low)
    await rewind(line, pair.low, kept)
    await line.talk(pair, 1, "new", 1)
    await diary.until(lambda: diary.errors)
    assert diary.errors[0].code == "log_changed"
    diary.feed.close()


async def test_a_log_that_goes_back_while_a_slow_reader_replays_is_noticed(line: Line) -> None:
    pair = await line.store.pair()
    await line.talk(pair, 1, "kept", feed_module.PAGE + 50)
    diary = line.diary(pair.low)
    diary.gate.clear()
    await diary.follow(0)
    await diary.until(lambda: line.db.reads == 1)
    await later(line, pair.low)
    await rewind(line, pair.low, 10)
    await line.talk(pair, 1, "new", feed_module.PAGE + 100)
    diary.gate.set()
    await diary.until(lambda: diary.errors)
    assert diary.errors[0].code == "log_changed"
    assert diary.seqs == list(range(1, feed_module.PAGE + 1))
    diary.feed.close()


@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize(("shift", "code"), [(0, ""), (1, "log_changed"), (-1, "log_changed")])
async def test_a_position_is_compared_also_when_its_event_is_not_kept(
    line: Line, *, trimmed: bool, shift: int, code: str
) -> None:
    pair = await line.store.pair()
    await line.talk(pair, 1, "text", 3)
    newest, at = await line.newest(pair.low), await later(line, pair.low)
    if trimmed:
        await line.trim_all()
    await line.talk(pair, 1, "more", 1)
    diary = line.diary(pair.low)
    if code:
        with pytest.raises(ApiError, match=code):
            await diary.follow(newest, at + shift)
    else:
        await (await diary.follow(newest, at)).has(newest + 1)
        assert diary.errors == []
    diary.feed.close()


async def test_a_position_whose_time_nobody_knows_is_taken_by_its_number(line: Line) -> None:
    """As with logs that a release without positions has trimmed."""
    pair = await line.store.pair()
    newest = await line.newest(pair.low)
    await line.trim_all()
    await line.store.db.write(lambda tx: tx.run("UPDATE logs SET floor_at = NULL"))
    diary = await line.diary(pair.low).follow(newest, 1)
    await line.talk(pair, 1, "more", 1)
    await diary.has(newest + 1)
    assert diary.errors == []
    diary.feed.close()
