"""Service numbers: which chat a phone's texts to each of them belong to, and who sent STOP."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from duologue.model import User
from duologue.storage.accounts import user_by_phone
from duologue.storage.database import Tx


class Line(msgspec.Struct, frozen=True, gc=False):
    """The service number that a chat has on one phone; `introduced` once its owner was told who writes from it."""

    service: str
    introduced: bool


def line_of(tx: Tx, user_id: int, chat_id: int, services: Sequence[str], now: int) -> Line:
    """The service number from which this chat's texts reach the user's phone; the same one for as long as possible.

    If none is free on that phone, the least recently used changes hands, and its next text must say who writes.
    """
    rows = tx.all(
        "SELECT service, chat_id, introduced FROM sms_pairs WHERE user_id = :user_id ORDER BY used_at",
        user_id=user_id,
    )
    for service, owner, introduced in rows:
        if owner == chat_id and service in services:
            tx.run(
                "UPDATE sms_pairs SET used_at = :now WHERE user_id = :user_id AND service = :service",
                now=now,
                user_id=user_id,
                service=service,
            )
            return Line(service, bool(introduced))
    taken = [row[0] for row in rows if row[0] in services]
    free = [service for service in services if service not in taken]
    service = free[0] if free else taken[0]
    tx.run(
        "INSERT INTO sms_pairs (user_id, service, chat_id, used_at) VALUES (:user_id, :service, :chat_id, :now)"
        " ON CONFLICT (user_id, service) DO UPDATE SET chat_id = :chat_id, used_at = :now, introduced = 0",
        user_id=user_id,
        service=service,
        chat_id=chat_id,
        now=now,
    )
    return Line(service, introduced=False)


def introduced(tx: Tx, user_id: int, service: str, chat_id: int) -> None:
    """The phone's owner has been told who writes from this number."""
    tx.run(
        "UPDATE sms_pairs SET introduced = 1 WHERE user_id = :user_id AND service = :service AND chat_id = :chat_id",
        user_id=user_id,
        service=service,
        chat_id=chat_id,
    )


def chat_on_line(tx: Tx, phone: str, service: str | None) -> tuple[User, int] | None:
    """Whose phone it is, and the chat that its texts to this service number belong to; None if there is none.

    Where the provider doesn't tell the service number, it is the chat that was last written to that phone.
    """
    user = user_by_phone(tx, phone)
    if user is None:
        return None
    row = tx.one(
        "SELECT chat_id FROM sms_pairs WHERE user_id = :user_id AND (:any = 1 OR service = :service)"
        " ORDER BY used_at DESC LIMIT 1",
        user_id=user.id,
        any=int(service is None),
        service=service or "",
    )
    return (user, row[0]) if row else None


def used(tx: Tx, user_id: int, chat_id: int, now: int) -> None:
    """The phone's owner wrote back: this chat keeps its service number for longer."""
    tx.run(
        "UPDATE sms_pairs SET used_at = :now WHERE user_id = :user_id AND chat_id = :chat_id",
        now=now,
        user_id=user_id,
        chat_id=chat_id,
    )


def opt_out(tx: Tx, phone: str, now: int) -> bool:
    """The phone wants no more texts; whether that is news."""
    added = tx.run(
        "INSERT INTO sms_opt_outs (phone, at) VALUES (:phone, :now) ON CONFLICT (phone) DO NOTHING",
        phone=phone,
        now=now,
    )
    return added > 0


def opt_in(tx: Tx, phone: str) -> bool:
    """The phone wants texts again; whether that is news."""
    return tx.run("DELETE FROM sms_opt_outs WHERE phone = :phone", phone=phone) > 0


def opted_out(tx: Tx, phone: str) -> bool:
    """Whether the phone sent STOP and no START since."""
    return tx.one("SELECT 1 FROM sms_opt_outs WHERE phone = :phone", phone=phone) is not None
