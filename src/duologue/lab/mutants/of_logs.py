"""Faults of the bus, the feeds and the event log."""

from __future__ import annotations

from typing import Final

from duologue.lab.mutants.mutant import Mutant, contract, sqlite

LOG: Final = (
    Mutant(
        "no look at the store after NATS has come back",
        "realtime/nats.py",
        "            self._handler.doubt()\n        self._news.set()",
        "            pass\n        self._news.set()",
        contract("bus_attacks", "a_node_asks_the_store_as_soon_as_nats_is_back"),
    ),
    Mutant(
        "a lost NATS counts as well",
        "realtime/nats.py",
        '        self._answered_at = -math.inf\n        _log.warning("NATS is gone")',
        '        _log.warning("NATS is gone")',
        contract("bus_attacks", "what_was_missed_while_the_server_was_away_is_noticed_when_it_is_back"),
    ),
    Mutant(
        "no look at the store while a worker is away",
        "realtime/sealed_inbox.py",
        "            return -math.inf\n        return min(",
        "            pass\n        return min(",
        contract("bus_attacks", "siblings_know_when_one_of_them_is_silent"),
    ),
    Mutant(
        "no look at the store after the workers' bus has come back",
        "realtime/sealed_inbox.py",
        "            _MISSED.inc()\n            handler.doubt()",
        "            _MISSED.inc()",
        contract("bus_attacks", "a_single_lost_payload_is_noticed_within_a_second"),
    ),
    Mutant(
        "an old payload is believed again",
        "realtime/envelope.py",
        "        if count <= last:",
        "        if count < 0:",
        contract("bus_attacks", "a_gap_in_the_numbers_is_noticed_and_an_earlier_one_refused"),
    ),
    Mutant(
        "a payload of long ago is believed",
        "realtime/envelope.py",
        "        if not -_FRESH <= age <= _FRESH:",
        "        if age < -_FRESH:",
        contract("bus_attacks", "what_was_sealed_long_ago_is_refused_by_a_node_that_has_just_started"),
    ),
    Mutant(
        "the last notice of a batch is dropped",
        "core/events.py",
        "            self._bus.publish(notices)",
        "            self._bus.publish(notices[:-1])",
        sqlite("feed", "a_live_reader_costs_no_reads"),
    ),
    Mutant(
        "feeds are not told after a doubtful commit",
        "core/events.py",
        "        self._hub.recheck()",
        "        pass",
        ("tests/unit/test_hub.py::test_a_doubtful_commit_makes_every_follower_look_again",),
    ),
    Mutant(
        "a doubtful commit is forgotten",
        "storage/postgres.py",
        "    def _doubt(self) -> None:\n        self._in_doubt = True",
        "    def _doubt(self) -> None:\n        self._in_doubt = False",
        contract("storage_outage", "an_answer_lost_after_a_storage_functions_commit_is_doubted"),
    ),
    Mutant(
        "one event is skipped in a page of 100",
        "core/feed.py",
        "        for notice in notices:\n            await self._reader.drained()",
        "        for notice in notices[len(notices) // PAGE :]:\n            await self._reader.drained()",
        sqlite("feed", "a_log_of_several_pages_is_replayed_whole"),
    ),
    Mutant(
        "a repeat is passed on",
        "core/feed.py",
        "        elif self._is_anew(notice):\n            self.recheck()",
        "        else:\n            self._reader.emit(notice)",
        sqlite("feed", "a_swapped_pair_is_put_right_without_a_read"),
    ),
    Mutant(
        "a gap is not read from the log",
        "core/feed.py",
        "loop.call_later(GAP_PATIENCE, self.recheck)",
        "loop.call_later(GAP_PATIENCE, self._stop_timer)",
        sqlite("feed", "a_gap_is_read_from_the_log_after_a_moment"),
    ),
    Mutant(
        "a feed goes live although it is behind",
        "core/feed.py",
        "        return not self.early and not self._behind",
        "        return not self.early",
        sqlite("feed", "a_recheck_during_a_replay_is_not_forgotten"),
    ),
    Mutant(
        "the newest event is not looked for",
        "core/feed.py",
        "        if seq >= self.next:",
        "        if seq > self.next:",
        sqlite("feed", "a_reader_is_told_how_far_the_log_goes_and_reads_what_it_lacks"),
    ),
    Mutant(
        "a sleeping poll is not told of the newest event",
        "realtime/hub.py",
        "        if seq > self.seen:",
        "        if seq > self.seen + 1:",
        ("tests/unit/test_hub.py::test_a_waiter_is_woken_by_a_log_that_goes_further",),
    ),
    Mutant(
        "the lookout never looks",
        "core/lookout.py",
        "_WELL_FOR: Final = 0.8",
        "_WELL_FOR: Final = 8e9",
        contract("nodes_in_doubt", "what_is_acknowledged_while_the_bus_fails_is_heard_within_two_seconds"),
    ),
    Mutant(
        "an event too many is trimmed",
        "storage/events.py",
        "    newest, *_, newest_at = old[-1]",
        "    newest, *_, newest_at = old[-1]\n    newest += 1",
        sqlite("storage_retention", "old_events_go_and_the_floor_says_so"),
    ),
    Mutant(
        "a log is read from where it was trimmed as if it were whole",
        "core/positions.py",
        "    if seq < head.floor:",
        "    if seq < head.floor - 1:",
        ("tests/unit/test_positions.py::test_a_position_is_refused_below_what_is_kept_and_beyond_the_end",),
    ),
    Mutant(
        "a page of the log begins with what was read before",
        "storage/replay.py",
        "AND e.seq > :after",
        "AND e.seq >= :after",
        sqlite("storage_events", "any_page_of_a_log_is_that_part_of_it"),
    ),
    Mutant(
        "a position is compared by its seq alone",
        "core/positions.py",
        "    if position.at and head.asked_at and position.at != head.asked_at:",
        "    if position.at < 0:",
        ("tests/api/test_positions.py::test_another_event_at_that_seq_means_that_the_log_has_changed",),
    ),
    Mutant(
        "a log that went back is read on",
        "core/feed.py",
        " or at != after.at:",
        ":",
        sqlite("feed_of_changed_logs", "a_log_that_goes_back_while_a_slow_reader_replays_is_noticed"),
    ),
    Mutant(
        "a seq that is given out anew is taken for a repeat",
        "core/feed.py",
        "        return 0 < self.at < notice.at",
        "        return False",
        sqlite("feed_of_changed_logs", "a_seq_that_is_given_out_anew_is_noticed_by_the_event_itself"),
    ),
)
