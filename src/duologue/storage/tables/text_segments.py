"""Segments of long texts from phones, put together once all have come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from duologue.storage.database import Tx

UTF8: Final = "utf-8"
"""The alphabet of segments that came as text."""
OPEN_PER_SENDER: Final = 10
"""Texts of one sender's of which segments are still to come. One more, and the oldest is taken as it is."""
OPEN_IN_ALL: Final = 2_000
"""The same for all senders together."""
_STEP: Final = 50
"""Texts that are given up in one go."""
_THIS_TEXT: Final = "sender = :sender AND service = :service AND reference = :reference"
_GIVE_UP_OLDEST: Final = (
    "UPDATE sms_open_texts SET at = 0 WHERE (sender, service, reference) IN"
    " (SELECT sender, service, reference FROM sms_open_texts {} ORDER BY at DESC LIMIT 1000 OFFSET :most)"
)


class TextSegment(msgspec.Struct, frozen=True, gc=False):
    """One segment: `number` of `total` that share a `reference`, from a phone to a service number.

    `data` is its text in `alphabet`. Two segments together may make a character that neither has.
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


class SegmentedText(NamedTuple):
    """Identity of a text in segments."""

    sender: str
    service: str
    reference: int


class _Kept(NamedTuple):
    """A segment as it was stored."""

    number: int
    total: int
    provider: str
    provider_id: str
    data: bytes
    alphabet: str
    given_up: int


class _Gap(NamedTuple):
    """Mark in the place of segments that never came."""

    data: bytes = " […] ".encode()
    alphabet: str = UTF8


class Stretch(NamedTuple):
    """Bytes of consecutive parts in one alphabet."""

    data: bytes
    alphabet: str


class AssembledText(msgspec.Struct, frozen=True, gc=False):
    """A text put together. It goes by its first segment's id, so that repeats of any segment give the same.

    `service` is empty where nobody knows it.
    """

    sender: str
    service: str
    provider: str
    provider_id: str
    stretches: Sequence[Stretch]


class Added(msgspec.Struct, frozen=True, gc=False):
    """Outcome of a segment for its text.

    `whole` is there if that was the last segment missing, or a repeat of one. `crowded`: too many texts are open, so
    that some of them are to be given up now.
    """

    whole: AssembledText | None = None
    crowded: bool = False


def add_segment(tx: Tx, segment: TextSegment, now: int) -> Added:
    """Keep a segment.

    Phones use a reference again after some hundred texts: a segment that contradicts those kept begins anew.
    """
    # Two segments at once would each miss the other.
    tx.lock_logs()
    rows = _kept(tx, segment)
    if rows and rows[0].given_up:
        if any(_is_repeat(row, segment) for row in rows):
            return Added()
        _forget(tx, _text_of(segment))
    elif any(_contradicts(row, segment) for row in rows):
        _forget(tx, _text_of(segment))
    is_news = _keep(tx, segment, now)
    rows = _kept(tx, segment)
    if len(rows) >= segment.total:
        _close(tx, _text_of(segment))
        first = rows[0]
        return Added(
            AssembledText(segment.sender, segment.service, first.provider, first.provider_id, _joined(rows))
        )
    if is_news:
        _open(tx, _text_of(segment), now)
    return Added(crowded=_make_room(tx, segment.sender))


def _joined(segments: Iterable[_Kept | _Gap]) -> list[Stretch]:
    return [
        Stretch(b"".join(segment.data for segment in stretch), alphabet)
        for alphabet, stretch in groupby(segments, key=attrgetter("alphabet"))
    ]


def _keep(tx: Tx, segment: TextSegment, now: int) -> bool:
    """Store a segment; False if it was there."""
    return (
        tx.run(
            "INSERT INTO sms_pieces (sender, service, reference, number, total, provider, provider_id, data,"
            " alphabet, at)"
            " VALUES (:sender, :service, :reference, :number, :total, :provider, :provider_id, :data,"
            " :alphabet, :now)"
            " ON CONFLICT (sender, service, reference, number) DO NOTHING",
            now=now,
            **msgspec.structs.asdict(segment),
        )
        > 0
    )


def _kept(tx: Tx, text: TextSegment | SegmentedText) -> list[_Kept]:
    rows = tx.all(
        "SELECT number, total, provider, provider_id, data, alphabet, given_up FROM sms_pieces"
        f" WHERE {_THIS_TEXT} ORDER BY number",
        sender=text.sender,
        service=text.service,
        reference=text.reference,
    )
    return [
        _Kept(number, total, provider, provider_id, bytes(data), *rest)
        for number, total, provider, provider_id, data, *rest in rows
    ]


def _is_repeat(row: _Kept, segment: TextSegment) -> bool:
    return (row.number, row.provider, row.provider_id) == (
        segment.number,
        segment.provider,
        segment.provider_id,
    )


def _contradicts(row: _Kept, segment: TextSegment) -> bool:
    repeated = (row.provider, row.provider_id) == (segment.provider, segment.provider_id)
    return row.total != segment.total or (row.number == segment.number) != repeated


def _text_of(segment: TextSegment) -> SegmentedText:
    return SegmentedText(segment.sender, segment.service, segment.reference)


def _forget(tx: Tx, text: SegmentedText) -> None:
    tx.run(f"DELETE FROM sms_pieces WHERE {_THIS_TEXT}", **text._asdict())
    _close(tx, text)


def _open(tx: Tx, text: SegmentedText, now: int) -> None:
    tx.run(
        "INSERT INTO sms_open_texts (sender, service, reference, at) VALUES (:sender, :service, :reference, :now)"
        " ON CONFLICT (sender, service, reference) DO UPDATE SET at = excluded.at",
        now=now,
        **text._asdict(),
    )


def _close(tx: Tx, text: SegmentedText) -> None:
    tx.run(f"DELETE FROM sms_open_texts WHERE {_THIS_TEXT}", **text._asdict())


def _make_room(tx: Tx, sender: str) -> bool:
    """Have the oldest texts given up beyond what a sender, and all together, may have open; True if there are any."""
    of_sender = tx.run(_GIVE_UP_OLDEST.format("WHERE sender = :sender"), sender=sender, most=OPEN_PER_SENDER)
    return of_sender + tx.run(_GIVE_UP_OLDEST.format(""), most=OPEN_IN_ALL) > 0


def overdue(tx: Tx, before: int) -> list[tuple[SegmentedText, AssembledText | None]]:
    """The next few texts that are waited for no more: their last segment came before then, and some never did.

    Each with what there is of it, and a mark in each gap; None if nothing is left.
    """
    rows = tx.all(
        "SELECT sender, service, reference FROM sms_open_texts WHERE at < :before ORDER BY at LIMIT :step",
        before=before,
        step=_STEP,
    )
    texts = [SegmentedText(*row) for row in rows]
    return [(text, _as_it_is(text, _kept(tx, text))) for text in texts]


def _as_it_is(text: SegmentedText, rows: Sequence[_Kept]) -> AssembledText | None:
    if not rows:
        return None
    segments: list[_Kept | _Gap] = []
    expected = 1
    for row in rows:
        segments += [*([_Gap()] if row.number > expected else []), row]
        expected = row.number + 1
    if expected <= rows[-1].total:
        segments.append(_Gap())
    return AssembledText(text.sender, text.service, rows[0].provider, rows[0].provider_id, _joined(segments))


def give_up(tx: Tx, text: SegmentedText) -> None:
    """Wait for no more segments of this text: it was taken as it is."""
    tx.run(f"UPDATE sms_pieces SET given_up = 1 WHERE {_THIS_TEXT}", **text._asdict())
    _close(tx, text)


def forget_segments(tx: Tx, before: int) -> int:
    """Forget the next few segments that came before then; how many."""
    return tx.run(
        "DELETE FROM sms_pieces WHERE (sender, service, reference, number) IN"
        " (SELECT sender, service, reference, number FROM sms_pieces WHERE at < :before ORDER BY at LIMIT 1000)",
        before=before,
    )
