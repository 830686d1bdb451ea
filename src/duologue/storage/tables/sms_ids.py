"""Ids that providers gave for SMS, under which their receipts come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from duologue.storage.database import Tx

_STEP: Final = 500  # rows
FOLDED: Final = "lower(ltrim(:provider_id, '0'))"
"""The SQL for the form by which an id is found however a receipt spells it: no case, no leading zeros."""


def give(tx: Tx, provider: str, ids: Sequence[tuple[str, str]], now: int) -> None:
    """Remember ids, each with the last digits of the number that its SMS went to.

    Carriers use an id again after a while: it is the newest SMS's, and what was reported under it before isn't.
    """
    for provider_id, tail in ids:
        tx.run(
            "INSERT INTO sms_ids (provider, provider_id, outbox_id, receipts, folded, tail, at)"
            f" VALUES (:provider, :provider_id, 0, 1, {FOLDED}, :tail, :now)"
            " ON CONFLICT (provider, provider_id) DO UPDATE SET outbox_id = 0, receipts = 1, tail = :tail, at = :now",
            provider=provider,
            provider_id=provider_id,
            tail=tail,
            now=now,
        )
        tx.run(
            "DELETE FROM sms_receipts WHERE provider = :provider AND provider_id = :provider_id",
            provider=provider,
            provider_id=provider_id,
        )


def known(tx: Tx, provider: str, folded: Sequence[str]) -> list[tuple[str, str]]:
    """The ids whose folded form is one of these, each with the last digits of its number."""
    return [
        (provider_id, tail)
        for form in folded
        for provider_id, tail in tx.all(
            "SELECT provider_id, tail FROM sms_ids WHERE provider = :provider AND folded = :folded LIMIT :step",
            provider=provider,
            folded=form,
            step=_STEP,
        )
    ]


def purge_ids(tx: Tx, before: int) -> int:
    """Forget ids of SMS that are in no outbox (codes, notices) and were given before then, a step at a time."""
    return tx.run(
        "DELETE FROM sms_ids WHERE (provider, provider_id) IN (SELECT provider, provider_id FROM sms_ids"
        " WHERE outbox_id = 0 AND at < :before LIMIT :step)",
        before=before,
        step=_STEP,
    )
