"""A log that a newer release has written to is read without an error: what isn't known here keeps its place in it."""

from __future__ import annotations

import json

import pytest

from duologue.clock import now_ms
from duologue.core.events import notice_of
from duologue.model import Kind
from duologue.realtime.bus import Notice
from duologue.storage.audit.audit import audit
from duologue.storage.audit.snapshot import snapshot
from duologue.storage.tables.events import trim_logs
from duologue.storage.tables.receipts import received
from duologue.storage.tables.replay import event_page
from tests.contract.line import FOR_EVER, Line
from tests.contract.store import Store, post
from tests.support.newer import write_newer

pytestmark = pytest.mark.anyio


async def test_an_unknown_event_keeps_its_place_and_is_reported_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a")
    at = store.clock()
    kind = write_newer(store.url, pair.high, at)
    await store.send(pair, 0, "b")
    for _ in range(2):
        _, events = await store.db.read(event_page, pair.high, 0, 100)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.kind for event in events[-3:]] == [Kind.MESSAGE_CREATED, kind, Kind.MESSAGE_CREATED]
    place = events[-2]
    assert (place.body, place.at) == (None, at)
    told = json.loads(notice_of(place).event)
    assert (told["seq"], told["type"], told["data"]) == (place.seq, "unknown", {})
    assert caplog.text.count(f"of kind {kind} ") == 1


async def test_an_ack_covers_the_messages_on_both_sides_of_an_unknown_event(store: Store) -> None:
    pair = await store.pair()
    await store.send(pair, 0, "a")
    write_newer(store.url, pair.high, store.clock())
    await store.send(pair, 0, "b")
    last_seq = (await store.log_span(pair.high))[0]
    found = await store.db.read(received, pair.high, 0, last_seq, 100)
    assert (found.newest, found.reached) == ({pair: 2}, last_seq)


async def test_an_unknown_event_is_trimmed_in_its_time(store: Store) -> None:
    pair = await store.pair()
    write_newer(store.url, pair.high, store.clock())
    user: int | None = 0
    while user is not None:
        user, _ = await store.db.write(trim_logs, user, FOR_EVER)
    last_seq, floor = await store.log_span(pair.high)
    assert floor == last_seq > 1
    assert await store.db.read(event_page, pair.high, floor, 100) == (0, [])


async def test_an_audit_passes_over_unknown_events(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    pair = await store.pair()
    await store.apply(post(pair, 0, "a"))
    kind = write_newer(store.url, pair.high, store.clock())
    await store.apply(post(pair, 1, "b"))
    with snapshot(store.url) as tx:
        report = audit(tx)
    assert report.sound, report.findings
    assert caplog.text.count(f"of kind {kind} ") == 1


async def test_a_feed_passes_on_unknown_events_live_and_from_the_log(line: Line) -> None:
    pair = await line.store.pair()
    await line.store.send(pair, 0, "a")
    write_newer(line.store.url, pair.high, now_ms())
    diary = await line.diary(pair.high).follow(0)
    seq = await line.newest(pair.high)
    await diary.has(seq)
    # A newer node has told of this one: it comes as that node has rendered it.
    at = now_ms()
    kind = write_newer(line.store.url, pair.high, at)
    frame = b'{"op":"event","seq":%d,"type":"message.sung","at":"","data":{}}' % (seq + 1)
    line.bus.publish([Notice(pair.high, seq + 1, kind, 4711, 1, 2, frame, at)])
    await diary.has(seq + 1)
    # Of this one its notice was lost.
    write_newer(line.store.url, pair.high, now_ms())
    await line.store.send(pair, 0, "b")
    await diary.has(seq + 3)
    assert diary.seqs == list(range(1, seq + 4))
    assert diary.errors == []
