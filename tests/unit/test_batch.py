"""The arithmetic of a group commit: relative numbers, and what becomes of them."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from duologue.model import Event, Kind, Receipt
from duologue.storage.append.batch import (
    AppendResult,
    Batch,
    MovedMark,
    OutOfRange,
    as_stored,
    events,
    messages,
    outcomes,
)
from duologue.storage.database import Mark, Marked, Post, Posted

NOW = 1_700_000_000_000
ANN, BEN, CAT = 10, 20, 30
AB, AC = 100, 200


def post(chat_id: int, side: int, client_id: str = "k") -> Post:
    high = BEN if chat_id == AB else CAT
    return Post(chat_id, ANN, high, side, client_id, f"text of {client_id}", 0)


def mark(chat_id: int, side: int, delivered: int = 0, read: int = 0) -> Mark:
    peer = BEN if chat_id == AB else CAT
    owner, other = (peer, ANN) if side else (ANN, peer)
    return Mark(chat_id, owner, other, side, delivered, read)


def test_a_batch_by_hand() -> None:
    """Ann writes to Ben twice and to Cat once, and Ben answers in between."""
    batch = Batch([post(AB, 0), post(AB, 1), post(AC, 0), post(AB, 0)], [mark(AC, 1, read=1)], NOW)
    assert batch.chat_ids == [AB, AC]
    assert batch.chat_moves == [[3, 2, 1], [1, 1, 0]]
    assert batch.user_ids == [ANN, BEN, CAT]
    assert batch.user_moves == [4, 3, 1]
    assert batch.counts == [(1, 1, 0), (2, 1, 1), (1, 1, 0), (3, 2, 1)]
    assert batch.offsets == [(1, 1), (2, 2), (3, 1), (4, 3)]
    assert (batch.chat_of, batch.low_of, batch.high_of) == ([0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 2, 1])
    assert (batch.mark_owner, batch.mark_peer) == ([2], [0])


def test_the_list_is_moved_as_far_as_the_batch_moves_it() -> None:
    batch = Batch([post(AB, 0), post(AC, 0), post(AB, 1)], [], NOW)
    assert batch.raised(0, top_before=AB) == [(AC, 2), (AB, 3)]
    assert batch.tops[0] == AB
    assert batch.raised(2, top_before=0) == [(AC, 1)]


def test_a_chat_at_the_top_stays_there_unwritten() -> None:
    batch = Batch([post(AB, 0), post(AB, 1)], [mark(AC, 1)], NOW)
    assert batch.raised(0, top_before=AB) == []
    assert batch.raised(0, top_before=AC) == [(AB, 2)]
    assert batch.tops[0] == AB
    assert batch.raised(2, top_before=AC) == []
    assert batch.tops[2] == 0


def test_counters_make_the_numbers_absolute() -> None:
    batch = Batch([post(AB, 0, "x"), post(AB, 1, "y"), post(AC, 1, "z")], [], NOW)
    numbers = AppendResult([(40, 30, 10), (0, 0, 0)], [500, 600, 700], [], frozenset())
    stored = messages(batch, numbers.chats)
    assert [(m.chat_id, m.seq, m.sender_id, m.low_count, m.high_count) for m in stored] == [
        (AB, 41, ANN, 31, 10),
        (AB, 42, BEN, 31, 11),
        (AC, 1, CAT, 0, 1),
    ]
    assert [(m.client_id, m.text, m.sent_at) for m in stored] == [
        (key, f"text of {key}", NOW) for key in ("x", "y", "z")
    ]
    told = [
        (event.user_id, event.seq, event.ref, event.a, event.b) for event in events(batch, numbers, stored)
    ]
    assert told == [
        (ANN, 501, AB, 41, 1),
        (BEN, 601, AB, 41, 0),
        (ANN, 502, AB, 42, 0),
        (BEN, 602, AB, 42, 1),
        (ANN, 503, AC, 1, 0),
        (CAT, 701, AC, 1, 1),
    ]


def test_a_mark_is_told_to_its_owner_and_as_far_as_it_shows_to_the_peer() -> None:
    batch = Batch([], [mark(AB, 1, read=7), mark(AC, 1, read=5)], NOW)
    moved = [MovedMark(0, 9, 7, 8, 3, 1, 1), MovedMark(1, 5, 5, 5, 0, 1, 0)]
    heads = {ANN: 100, BEN: 200, CAT: 300}
    numbers = AppendResult([], [heads[user_id] for user_id in batch.user_ids], moved, frozenset())
    told = events(batch, numbers, [])
    assert [(event.user_id, event.seq, event.kind, event.a, event.b) for event in told] == [
        (BEN, 201, Kind.RECEIPT_MINE, 9, 7),
        (ANN, 101, Kind.RECEIPT_PEER, 8, 3),
        (CAT, 301, Kind.RECEIPT_MINE, 5, 5),
    ]
    assert [event.body for event in told] == [
        Receipt(AB, BEN, 9, 7),
        Receipt(AB, BEN, 8, 3),
        Receipt(AC, CAT, 5, 5),
    ]


def test_each_operation_has_its_outcome() -> None:
    batch = Batch([post(AB, 0)], [mark(AB, 1, read=1), mark(AC, 1, read=9), mark(AC, 0)], NOW)
    numbers = AppendResult([(0, 0, 0)], [0, 0, 0], [MovedMark(0, 1, 1, 1, 1, 1, 2)], frozenset({1}))
    stored = as_stored(batch, numbers)
    posted, marked = outcomes(batch, stored)
    assert posted == [Posted(stored.messages[0], replayed=False)]
    assert marked[0] == Marked(changed=True)
    assert isinstance(marked[1], OutOfRange)
    assert marked[2] == Marked(changed=False)


@given(st.lists(st.tuples(st.sampled_from([AB, AC]), st.integers(0, 1)), max_size=30), st.data())
def test_any_batch_numbers_chats_and_logs_without_a_hole(
    placed: list[tuple[int, int]], data: st.DataObject
) -> None:
    batch = Batch([post(chat, side, str(n)) for n, (chat, side) in enumerate(placed)], [], NOW)
    chats = [tuple(data.draw(st.integers(0, 1000)) for _ in range(3)) for _ in batch.chat_ids]
    users = [data.draw(st.integers(0, 1000)) for _ in batch.user_ids]
    numbers = AppendResult(chats, users, [], frozenset())  # type: ignore[arg-type]
    stored = messages(batch, numbers.chats)
    for index, chat_id in enumerate(batch.chat_ids):
        mine = [message for message in stored if message.chat_id == chat_id]
        first = chats[index][0] + 1
        assert [message.seq for message in mine] == list(range(first, first + len(mine)))
        sides = Counter(side for chat, side in placed if chat == chat_id)
        assert batch.chat_moves[index] == [len(mine), sides[0], sides[1]]
    logs: dict[int, list[Event]] = defaultdict(list)
    for event in events(batch, numbers, stored):
        logs[event.user_id].append(event)
    for index, user_id in enumerate(batch.user_ids):
        seqs = [event.seq for event in logs[user_id]]
        assert seqs == list(range(users[index] + 1, users[index] + 1 + batch.user_moves[index]))
