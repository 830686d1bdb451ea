"""Pieces of long texts from phones, put together once all have come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from duologue.storage.database import Row, Tx

_GAP = " […] ".encode()
UTF8 = "utf-8"
"""The alphabet of pieces that came as text."""
_STEP = 200


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One piece: `number` of `total` that share a `reference`, from a phone to a service number.

    `data` is its text in `alphabet`. Two pieces together may make a character that neither has.
    """

    sender: str
    service: str
    reference: int
    number: int
    total: int
    provider: str
    provider_id: str
    data: bytes
    alphabet: str = UTF8


class Stretch(NamedTuple):
    """What pieces that follow each other have in one alphabet."""

    data: bytes
    alphabet: str


class Whole(msgspec.Struct, frozen=True, gc=False):
    """A text put together. It goes by its first piece's id, so that repeats of any piece give the same.

    `service` is empty where nobody knows it.
    """

    sender: str
    service: str
    provider: str
    provider_id: str
    stretches: Sequence[Stretch]


def add_piece(tx: Tx, piece: Piece, now: int) -> Whole | None:
    """Keep a piece; the whole text if that was the last one missing, or a repeat of one.

    Phones use a reference again after some hundred texts: a piece that contradicts those kept begins anew.
    """
    # Two pieces at once would each miss the other.
    tx.lock_logs()
    rows = _kept(tx, piece)
    if any(_contradicts(row, piece) for row in rows):
        _forget(tx, piece.sender, piece.service, piece.reference)
    _keep(tx, piece, now)
    rows = _kept(tx, piece)
    if len(rows) < piece.total:
        return None
    return Whole(piece.sender, piece.service, rows[0][2], rows[0][3], _joined(row[4:] for row in rows))


def _joined(parts: Iterable[Sequence[Any]]) -> list[Stretch]:
    return [
        Stretch(b"".join(bytes(data) for data, _ in stretch), alphabet)
        for alphabet, stretch in groupby(parts, key=itemgetter(1))
    ]


def _keep(tx: Tx, piece: Piece, now: int) -> None:
    tx.run(
        "INSERT INTO sms_pieces (sender, service, reference, number, total, provider, provider_id, data, alphabet,"
        " at)"
        " VALUES (:sender, :service, :reference, :number, :total, :provider, :provider_id, :data,"
        " :alphabet, :now)"
        " ON CONFLICT (sender, service, reference, number) DO NOTHING",
        now=now,
        **msgspec.structs.asdict(piece),
    )


def _kept(tx: Tx, piece: Piece) -> list[Row]:
    return tx.all(
        "SELECT number, total, provider, provider_id, data, alphabet FROM sms_pieces WHERE sender = :sender"
        " AND service = :service AND reference = :reference ORDER BY number",
        sender=piece.sender,
        service=piece.service,
        reference=piece.reference,
    )


def _contradicts(row: Row, piece: Piece) -> bool:
    number, total, provider, provider_id, *_ = row
    repeated = (provider, provider_id) == (piece.provider, piece.provider_id)
    return bool(total != piece.total or (number == piece.number) != repeated)


def _forget(tx: Tx, sender: str, service: str, reference: int) -> None:
    tx.run(
        "DELETE FROM sms_pieces WHERE sender = :sender AND service = :service AND reference = :reference",
        sender=sender,
        service=service,
        reference=reference,
    )


def overdue(tx: Tx, before: int) -> list[tuple[Whole, list[Piece]]]:
    """Texts whose last piece came before then while others never did; with pieces that would fill their gaps."""
    rows = tx.all(
        "SELECT sender, service, reference, number, total, provider, provider_id, data, alphabet FROM sms_pieces"
        " WHERE (sender, service, reference) IN (SELECT sender, service, reference FROM sms_pieces"
        " GROUP BY sender, service, reference HAVING count(*) < max(total) AND max(at) < :before LIMIT :step)"
        " ORDER BY sender, service, reference, number",
        before=before,
        step=_STEP,
    )
    found = []
    for _, group in groupby(
        map(_load, rows), key=lambda piece: (piece.sender, piece.service, piece.reference)
    ):
        pieces = {piece.number: piece for piece in group}
        first = pieces[min(pieces)]
        missing = [number for number in range(1, first.total + 1) if number not in pieces]
        gaps = [
            msgspec.structs.replace(first, number=number, provider_id="", data=_GAP, alphabet=UTF8)
            for number in missing
        ]
        every = sorted([*pieces.values(), *gaps], key=lambda piece: piece.number)
        whole = Whole(
            first.sender,
            first.service,
            first.provider,
            first.provider_id,
            _joined((piece.data, piece.alphabet) for piece in every),
        )
        found.append((whole, gaps))
    return found


def _load(row: Row) -> Piece:
    return Piece(*row)


def fill(tx: Tx, gaps: Sequence[Piece], now: int) -> None:
    """These pieces are waited for no more."""
    for piece in gaps:
        _keep(tx, piece, now)


def forget_pieces(tx: Tx, before: int) -> int:
    """Forget pieces that came before then; how many."""
    return tx.run("DELETE FROM sms_pieces WHERE at < :before", before=before)
