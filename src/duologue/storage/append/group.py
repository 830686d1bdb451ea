"""One group commit, whatever the engine: idempotency, and no caller harmed by its neighbour.

The fast path stores the whole batch at once. Only when the store refuses it is the reason looked for:
messages stored already are answered as replays, and an operation that can't be stored fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from duologue.clock import Clock
from duologue.errors import ApiError
from duologue.model import Event, Message
from duologue.storage.append.batch import Batch, OutOfRange, Stored, outcomes
from duologue.storage.database import Mark, Operation, Outcome, Post, Posted, UniqueViolation

Store = Callable[[Batch], Stored]
"""Stores a batch whole or not at all.

Raises `UniqueViolation`, `NoSuchChat`, `ApiError` `log_full`, or what the engine raises.
"""
Find = Callable[[Post], Message | None]
"""The message already stored under a post's `client_id`."""
LastSeqs = Callable[[Sequence[int]], Mapping[int, int]]
"""The seq of the newest message of each of these chats."""


class StoreUnavailable(Exception):
    """The store can't be reached: there is no use in trying the batch piece by piece."""


class Group:
    """Commits operations through a `Store`, and gathers the events that came of them."""

    def __init__(self, store: Store, find: Find, last_seqs: LastSeqs, clock: Clock) -> None:
        self._store = store
        self._find = find
        self._last_seqs = last_seqs
        self._clock = clock
        self.events: list[Event] = []

    def commit(self, operations: Sequence[Operation]) -> list[Outcome]:
        """The outcome of each operation, in order. Raises `StoreUnavailable`."""
        posts: dict[tuple[int, int, str, bool], int] = {}
        twins: list[tuple[int, int]] = []
        marks: dict[tuple[int, int], list[int]] = {}
        for index, operation in enumerate(operations):
            if isinstance(operation, Post):
                key = (operation.chat_id, operation.side, operation.client_id, operation.by_sms)
                first = posts.setdefault(key, index)
                if first != index:
                    twins.append((index, first))
            else:
                marks.setdefault((operation.chat_id, operation.side), []).append(index)
        firsts = [operations[index] for index in posts.values()]
        merged = [_merge([operations[index] for index in indexes]) for indexes in marks.values()]
        posted, marked = self._settle(firsts, merged)  # type: ignore[arg-type]
        results: dict[int, Outcome] = dict(zip(posts.values(), posted, strict=True))
        self._settle_twins(operations, twins, results)
        mixed = []
        for indexes, outcome in zip(marks.values(), marked, strict=True):
            if len(indexes) == 1:
                results[indexes[0]] = outcome
            else:
                results.update(dict.fromkeys(indexes, outcome))
                if isinstance(outcome, OutOfRange):
                    mixed.append(indexes)
        results |= self._spread(operations, mixed)
        return [results[index] for index in range(len(operations))]

    def _spread(self, operations: Sequence[Operation], mixed: list[list[int]]) -> dict[int, Outcome]:
        """The outcomes of those parts of merged marks that are in range, although others aren't.

        One look and one transaction for all of them, however many a client sends.
        """
        chats = list({operations[indexes[0]].chat_id for indexes in mixed})
        newest = self._last_seqs(chats) if chats else {}
        groups = [
            [
                index
                for index in indexes
                if _height(operations[index]) <= newest.get(operations[index].chat_id, 0)
            ]
            for indexes in mixed
        ]
        groups = [indexes for indexes in groups if indexes]
        if not groups:
            return {}
        _, found = self._settle([], [_merge([operations[index] for index in indexes]) for indexes in groups])
        return {index: outcome for indexes, outcome in zip(groups, found, strict=True) for index in indexes}

    def _settle_twins(
        self, operations: Sequence[Operation], twins: list[tuple[int, int]], results: dict[int, Outcome]
    ) -> None:
        """Posts whose key stands earlier in the same batch: they repeat that one, or what was stored before both.

        What was stored before is looked up once for each key.
        """
        stored: dict[int, Message | None] = {}
        for index, first in twins:
            twin, outcome = operations[index], results[first]
            assert isinstance(twin, Post)
            if first not in stored:
                stored[first] = outcome.message if isinstance(outcome, Posted) else self._find(twin)
            message = stored[first]
            results[index] = answer_repeat(twin, message) if message else self._settle([twin], [])[0][0]

    def _settle(self, posts: list[Post], marks: list[Mark]) -> tuple[list[Outcome], list[Outcome]]:
        if not (posts or marks):
            return [], []
        batch = Batch(posts, marks, self._clock())
        try:
            stored = self._store(batch)
        except (UniqueViolation, ApiError) as fault:
            return self._settle_repeats(posts, marks, fault)
        except StoreUnavailable:
            raise
        except Exception as fault:  # noqa: BLE001 - looked at one by one
            return self._settle_apart(posts, marks, fault)
        self.events += stored.events
        return outcomes(batch, stored)

    def _settle_repeats(
        self, posts: list[Post], marks: list[Mark], fault: Exception
    ) -> tuple[list[Outcome], list[Outcome]]:
        """Some post may be stored already: answer those from the store, and commit the rest."""
        known = [self._find(post) for post in posts]
        fresh = [post for post, message in zip(posts, known, strict=True) if message is None]
        if len(fresh) == len(posts):
            return self._settle_apart(posts, marks, fault)
        posted, marked = self._settle(fresh, marks) if fresh or marks else ([], [])
        rest = iter(posted)
        answers = [
            next(rest) if message is None else answer_repeat(post, message)
            for post, message in zip(posts, known, strict=True)
        ]
        return answers, marked

    def _settle_apart(
        self, posts: list[Post], marks: list[Mark], fault: Exception
    ) -> tuple[list[Outcome], list[Outcome]]:
        """Something in the batch can't be stored: commit one by one, so that it fails alone."""
        if len(posts) + len(marks) == 1:
            return [fault] * len(posts), [fault] * len(marks)
        return (
            [self._settle([post], [])[0][0] for post in posts],
            [self._settle([], [mark])[1][0] for mark in marks],
        )


def _height(operation: Operation) -> int:
    assert isinstance(operation, Mark)
    return max(operation.delivered, operation.read)


def answer_repeat(post: Post, message: Message) -> Outcome:
    """The answer to a `client_id` that has been stored before: the message as it is, if the content is the same.

    What the text of a message was before it was edited or deleted is no longer known, so any text repeats it.
    """
    is_same_text = (
        message.edited_at is not None or message.deleted_at is not None or post.text == message.text
    )
    if is_same_text and post.reply_to == message.reply_to:
        return Posted(message, replayed=True)
    return ApiError("client_id_reused", errors={"client_id": "names another message already"})


def _merge(marks: Sequence[Operation]) -> Mark:
    first = marks[0]
    assert isinstance(first, Mark)
    if len(marks) == 1:
        return first
    delivered = max(mark.delivered for mark in marks if isinstance(mark, Mark))
    read = max(mark.read for mark in marks if isinstance(mark, Mark))
    return Mark(first.chat_id, first.owner, first.peer, first.side, delivered, read)
