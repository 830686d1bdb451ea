"""Phones that sent STOP, and so get no more texts."""

from __future__ import annotations

from duologue.storage.database import Tx


def opt_out(tx: Tx, phone: str, now: int) -> bool:
    """Note that a phone wants no more texts; returns whether that is news."""
    added = tx.run(
        "INSERT INTO sms_opt_outs (phone, at) VALUES (:phone, :now) ON CONFLICT (phone) DO NOTHING",
        phone=phone,
        now=now,
    )
    return added > 0


def opt_in(tx: Tx, phone: str) -> bool:
    """Note that a phone wants texts again; returns whether that is news."""
    return tx.run("DELETE FROM sms_opt_outs WHERE phone = :phone", phone=phone) > 0


def is_opted_out(tx: Tx, phone: str) -> bool:
    """Return whether the phone sent STOP and no START since."""
    return tx.one("SELECT 1 FROM sms_opt_outs WHERE phone = :phone", phone=phone) is not None
