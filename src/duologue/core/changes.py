"""Changes of one's own messages after they were sent: edits, and deletion for both sides."""

from __future__ import annotations

from duologue.clock import SECOND, Clock
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Message, Pair
from duologue.storage.database import Database, Tx
from duologue.storage.tables import changes as store
from duologue.storage.tables.receipts import marks_of_message


class Changes:
    """The rules for changes. A message may be edited for `edit_window` milliseconds, and deleted at any time."""

    def __init__(self, db: Database, clock: Clock, *, edit_window: int) -> None:
        self._db = db
        self._clock = clock
        self._edit_window = edit_window

    async def edit(self, caller: Caller, pair: Pair, seq: int, text: str) -> tuple[Message, tuple[int, int]]:
        """Give one of the caller's messages another text; the text that it has changes nothing.

        Also tells the recipient's marks, as `Messages.send` does. Raises `ApiError` `not_found`, `not_sender`,
        `message_deleted`, `edit_window_over`, `log_full`, `overloaded`.
        """
        return await self._db.of_chat(pair).write(
            _edit, caller.user_id, pair, seq, text, self._edit_window, self._clock()
        )

    async def delete(self, caller: Caller, pair: Pair, seq: int) -> None:
        """Delete one of the caller's messages for both sides: its place stays. Once deleted, it stays so.

        Raises `ApiError` `not_found`, `not_sender`, `log_full`, `overloaded`.
        """
        await self._db.of_chat(pair).write(_delete, caller.user_id, pair, seq, self._clock())


def message_seen(tx: Tx, pair: Pair, user_id: int, seq: int) -> Message:
    """Raises `ApiError` `not_found` for a message that isn't there, or that is withheld from the user."""
    message = store.seen_message(tx, pair, user_id, seq)
    if message is None:
        raise ApiError("not_found", "There is no such message.")
    return message


def _own(tx: Tx, pair: Pair, user_id: int, seq: int) -> Message:
    message = message_seen(tx, pair, user_id, seq)
    if message.sender_id != user_id:
        raise ApiError("not_sender")
    return message


def _edit(
    tx: Tx, user_id: int, pair: Pair, seq: int, text: str, window: int, now: int
) -> tuple[Message, tuple[int, int]]:
    tx.lock_logs()
    message = _own(tx, pair, user_id, seq)
    if message.deleted_at is not None:
        raise ApiError("message_deleted")
    if text != message.text:
        if now - message.sent_at > window:
            raise ApiError("edit_window_over", f"A message may be edited for {window // SECOND} seconds.")
        message = store.edit(tx, pair, message, text, now)
    return message, marks_of_message(tx, pair, message) or (0, 0)


def _delete(tx: Tx, user_id: int, pair: Pair, seq: int, now: int) -> None:
    tx.lock_logs()
    message = _own(tx, pair, user_id, seq)
    if message.deleted_at is None:
        store.delete(tx, pair, message, now)
