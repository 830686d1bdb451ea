"""Service numbers: each chat has one on each phone that it reaches; the phone's texts to it belong to that chat."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from duologue.storage.database import Tx


class ServiceNumber(msgspec.Struct, frozen=True, gc=False):
    """Service number that a chat has on one phone; `introduced` once its owner was told who writes from it.

    `shared`: another chat had the number on that phone before.
    """

    service: str
    introduced: bool
    shared: bool = False


def assign_number(tx: Tx, user_id: int, chat_id: int, services: Sequence[str], now: int) -> ServiceNumber:
    """The service number from which this chat's texts reach the user's phone; the same one for as long as possible.

    If none is free on that phone, the least recently used changes hands, and its next text must say who writes.
    """
    rows = tx.all(
        "SELECT service, chat_id, introduced, shared FROM sms_pairs WHERE user_id = :user_id"
        " ORDER BY used_at, service",
        user_id=user_id,
    )
    for service, owner, introduced, shared in rows:
        if owner == chat_id and service in services:
            tx.run(
                "UPDATE sms_pairs SET used_at = :now WHERE user_id = :user_id AND service = :service",
                now=now,
                user_id=user_id,
                service=service,
            )
            return ServiceNumber(service, bool(introduced), bool(shared))
    taken = [row[0] for row in rows if row[0] in services]
    free = [service for service in services if service not in taken]
    service = free[0] if free else taken[0]
    tx.run(
        "INSERT INTO sms_pairs (user_id, service, chat_id, used_at) VALUES (:user_id, :service, :chat_id, :now)"
        " ON CONFLICT (user_id, service)"
        " DO UPDATE SET chat_id = :chat_id, used_at = :now, introduced = 0, shared = 1",
        user_id=user_id,
        service=service,
        chat_id=chat_id,
        now=now,
    )
    return ServiceNumber(service, introduced=False, shared=not free)


def note_introduced(tx: Tx, user_id: int, service: str, chat_id: int) -> None:
    """Note that the phone's owner has been told who writes from this number."""
    tx.run(
        "UPDATE sms_pairs SET introduced = 1 WHERE user_id = :user_id AND service = :service AND chat_id = :chat_id",
        user_id=user_id,
        service=service,
        chat_id=chat_id,
    )


def chat_of_number(tx: Tx, user_id: int, service: str | None, *, guess: bool) -> int | None:
    """The chat that a user's texts to a service number belong to; None if there is none.

    With `guess` it is, in doubt, the chat that was last active on that phone.
    """
    rows = tx.all(
        "SELECT service, chat_id FROM sms_pairs WHERE user_id = :user_id ORDER BY used_at DESC, service",
        user_id=user_id,
    )
    chats: dict[str | None, int] = dict(rows)
    if guess and rows:
        return chats.get(service, rows[0][1])
    return chats.get(service)


def has_number(tx: Tx, phone: str, service: str | None, *, guess: bool) -> bool:
    """Return whether a chat reaches this phone from the service number; with `guess`, from any."""
    rows = tx.all(
        "SELECT p.service FROM users u JOIN sms_pairs p ON p.user_id = u.id WHERE u.phone = :phone",
        phone=phone,
    )
    return any(guess or row[0] == service for row in rows)


def has_any_number(tx: Tx, user_id: int) -> bool:
    """Tell whether any message went to the user's phone from a service number."""
    return tx.one("SELECT 1 FROM sms_pairs WHERE user_id = :user_id LIMIT 1", user_id=user_id) is not None


def touch_number(tx: Tx, user_id: int, chat_id: int, now: int) -> None:
    """Note that the phone's owner wrote back: this chat keeps its service number for longer."""
    tx.run(
        "UPDATE sms_pairs SET used_at = :now WHERE user_id = :user_id AND chat_id = :chat_id",
        now=now,
        user_id=user_id,
        chat_id=chat_id,
    )
