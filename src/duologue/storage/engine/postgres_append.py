"""The message path on PostgreSQL: one set-based call a batch (`duologue_append`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import psycopg
from psycopg import errors

from duologue.errors import ApiError
from duologue.model import NEVER, Presets
from duologue.storage.append.batch import AppendResult, Batch, MovedMark, NoSuchChat
from duologue.storage.database import AlarmRule, UniqueViolation
from duologue.storage.engine.postgres_tx import StatementRunner
from duologue.storage.tables.messages import pack_client_id

_NO_PRESETS: Final = Presets()
_TYPES: Final = (
    *("bigint", "bigint[]", "int[]", "int[]", "int[]", "bigint[]", "int[]", "bigint[]", "int[]"),
    *("int[]", "int[]", "int[]", "int[]", "int[]", "int[]", "bytea[]", "text[]"),
    *("int[]", "int[]", "int[]", "int[]", "int[]", "bigint[]", "int[]"),
    *("int[]", "int[]", "bigint[]", "int[]", "int[]", "int[]"),
    *("int[]", "int[]", "int[]", "int", "int", "int", "int", "boolean"),
)
_CALL: Final = "SELECT * FROM duologue_append({})".format(
    ", ".join(f"${place}::{name}" for place, name in enumerate(_TYPES, 1))
).encode()
_NO_SUCH_CHAT: Final = "DU001"
_LIST: Final = msgspec.json.Decoder(list[int])


class Appender:
    """Stores batches over one connection after the other.

    It speaks libpq: of what a batch costs here, adapting and waiting were more than half.
    """

    def __init__(self, rule: AlarmRule | None = None, presets: Presets = _NO_PRESETS) -> None:
        self._rule = rule
        self._presets = presets

    def append(self, line: StatementRunner, batch: Batch) -> AppendResult:
        """Store a batch as one statement, which is one transaction, with its alarms if there is a rule for them.

        Raises `UniqueViolation` when one of its messages is stored already, `NoSuchChat` when a chat or user of
        it isn't there, `ApiError` `log_full`, and `psycopg.Error`; nothing is stored then.
        """
        try:
            result = line.run(_CALL, _parameters(batch, self._rule, self._presets))
        except errors.UniqueViolation as fault:
            raise UniqueViolation from fault
        except errors.NumericValueOutOfRange as fault:
            raise ApiError("log_full") from fault
        except psycopg.Error as fault:
            if fault.sqlstate == _NO_SUCH_CHAT:
                raise NoSuchChat from fault
            raise
        return _numbers([_ints(result.get_value(0, column)) for column in range(result.nfields)])


def _parameters(batch: Batch, rule: AlarmRule | None, presets: Presets) -> list[bytes]:
    posts, marks = batch.posts, batch.marks
    several = [
        (user + 1, chat_id, offset)
        for user, chats in batch.several.items()
        for chat_id, offset in chats.items()
    ]
    alarms = [(user + 1, chat + 1, seq) for user, chat, seq in batch.firsts()] if rule else []
    waits = (rule.preset, rule.unregistered, rule.longest) if rule else (NEVER, NEVER, 0)
    return [
        b"%d" % batch.now,
        _array(batch.chat_ids),
        *_columns(batch.chat_moves, 3),
        _array(batch.user_ids),
        _array(batch.user_moves),
        _array(batch.tops),
        _array(batch.top_offsets),
        _places(batch.chat_of),
        *_columns(batch.counts, 3),
        _array([post.side for post in posts]),
        _array([post.reply_to for post in posts]),
        _texts(["\\x" + pack_client_id(post.client_id, by_sms=post.by_sms).hex() for post in posts]),
        _texts([post.text for post in posts]),
        _places(batch.low_of),
        _array([offset for offset, _ in batch.offsets]),
        _places(batch.high_of),
        _array([offset for _, offset in batch.offsets]),
        *_columns(several, 3),
        _places(batch.mark_owner),
        _places(batch.mark_peer),
        _array([mark.chat_id for mark in marks]),
        _array([mark.side for mark in marks]),
        _array([mark.delivered for mark in marks]),
        _array([mark.read for mark in marks]),
        *_columns(alarms, 3),
        *(b"%d" % wait for wait in waits),
        b"%d" % presets.who_can_write,
        b"t" if presets.discoverable else b"f",
    ]


def _array(values: Sequence[int]) -> bytes:
    """An array literal. JSON's encoder is the fastest way there is from many numbers to their digits."""
    return b"{" + msgspec.json.encode(values)[1:-1] + b"}"


def _places(indexes: Sequence[int]) -> bytes:
    """Counted from 1, as PostgreSQL does."""
    return _array([index + 1 for index in indexes])


def _columns(rows: Sequence[Sequence[int]], count: int) -> list[bytes]:
    return [_array(column) for column in zip(*rows, strict=True)] if rows else [b"{}"] * count


def _texts(values: Sequence[str]) -> bytes:
    """An array literal: quoted, so only quotes and backslashes have to be escaped."""
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return ('{"' + '","'.join(quoted) + '"}').encode() if quoted else b"{}"


def _ints(value: bytes | None) -> list[int]:
    """A one-dimensional array of numbers; what is null counts as 0."""
    if not value or value == b"{}":
        return []
    return _LIST.decode(b"[" + value[1:-1].replace(b"NULL", b"0") + b"]")


def _numbers(row: Sequence[list[int]]) -> AppendResult:
    chat_seqs, chat_lows, chat_highs, user_seqs, states, *marks = row
    delivered, read, delivered_shown, read_shown, own_offsets, peer_offsets = marks
    moved, out_of_range = [], set()
    for index, state in enumerate(states):
        if state < 0:
            out_of_range.add(index)
        elif state:
            peer_offset = peer_offsets[index] if state > 1 else 0
            moved.append(
                MovedMark(
                    index,
                    delivered[index],
                    read[index],
                    delivered_shown[index],
                    read_shown[index],
                    own_offsets[index],
                    peer_offset,
                )
            )
    chats = list(zip(chat_seqs, chat_lows, chat_highs, strict=True))
    return AppendResult(chats, user_seqs, moved, frozenset(out_of_range))
