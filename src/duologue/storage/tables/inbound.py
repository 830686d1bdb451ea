"""Texts from phones: each is taken once, and its repeats go where it went."""

from __future__ import annotations

from typing import Final

from duologue.storage.database import Tx

_STEP: Final = 1_000  # rows


def claim_inbound(tx: Tx, provider: str, provider_id: str, now: int) -> bool:
    """Return whether a text from a phone comes for the first time. Until `assign_chat` it is for nobody."""
    added = tx.run(
        "INSERT INTO sms_inbound (provider, provider_id, chat_id, at) VALUES (:provider, :provider_id, 0, :now)"
        " ON CONFLICT (provider, provider_id) DO NOTHING",
        provider=provider,
        provider_id=provider_id,
        now=now,
    )
    return added > 0


def assign_chat(tx: Tx, provider: str, provider_id: str, chat_id: int) -> None:
    """Remember which chat a text from a phone goes to: its repeats go there too, whatever has changed since."""
    tx.run(
        "UPDATE sms_inbound SET chat_id = :chat_id WHERE provider = :provider AND provider_id = :provider_id",
        provider=provider,
        provider_id=provider_id,
        chat_id=chat_id,
    )


def chat_of_inbound(tx: Tx, provider: str, provider_id: str) -> int:
    """Return the chat that a text went to when it first came; 0 if none."""
    row = tx.one(
        "SELECT chat_id FROM sms_inbound WHERE provider = :provider AND provider_id = :provider_id",
        provider=provider,
        provider_id=provider_id,
    )
    return row[0] if row else 0


def forget_inbound(tx: Tx, before: int) -> int:
    """Forget texts that came before then, a step at a time; returns how many."""
    return tx.run(
        "DELETE FROM sms_inbound WHERE (provider, provider_id) IN"
        " (SELECT provider, provider_id FROM sms_inbound WHERE at < :before ORDER BY at LIMIT :step)",
        before=before,
        step=_STEP,
    )
