"""The message path on PostgreSQL: one set-based call a batch (`duologue_append`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import psycopg
from psycopg.errors import UniqueViolation as PgUniqueViolation

from duologue.storage.batch import Batch, MovedMark, NoSuchChat, Numbers
from duologue.storage.database import RelayRule, UniqueViolation
from duologue.storage.messages import pack_client_id

_CALL: Final = (
    "SELECT * FROM duologue_append(%s::bigint,"
    " %s::bigint[], %s::int[], %s::int[], %s::int[],"
    " %s::bigint[], %s::int[], %s::bigint[],"
    " %s::int[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[], %s::bytea[], %s::text[],"
    " %s::int[], %s::int[], %s::int[], %s::int[],"
    " %s::int[], %s::bigint[], %s::int[], %s::bool[],"
    " %s::int[], %s::int[], %s::bigint[], %s::int[], %s::int[], %s::int[],"
    " %s::int[], %s::int[], %s::int[], %s::int, %s::int, %s::bigint)"
)
_NO_SUCH_CHAT: Final = "DU001"


def append(connection: psycopg.Connection[Any], batch: Batch, relay: RelayRule | None = None) -> Numbers:
    """Store a batch as one statement, which is one transaction, with the alarms of the `relay` if there is one.

    Raises `UniqueViolation` when one of its messages is stored already, `NoSuchChat` when a chat or user of
    it isn't there, and `psycopg.Error`; nothing is stored then.
    """
    try:
        row = connection.execute(_CALL, _parameters(batch, relay), prepare=True).fetchone()
    except PgUniqueViolation as fault:
        raise UniqueViolation from fault
    except psycopg.Error as fault:
        if fault.sqlstate == _NO_SUCH_CHAT:
            raise NoSuchChat from fault
        raise
    assert row is not None
    return _numbers(row)


def _parameters(batch: Batch, relay: RelayRule | None) -> list[Any]:
    tops = [
        (user + 1, chat_id, offset, len(chats) == 1)
        for user, chats in enumerate(batch.tops)
        for chat_id, offset in chats.items()
    ]
    posts, marks = batch.posts, batch.marks
    alarms = batch.firsts() if relay else []
    rule = (relay.default, relay.unregistered, relay.delay) if relay else (0, 0, 0)
    return [
        batch.now,
        _array(batch.chat_ids),
        *(_array(moves[column] for moves in batch.chat_moves) for column in range(3)),
        _array(batch.user_ids),
        _array(batch.user_moves),
        _array(batch.top(user) for user in range(len(batch.user_ids))),
        _array(index + 1 for index in batch.chat_of),
        *(_array(counts[column] for counts in batch.counts) for column in range(3)),
        _array(post.side for post in posts),
        _array(post.reply_to for post in posts),
        [pack_client_id(post.client_id, by_sms=post.by_sms) for post in posts],
        [post.text for post in posts],
        _array(index + 1 for index in batch.low_of),
        _array(offset[0] for offset in batch.offsets),
        _array(index + 1 for index in batch.high_of),
        _array(offset[1] for offset in batch.offsets),
        *(_array(top[column] for top in tops) for column in range(4)),
        _array(index + 1 for index in batch.mark_owner),
        _array(index + 1 for index in batch.mark_peer),
        _array(mark.chat_id for mark in marks),
        _array(mark.side for mark in marks),
        _array(mark.delivered for mark in marks),
        _array(mark.read for mark in marks),
        _array(user + 1 for user, _, _ in alarms),
        _array(chat + 1 for _, chat, _ in alarms),
        _array(seq for _, _, seq in alarms),
        *map(int, rule),
    ]


def _array(values: Iterable[int]) -> str:
    """An array literal. As text, because a list's type would follow its values and unsettle the prepared plan."""
    return "{" + ",".join(map(str, values)) + "}"


def _numbers(row: tuple[Any, ...]) -> Numbers:
    chat_seqs, chat_lows, chat_highs, user_seqs, states, delivered, read, shown, own_offsets, peer_offsets = (
        row
    )
    moved, out_of_range = [], set()
    for index, state in enumerate(states or ()):
        if state < 0:
            out_of_range.add(index)
        elif state:
            peer_offset = peer_offsets[index] if state > 1 else 0
            moved.append(
                MovedMark(index, delivered[index], read[index], shown[index], own_offsets[index], peer_offset)
            )
    chats = list(zip(chat_seqs or (), chat_lows or (), chat_highs or (), strict=True))
    return Numbers(chats, user_seqs or (), moved, frozenset(out_of_range))
