"""Traces of messages: short notes of places and times, kept for a few days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

import msgspec

from duologue.model import new_id
from duologue.storage.database import Tx

_ROWS: Final = 200  # rows
_STEP: Final = 1_000  # rows


class Hop(IntEnum):
    """Step of a message on its way, as stored. Append only."""

    ACCEPTED = 1
    COMMITTED = 2
    PUSHED = 3
    """To a device of its recipient."""
    ACKNOWLEDGED = 4
    """By a device of its recipient: this message and all before it."""


Columns = tuple[list[int], list[int], list[int]]
"""How a row keeps its notes: small numbers take a byte or two each. Seqs above the lowest, hops, and for how many
milliseconds each has been noted."""
_decode: Final = msgspec.msgpack.Decoder(Columns).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def store_notes(tx: Tx, notes: Mapping[int, Sequence[int]], now: int) -> None:
    """Keep what was noted of each chat: a seq, a `Hop` and when (epoch ms), again and again."""
    rows = []
    for chat_id, flat in notes.items():
        seqs = flat[0::3]
        low = min(seqs)
        columns = [seq - low for seq in seqs], flat[1::3], [now - at for at in flat[2::3]]
        rows.append((chat_id, max(seqs), new_id(), low, now, _encode(columns)))
    tx.many("INSERT INTO traces (chat_id, high_seq, id, low_seq, at, hops) VALUES (?, ?, ?, ?, ?, ?)", rows)


def notes_of(tx: Tx, chat_id: int, seq: int) -> dict[Hop, int]:
    """Return the time at which each hop of a message was first noted; an ack of a later message counts too."""
    rows = tx.all(
        "SELECT low_seq, at, hops FROM traces WHERE chat_id = :chat_id AND high_seq >= :seq"
        " ORDER BY high_seq LIMIT :most",
        chat_id=chat_id,
        seq=seq,
        most=_ROWS,
    )
    first: dict[Hop, int] = {}
    for low, written_at, packed in rows:
        for above, number, age in zip(*_decode(bytes(packed)), strict=True):
            noted, hop, at = low + above, Hop(number), written_at - age
            if noted == seq or (hop is Hop.ACKNOWLEDGED and noted > seq):
                first[hop] = min(at, first.get(hop, at))
    return first


def purge_traces(tx: Tx, before: int) -> int:
    """Forget notes made before then, a step at a time; how many rows went."""
    return tx.run(
        "DELETE FROM traces WHERE (chat_id, high_seq, id) IN"
        " (SELECT chat_id, high_seq, id FROM traces WHERE at < :before ORDER BY at LIMIT :step)",
        before=before,
        step=_STEP,
    )
