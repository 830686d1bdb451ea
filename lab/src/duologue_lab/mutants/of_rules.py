"""Faults of the relay, and of who may do what."""

from __future__ import annotations

from typing import Final

from duologue_lab.mutants.mutant import Mutant, contract, sqlite

RELAY: Final = (
    Mutant(
        "a lease that has run out still settles",
        "storage/tables/jobs.py",
        " WHERE id = :id AND attempts = :attempts AND state <= 1",
        " WHERE id = :id AND attempts >= :attempts AND state <= 1",
        sqlite("relay_crashes", "a_lease_that_has_run_out_settles_nothing_while_another_holds_it"),
    ),
    Mutant(
        "two nodes lease one message",
        "storage/tables/jobs.py",
        '" attempts = attempts + 1 WHERE state <= 1 AND next_at <= :now AND id IN ("',
        '" attempts = attempts + 1 WHERE id IN ("',
        contract("relay_crashes", "several_nodes_send_each_message_once_and_in_order", engine="postgresql"),
    ),
    Mutant(
        "a job goes before the one in front of it has ended",
        "storage/tables/jobs.py",
        '" AND e.state <= 1) ORDER BY',
        '" AND e.state <= 0) ORDER BY',
        sqlite("jobs", "jobs_of_a_key_go_one_after_the_other_and_keys_beside_each_other"),
    ),
    Mutant(
        "an alarm goes though a channel has messages to look at later",
        "core/delivery/offline.py",
        "        later = [answer for answer in answers if answer]",
        "        later = answers if all(answers) else []",
        sqlite("alarms", "an_alarm_stays_until_every_channel_has_seen_to_its_messages"),
    ),
    Mutant(
        "a message that failed does not hold the mark back",
        "storage/tables/outbox.py",
        "        if state not in (State.ARRIVED, State.DELIVERED):\n            break",
        "        if state not in (State.ARRIVED, State.DELIVERED):\n            continue",
        contract("relay_receipts", "a_message_that_failed_holds_the_mark_back", engine="id per SMS-sqlite"),
    ),
    Mutant(
        "a text is delivered with its first part",
        "storage/tables/outbox.py",
        "    if missing and all(count <= 0 for count in missing.values()):",
        "    if missing and any(count <= 0 for count in missing.values()):",
        contract(
            "relay_receipts",
            "a_long_text_is_delivered_once_all_of_its_parts_are",
            engine="id per part-sqlite",
        ),
    ),
    Mutant(
        "what a device has goes by SMS all the same",
        "storage/tables/sms_relay.py",
        "    return row[0] >= outgoing.seq and",
        "    return row[0] > outgoing.seq and",
        sqlite("relay", "an_ack_between_due_and_sent_cancels_and_the_trace_says_so"),
    ),
    Mutant(
        "a withheld message goes by SMS",
        "storage/tables/alarms.py",
        '        " AND NOT EXISTS (SELECT 1 FROM withheld w WHERE w.chat_id = x.chat_id AND w.seq = x.seq)"\n'
        '        " ORDER BY seq LIMIT :most",',
        '        " ORDER BY seq LIMIT :most",',
        sqlite("relay_withheld", "a_withheld_message_goes_to_no_phone"),
    ),
)

STRANGERS: Final = (
    Mutant(
        "a withheld text is shown",
        "storage/tables/receipts.py",
        '        text="",\n        reply_to=0',
        "        reply_to=0",
        ("tests/api/test_strangers.py::test_nobody_sees_anything_of_a_withheld_message",),
    ),
    Mutant(
        "nothing is withheld",
        "storage/append/strangers.py",
        "    if before.withheld:\n",
        "    if before.withheld and before.mutual:\n",
        sqlite("storage_strangers", "a_withheld_message_leaves_no_trace_with_its_recipient"),
    ),
    Mutant(
        "one message too many may wait for an answer",
        "storage/append/strangers.py",
        "not answered and before.waiting >= most:",
        "not answered and before.waiting > most:",
        sqlite("storage_strangers", "so_many_messages_may_wait_and_reading_them_makes_room"),
    ),
    Mutant(
        "one side's answer counts for both",
        "storage/append/strangers.py",
        "        return self.sender_known == self.recipient_known == Known.ANSWERED",
        "        return Known.ANSWERED in (self.sender_known, self.recipient_known)",
        ("tests/api/test_strangers.py::test_so_many_messages_may_wait_for_an_answer",),
    ),
    Mutant(
        "a session that has ended opens doors",
        "core/sessions.py",
        "        return session.ended_at is None and session.last_seen_at",
        "        return session.last_seen_at",
        ("tests/api/test_events.py::test_a_long_poll_ends_with_its_session",),
    ),
    Mutant(
        "nothing is refused over a rate",
        "core/rates.py",
        "        if wait <= 0:\n",
        "        if wait <= interval:\n",
        ("tests/unit/test_rates.py::test_what_is_refused_is_there_after_the_wait_and_not_before",),
    ),
    Mutant(
        "an allowance can be overdrawn by one",
        "storage/tables/quotas.py",
        "        if used > quota.limit:",
        "        if used > quota.limit + 1:",
        sqlite("verifications", "a_quota_is_used_up_and_then_begins_anew"),
    ),
    Mutant(
        "a code can be tried once more",
        "storage/tables/verifications.py",
        "AND attempts < :most AND",
        "AND attempts <= :most AND",
        sqlite("verifications", "tries_are_counted_down_and_the_last_one_still_counts"),
    ),
    Mutant(
        "a code is good for two sessions",
        "storage/tables/verifications.py",
        " AND consumed_at IS NULL AND voided_at IS NULL AND expires_at > :now",
        " AND voided_at IS NULL AND expires_at > :now",
        sqlite("verifications", "a_code_is_good_for_one_session"),
    ),
)
