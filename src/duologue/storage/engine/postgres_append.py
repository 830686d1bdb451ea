"""The message path on PostgreSQL: one set-based call a batch (`duologue_append`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import psycopg
from psycopg import errors

from duologue.errors import ApiError
from duologue.model import NEVER, Presets
from duologue.storage.append.batch import AppendResult, Batch, MovedMark, NoSuchChat
from duologue.storage.database import AlarmRule, Post, UniqueViolation
from duologue.storage.engine.postgres_tx import StatementRunner
from duologue.storage.tables.messages import pack_client_id

_NO_PRESETS: Final = Presets()
_NO_ALARMS: Final = AlarmRule(NEVER, NEVER, 0)
_NO_SUCH_CHAT: Final = "DU001"
_LIST: Final = msgspec.json.Decoder(list[int])
_encode: Final = msgspec.json.Encoder().encode


class Extras(msgspec.Struct, frozen=True, gc=False):
    """Parameters of a call beside its batch; `several` and `alarms` are rows of it, whose indexes count from 1."""

    several: Sequence[tuple[int, int, int]]
    alarms: Sequence[tuple[int, int, int]]
    rule: AlarmRule
    presets: Presets


class Parameter(NamedTuple):
    """A parameter of `duologue_append`: its name and type there, and its value as PostgreSQL reads it."""

    name: str
    type: str
    value: Callable[[Batch, Extras], bytes]


PARAMETERS: Final = (
    Parameter("now_ms", "bigint", lambda batch, _: b"%d" % batch.now),
    Parameter("chat_ids", "bigint[]", lambda batch, _: _array(batch.chat_ids)),
    Parameter("chat_totals", "integer[]", lambda batch, _: _column(batch.chat_moves, 0)),
    Parameter("chat_lows", "integer[]", lambda batch, _: _column(batch.chat_moves, 1)),
    Parameter("chat_highs", "integer[]", lambda batch, _: _column(batch.chat_moves, 2)),
    Parameter("user_ids", "bigint[]", lambda batch, _: _array(batch.user_ids)),
    Parameter("user_moves", "integer[]", lambda batch, _: _array(batch.user_moves)),
    Parameter("user_tops", "bigint[]", lambda batch, _: _array(batch.tops)),
    Parameter("user_top_offsets", "integer[]", lambda batch, _: _array(batch.top_offsets)),
    Parameter("post_chat_of", "integer[]", lambda batch, _: _places(batch.chat_of)),
    Parameter("post_seqs", "integer[]", lambda batch, _: _column(batch.counts, 0)),
    Parameter("post_lows", "integer[]", lambda batch, _: _column(batch.counts, 1)),
    Parameter("post_highs", "integer[]", lambda batch, _: _column(batch.counts, 2)),
    Parameter("post_sides", "integer[]", lambda batch, _: _array([post.side for post in batch.posts])),
    Parameter("post_replies", "integer[]", lambda batch, _: _array([post.reply_to for post in batch.posts])),
    Parameter("post_clients", "bytea[]", lambda batch, _: _texts([_client(post) for post in batch.posts])),
    Parameter("post_texts", "text[]", lambda batch, _: _texts([post.text for post in batch.posts])),
    Parameter("post_low_of", "integer[]", lambda batch, _: _places(batch.low_of)),
    Parameter("post_low_offsets", "integer[]", lambda batch, _: _column(batch.offsets, 0)),
    Parameter("post_high_of", "integer[]", lambda batch, _: _places(batch.high_of)),
    Parameter("post_high_offsets", "integer[]", lambda batch, _: _column(batch.offsets, 1)),
    Parameter("several_of", "integer[]", lambda _, extras: _column(extras.several, 0)),
    Parameter("several_chats", "bigint[]", lambda _, extras: _column(extras.several, 1)),
    Parameter("several_offsets", "integer[]", lambda _, extras: _column(extras.several, 2)),
    Parameter("mark_owner_of", "integer[]", lambda batch, _: _places(batch.mark_owner)),
    Parameter("mark_peer_of", "integer[]", lambda batch, _: _places(batch.mark_peer)),
    Parameter("mark_chats", "bigint[]", lambda batch, _: _array([mark.chat_id for mark in batch.marks])),
    Parameter("mark_sides", "integer[]", lambda batch, _: _array([mark.side for mark in batch.marks])),
    Parameter(
        "mark_delivered", "integer[]", lambda batch, _: _array([mark.delivered for mark in batch.marks])
    ),
    Parameter("mark_read", "integer[]", lambda batch, _: _array([mark.read for mark in batch.marks])),
    Parameter("alarm_of", "integer[]", lambda _, extras: _column(extras.alarms, 0)),
    Parameter("alarm_chat_of", "integer[]", lambda _, extras: _column(extras.alarms, 1)),
    Parameter("alarm_seqs", "integer[]", lambda _, extras: _column(extras.alarms, 2)),
    Parameter("alarm_preset", "integer", lambda _, extras: b"%d" % extras.rule.preset),
    Parameter("alarm_unregistered", "integer", lambda _, extras: b"%d" % extras.rule.unregistered),
    Parameter("alarm_longest", "integer", lambda _, extras: b"%d" % extras.rule.longest),
    Parameter("write_default", "integer", lambda _, extras: b"%d" % extras.presets.who_can_write),
    Parameter(
        "discoverable_default", "boolean", lambda _, extras: b"t" if extras.presets.discoverable else b"f"
    ),
)
"""All that the function is given, in its order; arrays of one prefix are columns of the same rows.

