"""Faults of the message path and of marks."""

from __future__ import annotations

from typing import Final

from duologue_lab.mutants.mutant import SHORT_TORTURE, Mutant, contract, sqlite

MESSAGES: Final = (
    Mutant(
        "SQLite does not wait for the disk",
        "storage/engine/sqlite.py",
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = OFF",
        contract("storage_durable", "a_running_store_waits_for_the_disk_at_every_commit", engine="sqlite"),
    ),
    Mutant(
        "a repeat with another text gets the first outcome",
        "storage/append/group.py",
        "    if is_same_text and post.reply_to == message.reply_to:",
        "    if message.seq:",
        sqlite("storage_idempotency", "duplicates_in_one_batch_are_one_message")
        + contract("storage_idempotency", "a_repeat_behind_other_content_under_its_key_is_still_a_repeat"),
    ),
    Mutant(
        "a repeat in one batch is stored again",
        "storage/append/group.py",
        "                if first != index:",
        "                if first > index:",
        sqlite("storage_idempotency", "duplicates_in_one_batch_are_one_message"),
    ),
    Mutant(
        "repeats keep their neighbours from being stored",
        "storage/append/group.py",
        "        fresh = [post for post, message in zip(posts, known, strict=True) if message is None]",
        "        fresh = [post for post, message in zip(posts, known, strict=True) if message is None][:1]",
        sqlite("storage_idempotency", "duplicates_among_fresh_ones_leave_no_hole"),
    ),
    Mutant(
        "the sides of a chat are counted as one",
        "storage/append/batch.py",
        "        moves[1 + post.side] += 1",
        "        moves[1] += 1",
        ("tests/unit/test_batch.py::test_a_batch_by_hand",),
    ),
    Mutant(
        "a chat that is at the top is moved there again",
        "storage/append/batch.py",
        "if top not in (top_before, 0) else []",
        "if top != 0 else []",
        ("tests/unit/test_batch.py::test_a_chat_at_the_top_stays_there_unwritten",),
    ),
    Mutant(
        "news are told before their callers are answered",
        "storage/engine/writer.py",
        "        self._waiting.settle(batch)\n        if events:\n            self._listener.committed(events)",
        "        if events:\n            self._listener.committed(events)\n        self._waiting.settle(batch)",
        sqlite("storage_events", "a_batch_is_told_after_its_callers_were_answered"),
    ),
    Mutant(
        "a queue without an end",
        "storage/engine/writer.py",
        "        if self._closing or len(self._queue) >= self._capacity:",
        "        if self._closing:",
        sqlite("storage_neighbours", "a_full_queue_is_overloaded_and_takes_nothing"),
    ),
    Mutant(
        "what a failed operation has written stays",
        "storage/engine/sqlite.py",
        '            self._connection.execute("ROLLBACK TO unit")\n',
        "",
        sqlite("storage_neighbours", "a_storage_function_that_raises_leaves_nothing"),
    ),
    Mutant(
        "what a failed operation would have told is told",
        "storage/engine/sqlite.py",
        "            del self.emitted[told:]\n",
        "",
        sqlite("storage_neighbours", "a_storage_function_that_raises_leaves_nothing"),
    ),
)

MARKS: Final = (
    Mutant(
        "unread is off by one",
        "storage/tables/chats.py",
        "(high_count if user_id == low else low_count) - read_count",
        "(high_count if user_id == low else low_count) - read_count + 1",
        SHORT_TORTURE,
    ),
    Mutant(
        "a mark may go beyond the chat",
        "storage/tables/receipts.py",
        "    if before is None or max(mark.delivered, mark.read) > before.last_seq:",
        "    if before is None or max(mark.delivered, mark.read) > before.last_seq + 1:",
        sqlite("storage_marks", "a_mark_beyond_the_last_message_is_refused"),
    ),
    Mutant(
        "a mark goes back",
        "storage/tables/receipts.py",
        "    read = max(before.read, mark.read)\n",
        "    read = mark.read or before.read\n",
        sqlite("storage_marks", "marks_only_rise"),
    ),
    Mutant(
        "what was read is not delivered",
        "storage/tables/receipts.py",
        "    delivered = max(before.delivered, mark.delivered, mark.read)\n",
        "    delivered = max(before.delivered, mark.delivered)\n",
        sqlite("storage_marks", "read_implies_delivered"),
    ),
    Mutant(
        "what was read in private is shown",
        "storage/tables/receipts.py",
        "        if before.read_receipts:\n",
        "        if before.read_receipts or mark.read:\n",
        sqlite("storage_marks", "private_reading_is_not_shown"),
    ),
    Mutant(
        "an ack marks one's own messages",
        "storage/tables/receipts.py",
        "        if kind == Kind.MESSAGE_CREATED and not mine:",
        "        if kind == Kind.MESSAGE_CREATED:",
        sqlite("storage_marks", "an_ack_covers_the_peers_messages_up_to_it"),
    ),
    Mutant(
        "an ack may go beyond the log",
        "storage/tables/receipts.py",
        "WHERE user_id = ? AND acked < ? AND last_seq >= ?",
        "WHERE user_id = ? AND acked < ? AND last_seq >= ? - 1",
        sqlite("storage_marks", "an_ack_only_moves_forward_and_never_beyond_the_log"),
    ),
    Mutant(
        "an ack forgets the newest message that it covers",
        "core/acks.py",
        "        while self._given and self._given[0][0] <= seq:",
        "        while self._given and self._given[0][0] < seq:",
        sqlite("acks", "an_ack_delivers_in_each_chat_what_it_covers_without_a_read"),
    ),
    Mutant(
        "marks that are raised together lose the higher one",
        "storage/append/group.py",
        "    read = max(mark.read for mark in marks if isinstance(mark, Mark))",
        "    read = min(mark.read for mark in marks if isinstance(mark, Mark))",
        sqlite("storage_marks", "marks_merged_in_one_batch_each_have_their_outcome"),
    ),
)
