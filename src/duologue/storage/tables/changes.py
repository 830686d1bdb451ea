"""Changes of stored messages: edits, deletions and reactions, told to the logs of those who see the message."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from duologue.model import Kind, Message, Pair, Reaction
from duologue.storage.database import Tx
from duologue.storage.tables import outbox
from duologue.storage.tables.events import NewEvent, append_events
from duologue.storage.tables.messages import pack_reactions, page_after
from duologue.storage.tables.receipts import as_seen

DELETED: Final = "message_deleted"
"""Reason why an SMS is not sent: its message was deleted."""


def seen_message(tx: Tx, pair: Pair, user_id: int, seq: int) -> Message | None:
    """The message with this seq as one side sees it; None if it isn't there or is withheld from that side."""
    found = as_seen(tx, pair.chat_id, user_id, page_after(tx, pair, seq - 1, 1))
    if not found or found[0].seq != seq:
        return None
    [message] = found
    return None if message.withheld and message.sender_id != user_id else message


def edit(tx: Tx, pair: Pair, message: Message, text: str, now: int) -> Message:
    """Give a message another text, and tell of it. Call `tx.lock_logs` before."""
    at = max(now, message.sent_at)
    tx.run(
        "UPDATE messages SET text = :text, edited_at = :at WHERE chat_id = :chat_id AND seq = :seq",
        text=text,
        at=at,
        chat_id=pair.chat_id,
        seq=message.seq,
    )
    edited = replace(message, text=text, edited_at=at)
    _tell(tx, pair, edited, now)
    return edited


def delete(tx: Tx, pair: Pair, message: Message, now: int) -> None:
    """Leave a message's place without its content, cancel its SMS, and tell of it. Call `tx.lock_logs` before."""
    at = max(now, message.sent_at)
    tx.run(
        "UPDATE messages SET text = '', deleted_at = :at, reactions = NULL"
        " WHERE chat_id = :chat_id AND seq = :seq",
        at=at,
        chat_id=pair.chat_id,
        seq=message.seq,
    )
    outbox.withdraw(tx, pair.chat_id, message.seq, DELETED, now)
    _tell(tx, pair, replace(message, text="", deleted_at=at, reactions=()), now)


def react(tx: Tx, pair: Pair, message: Message, reactions: tuple[Reaction, ...], now: int) -> None:
    """Give a message these reactions, and tell of it. Call `tx.lock_logs` before."""
    tx.run(
        "UPDATE messages SET reactions = :packed WHERE chat_id = :chat_id AND seq = :seq",
        packed=pack_reactions(pair, reactions),
        chat_id=pair.chat_id,
        seq=message.seq,
    )
    _tell(tx, pair, replace(message, reactions=reactions), now)


def _tell(tx: Tx, pair: Pair, message: Message, now: int) -> None:
    """Tell the devices of those who see a message how it is now."""
    readers = [message.sender_id] if message.withheld else [pair.low, pair.high]
    news = [
        NewEvent(
            reader,
            Kind.MESSAGE_UPDATED,
            pair.chat_id,
            message,
            message.seq,
            int(reader == message.sender_id),
        )
        for reader in readers
    ]
    append_events(tx, news, now)