The one place that names them besides the migration that makes the function; a test compares the two. Arrays, since
composites cost more (docs/decisions/0038-arrays-for-the-batch-function.md).
"""
_VALUES: Final = tuple(each.value for each in PARAMETERS)
RESULTS: Final = (
    *("chat_seqs", "chat_low_counts", "chat_high_counts", "user_seqs"),
    *("mark_states", "marks_delivered", "marks_read", "marks_delivered_shown", "marks_read_shown"),
    *("mark_own_offsets", "mark_peer_offsets"),
)
"""All that it answers, in the order in which it is taken here; all are arrays of integers."""
_CALL: Final = "SELECT {} FROM duologue_append({})".format(
    ", ".join(RESULTS),
    ", ".join(f"{each.name} => ${place}::{each.type}" for place, each in enumerate(PARAMETERS, 1)),
).encode()


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
            result = line.run(_CALL, parameters(batch, self._rule, self._presets))
        except errors.UniqueViolation as fault:
            raise UniqueViolation from fault
        except errors.NumericValueOutOfRange as fault:
            raise ApiError("log_full") from fault
        except psycopg.Error as fault:
            if fault.sqlstate == _NO_SUCH_CHAT:
                raise NoSuchChat from fault
            raise
        return _numbers([_ints(result.get_value(0, column)) for column in range(len(RESULTS))])


def parameters(batch: Batch, rule: AlarmRule | None, presets: Presets) -> list[bytes]:
    """Return the values of `PARAMETERS` for a batch; without a rule it raises no alarms."""
    several = [
        (user + 1, chat_id, offset)
        for user, chats in batch.several.items()
        for chat_id, offset in chats.items()
    ]
    alarms = [(user + 1, chat + 1, seq) for user, chat, seq in batch.firsts()] if rule else []
    extras = Extras(several, alarms, rule or _NO_ALARMS, presets)
    return [value(batch, extras) for value in _VALUES]


def _client(post: Post) -> str:
    return "\\x" + pack_client_id(post.client_id, by_sms=post.by_sms).hex()


def _array(values: Sequence[int]) -> bytes:
    """An array literal. JSON's encoder is the fastest way there is from many numbers to their digits."""
    return b"{" + _encode(values)[1:-1] + b"}" if values else b"{}"


def _places(indexes: Sequence[int]) -> bytes:
    """Counted from 1, as PostgreSQL does."""
    return _array([index + 1 for index in indexes])


def _column(rows: Sequence[Sequence[int]], index: int) -> bytes:
    return _array([row[index] for row in rows]) if rows else b"{}"


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
