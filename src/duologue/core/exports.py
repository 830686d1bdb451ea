"""Exports: all that the server holds about a user, a page at a time, for one reader at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from duologue.core.chats import MAX_ACTIVITY, Chats
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Chat, Message
from duologue.storage.append.strangers import page_seen_after
from duologue.storage.database import Database
from duologue.storage.tables import chats as chat_store

_PAGE: Final = 50
"""Chats or messages of one look into the store. No transaction is open between two looks."""
_GIVEN_UP: Final = 60.0
"""Seconds without a look after which an export counts as ended: its reader has gone, or never came."""

ExportedChats = AsyncGenerator[tuple[Chat, AsyncGenerator[list[Message], None]], None]


class ExportRun:
    """One export under way."""

    def __init__(self) -> None:
        self.looked_at = asyncio.get_running_loop().time()


class Exports:
    """The rules for exports: a user has one at a time on a node."""

    def __init__(self, db: Database, chats: Chats) -> None:
        self._db = db
        self._chats = chats
        self._running: dict[int, ExportRun] = {}

    def begin(self, caller: Caller) -> ExportedChats:
        """Every chat of the caller's, with pages of all its messages. Raises `ApiError` `rate_limited`."""
        running = self._running.get(caller.user_id)
        if running:
            left = running.looked_at + _GIVEN_UP - asyncio.get_running_loop().time()
            if left > 0:
                raise ApiError("rate_limited", "Another export is under way.", retry_after=left)
        export = self._running[caller.user_id] = ExportRun()
        return self._export(caller, export)

    async def _export(self, caller: Caller, export: ExportRun) -> ExportedChats:
        below = MAX_ACTIVITY
        try:
            while page := await self._db.of_user(caller.user_id).read(
                chat_store.chat_page, caller.user_id, below, _PAGE
            ):
                for chat in page:
                    yield chat, self._pages(caller, export, chat.id)
                below = page[-1].activity
        finally:
            if self._running.get(caller.user_id) is export:
                del self._running[caller.user_id]

    async def _pages(
        self, caller: Caller, export: ExportRun, chat_id: int
    ) -> AsyncGenerator[list[Message], None]:
        pair = await self._chats.pair(caller.user_id, chat_id)
        after = 0
        while page := await self._db.of_chat(pair).read(page_seen_after, caller.user_id, pair, after, _PAGE):
            export.looked_at = asyncio.get_running_loop().time()
            # What is withheld from the caller isn't the caller's.
            own = [each for each in page if not each.withheld or each.sender_id == caller.user_id]
            if own:
                yield own
            after = page[-1].seq
