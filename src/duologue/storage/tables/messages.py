"""Messages: finding those already sent, and paging through a chat. Appending is in `append`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from duologue.model import Message, Pair, Reaction
from duologue.storage.database import Post, Tx
from duologue.storage.lists import id_list

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TEXT_MARK, _UUID_MARK, _SMS_MARK = b"\x00", b"\x01", b"\x02"

COLUMNS = (
    "seq, side, low_count, high_count, client_id, text, reply_to, sent_at, edited_at, deleted_at, reactions"
)


def pack_client_id(client_id: str, *, by_sms: bool) -> bytes:
    """The stored form: a canonical UUID takes 17 bytes instead of 36, in the row and in its index.

    What came in by SMS is told by its mark, so no client can take such a key for its own.
    """
    if by_sms:
        return _SMS_MARK + client_id.encode()
    if _CANONICAL_UUID.fullmatch(client_id):
        return _UUID_MARK + bytes.fromhex(client_id.replace("-", ""))
    return _TEXT_MARK + client_id.encode()


def unpack_client_id(packed: bytes) -> str:
    """Undo `pack_client_id`."""
    packed = bytes(packed)
    if packed[:1] != _UUID_MARK:
        return packed[1:].decode()
    # `uuid.UUID` would take four times as long, and every message that is read passes here.
    digits = packed[1:].hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_by_sms(packed: bytes) -> bool:
    """Tell from its stored client id whether a message came by SMS."""
    return bytes(packed[:1]) == _SMS_MARK


def pack_reactions(pair: Pair, reactions: Sequence[Reaction]) -> str | None:
    """The stored form: each one's side and emoji, with spaces between them; None for no reaction."""
    return " ".join(f"{pair.side_of(each.user_id)}{each.emoji}" for each in reactions) or None


def unpack_reactions(pair: Pair, packed: str) -> tuple[Reaction, ...]:
    """Undo `pack_reactions`."""
    return tuple(Reaction(pair.high if each[0] == "1" else pair.low, each[1:]) for each in packed.split(" "))


def load(pair: Pair, row: Sequence[Any]) -> Message:
    """A message from its `COLUMNS`."""
    (
        seq,
        side,
        low_count,
        high_count,
        packed,
        text,
        reply_to,
        sent_at,
        edited_at,
        deleted_at,
        packed_reactions,
    ) = row
    return Message(
        pair.chat_id,
        seq,
        pair.high if side else pair.low,
        low_count,
        high_count,
        unpack_client_id(packed),
        text,
        reply_to,
        sent_at,
        is_by_sms(packed),
        edited_at=edited_at,
        deleted_at=deleted_at,
        reactions=unpack_reactions(pair, packed_reactions) if packed_reactions else (),
    )


def find_post(tx: Tx, post: Post) -> Message | None:
    """The message already stored under this post's `client_id`, if any."""
    row = tx.one(
        f"SELECT {COLUMNS} FROM messages WHERE chat_id = :chat_id AND side = :side AND client_id = :client_id",
        chat_id=post.chat_id,
        side=post.side,
        client_id=pack_client_id(post.client_id, by_sms=post.by_sms),
    )
    return load(Pair(post.chat_id, post.low, post.high), row) if row else None


def last_seqs(tx: Tx, chat_ids: Sequence[int]) -> dict[int, int]:
    """The seq of the newest message of each of these chats; 0 for an empty one."""
    listed, values = id_list(chat_ids)
    return dict(tx.all(f"SELECT id, last_seq FROM chats WHERE id IN {listed}", **values))


def page_before(tx: Tx, pair: Pair, before: int, limit: int) -> list[Message]:
    """The newest `limit` messages with a seq below `before`, in rising seq."""
    rows = tx.all(
        f"SELECT {COLUMNS} FROM messages WHERE chat_id = :chat_id AND seq < :before"
        " ORDER BY seq DESC LIMIT :limit",
        chat_id=pair.chat_id,
        before=before,
        limit=limit,
    )
    return [load(pair, row) for row in reversed(rows)]


def page_after(tx: Tx, pair: Pair, after: int, limit: int) -> list[Message]:
    """The oldest `limit` messages with a seq above `after`, in rising seq."""
    rows = tx.all(
        f"SELECT {COLUMNS} FROM messages WHERE chat_id = :chat_id AND seq > :after ORDER BY seq LIMIT :limit",
        chat_id=pair.chat_id,
        after=after,
        limit=limit,
    )
    return [load(pair, row) for row in rows]
