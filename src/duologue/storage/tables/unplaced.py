"""Texts from phones that are in no chat: when, from whom and why, for the operator. Neither text nor whole number."""

from __future__ import annotations

from typing import Final

import msgspec

from duologue.model import new_id
from duologue.storage.database import Tx

KEPT: Final = 200
"""Rows at most: strangers can send any number of texts."""


class Unplaced(msgspec.Struct, frozen=True):
    """A text that is in no chat. `at` is in epoch ms; `sender` is masked."""

    at: int
    provider: str
    sender: str
    reason: str


def note(tx: Tx, provider: str, sender: str, reason: str, now: int) -> None:
    """Keep a row about a text, and drop what is beyond `KEPT`. `sender` must be masked."""
    tx.run(
        "INSERT INTO unplaced_texts (id, at, provider, sender, reason)"
        " VALUES (:id, :now, :provider, :sender, :reason)",
        id=new_id(),
        now=now,
        provider=provider,
        sender=sender,
        reason=reason,
    )
    tx.run(
        "DELETE FROM unplaced_texts WHERE id NOT IN (SELECT id FROM unplaced_texts ORDER BY at DESC, id LIMIT :kept)",
        kept=KEPT,
    )


def newest(tx: Tx, limit: int) -> list[Unplaced]:
    """Return the newest rows, the latest first."""
    rows = tx.all(
        "SELECT at, provider, sender, reason FROM unplaced_texts ORDER BY at DESC, id LIMIT :limit",
        limit=limit,
    )
    return [Unplaced(*row) for row in rows]


def purge_unplaced(tx: Tx, before: int) -> int:
    """Forget rows from before then; how many."""
    return tx.run("DELETE FROM unplaced_texts WHERE at < :before", before=before)
