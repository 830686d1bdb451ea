"""The judge: whether a history keeps every promise. It knows nothing but the history, and does no input or output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from duologue_lab.torture import rules_hidden, rules_logs, rules_marks, rules_messages, rules_time
from duologue_lab.torture.book import Book, Violation
from duologue_lab.torture.history import AnyEntry, OddEntry, OverEntry

_EACH: Final = 20
"""So many violations of one rule are told."""


def check(entries: Sequence[AnyEntry]) -> list[Violation]:
    """Return the broken promises of a history, with the evidence; empty if there are none."""
    book = Book(entries)
    rules = (
        run_is_complete,
        *rules_messages.RULES,
        *rules_logs.RULES,
        *rules_marks.RULES,
        *rules_hidden.RULES,
        *rules_time.RULES,
    )
    return [violation for rule in rules for violation in islice(rule(book), _EACH)]


def run_is_complete(book: Book) -> Iterator[Violation]:
    """Everything was answered in the end, and nothing happened that never should."""
    end = None
    for place, entry in enumerate(book.entries):
        if isinstance(entry, OddEntry):
            yield Violation("unexpected", f"{entry.where}: {entry.says}", (place,))
        elif isinstance(entry, OverEntry):
            end = entry
            for client_id in entry.unanswered:
                evidence = [places[-1] for key, places in book.attempts.items() if key.client_id == client_id]
                yield Violation("never answered", f"{client_id} was sent again and again", tuple(evidence))
    if end is None:
        yield Violation("unfinished", "the history has no end")
    wanted = {(user, "") for user in book.people}
    wanted |= {(user, chat) for user, chats in book.chats_of.items() for chat in chats}
    for user, chat in sorted(wanted - book.whole):
        yield Violation("unfinished", f"{user} could not read back {chat or 'their log'}")
