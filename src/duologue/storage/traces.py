"""Where messages were when: short notes, kept for a few days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

import msgspec

from duologue.model import new_id
from duologue.storage.database import Tx

_ROWS: Final = 200
_STEP: Final = 1_000


class Hop(IntEnum):
    """What happened to a message on its way, as stored. Append only."""

    ACCEPTED = 1
    COMMITTED = 2
    PUSHED = 3
    """To a device of its recipient."""
    ACKNOWLEDGED = 4
    """By a device of its recipient: this message and all before it."""


Note = tuple[int, int, int]
"""A message's seq, a `Hop`, and when (epoch ms)."""
_decode: Final = msgspec.msgpack.Decoder(list[Note]).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def store_notes(tx: Tx, notes: Mapping[int, Sequence[Note]], now: int) -> None:
    """Keep what was noted of each chat."""
    rows = []
    for chat_id, of_chat in notes.items():
        seqs = [note[0] for note in of_chat]
        rows.append((chat_id, max(seqs), new_id(), min(seqs), now, _encode(of_chat)))
    tx.many("INSERT INTO traces (chat_id, high_seq, id, low_seq, at, hops) VALUES (?, ?, ?, ?, ?, ?)", rows)


def notes_of(tx: Tx, chat_id: int, seq: int) -> dict[Hop, int]:
    """When each hop of a message was first noted; an acknowledgement of a later one counts for it too."""
    rows = tx.all(
        "SELECT hops FROM traces WHERE chat_id = :chat_id AND high_seq >= :seq ORDER BY high_seq LIMIT :most",
        chat_id=chat_id,
        seq=seq,
        most=_ROWS,
    )
    first: dict[Hop, int] = {}
    for (packed,) in rows:
        for noted, number, at in _decode(bytes(packed)):
            hop = Hop(number)
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
