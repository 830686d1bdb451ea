"""Service numbers: which chat a phone's texts to each of them belong to, and who sent STOP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from duologue.storage.database import Tx

_STEP: Final = 1_000  # rows


class Line(msgspec.Struct, frozen=True, gc=False):
    """The service number that a chat has on one phone; `introduced` once its owner was told who writes from it.

    `shared`: another chat had the number on that phone before.
    """

    service: str
    introduced: bool
    shared: bool = False


def line_of(tx: Tx, user_id: int, chat_id: int, services: Sequence[str], now: int) -> Line:
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
            return Line(service, bool(introduced), bool(shared))
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
    return Line(service, introduced=False, shared=not free)


def introduced(tx: Tx, user_id: int, service: str, chat_id: int) -> None:
    """The phone's owner has been told who writes from this number."""
    tx.run(
        "UPDATE sms_pairs SET introduced = 1 WHERE user_id = :user_id AND service = :service AND chat_id = :chat_id",
        user_id=user_id,
        service=service,
        chat_id=chat_id,
    )


def chat_on_line(tx: Tx, user_id: int, service: str | None, *, guess: bool) -> int | None:
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


def has_line(tx: Tx, phone: str, service: str | None, *, guess: bool) -> bool:
    """A chat reaches this phone from the service number; with `guess`, from any."""
    rows = tx.all(
        "SELECT p.service FROM users u JOIN sms_pairs p ON p.user_id = u.id WHERE u.phone = :phone",
        phone=phone,
    )
    return any(guess or row[0] == service for row in rows)


def has_any_line(tx: Tx, user_id: int) -> bool:
    """Tell whether any message went to the user's phone from a service number."""
    return tx.one("SELECT 1 FROM sms_pairs WHERE user_id = :user_id LIMIT 1", user_id=user_id) is not None


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
    """Return whether the phone sent STOP and no START since."""
    return tx.one("SELECT 1 FROM sms_opt_outs WHERE phone = :phone", phone=phone) is not None


def claim(tx: Tx, provider: str, provider_id: str, now: int) -> bool:
    """Return whether a text from a phone comes for the first time. Until it has a `place`, it is for nobody."""
    added = tx.run(
        "INSERT INTO sms_inbound (provider, provider_id, chat_id, at) VALUES (:provider, :provider_id, 0, :now)"
        " ON CONFLICT (provider, provider_id) DO NOTHING",
        provider=provider,
        provider_id=provider_id,
        now=now,
    )
    return added > 0


def place(tx: Tx, provider: str, provider_id: str, chat_id: int) -> None:
    """Remember which chat a text from a phone goes to: its repeats go there too, whatever has changed since."""
    tx.run(
        "UPDATE sms_inbound SET chat_id = :chat_id WHERE provider = :provider AND provider_id = :provider_id",
        provider=provider,
        provider_id=provider_id,
        chat_id=chat_id,
    )


def placed(tx: Tx, provider: str, provider_id: str) -> int:
    """Return the chat that a text went to when it first came; 0 if none."""
    row = tx.one(
        "SELECT chat_id FROM sms_inbound WHERE provider = :provider AND provider_id = :provider_id",
        provider=provider,
        provider_id=provider_id,
    )
    return row[0] if row else 0


def forget_placed(tx: Tx, before: int) -> int:
    """Forget texts that came before then, a step at a time; how many."""
    return tx.run(
        "DELETE FROM sms_inbound WHERE (provider, provider_id) IN"
        " (SELECT provider, provider_id FROM sms_inbound WHERE at < :before ORDER BY at LIMIT :step)",
        before=before,
        step=_STEP,
    )
