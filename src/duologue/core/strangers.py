"""Strangers: who may write to whom, how much, and what is told of whom before an answer."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from time import monotonic
from typing import Final

from duologue.clock import HOUR, SECOND, Clock
from duologue.core.limits import UNANSWERED_MESSAGES
from duologue.errors import ApiError, RatePolicy
from duologue.model import Known, Pair
from duologue.storage.append import strangers as store
from duologue.storage.database import AlarmRule, Database, Mark, Marked, Post, Posted, settle

_REMEMBERED: Final = 200_000  # chats
_TRUSTED_FOR: Final = 1.0
"""Seconds for which a recipient's choice is remembered."""
_POLICY: Final = RatePolicy("unanswered-messages", UNANSWERED_MESSAGES, HOUR // SECOND)


class Strangers:
    """The rules for chats in which one side has not answered the other.

    In a chat whose two sides have answered each other, messages take the message path without a further look. A
    node remembers such chats until the store may have gone back to an older state.
    """

    def __init__(self, db: Database, clock: Clock, *, limited: bool, alarms: AlarmRule | None = None) -> None:
        self._db = db
        self._clock = clock
        self._most = UNANSWERED_MESSAGES if limited else None
        self._alarms = alarms
        self._mutual: OrderedDict[int, None] = OrderedDict()
        self._free: OrderedDict[tuple[int, int], float] = OrderedDict()

    def forget(self) -> None:
        """Forget all chats: the store may have gone back to an older state."""
        self._mutual.clear()
        self._free.clear()

    def is_mutual(self, chat_id: int) -> bool:
        """Return whether both sides of a chat have answered each other, if that is known from memory; else False."""
        return chat_id in self._mutual

    def may_pass(self, pair: Pair, user_id: int) -> bool:
        """Return whether a user's messages may take the message path, if that is known from memory; else False."""
        if pair.chat_id in self._mutual:
            return True
        until = self._free.get((pair.chat_id, user_id))
        return until is not None and monotonic() < until

    async def find_out(self, pair: Pair, user_id: int) -> bool:
        """`may_pass`, after a look into the store if need be. Raises `NoSuchChat`, `ApiError` `overloaded`."""
        if self.may_pass(pair, user_id):
            return True
        standing = await self._db.of_chat(pair).read(store.sender_standing, pair, user_id)
        if standing.mutual:
            self._remember(pair.chat_id)
            return True
        key = pair.chat_id, user_id
        was_free = self._free.pop(key, None) is not None
        if self._most is None and standing.is_open:
            self._free[key] = monotonic() + _TRUSTED_FOR
            if len(self._free) > _REMEMBERED:
                self._free.popitem(last=False)
            return True
        if was_free:
            await self._overtaken(pair)
        return False

    async def _overtaken(self, pair: Pair) -> None:
        """Wait until the chat's messages on the message path are stored: those that come now follow them."""
        future: asyncio.Future[Marked] = asyncio.get_running_loop().create_future()
        self._db.append(Mark(pair.chat_id, pair.low, pair.high, 0, 0, 0), partial(settle, future))
        await future

    def _remember(self, chat_id: int) -> None:
        self._mutual[chat_id] = None
        if len(self._mutual) > _REMEMBERED:
            self._mutual.popitem(last=False)

    async def send(self, post: Post) -> Posted:
        """Store a message to somebody who may be a stranger, with all that follows from it.

        Raises `ApiError` `rate_limited` when too many wait unanswered, `client_id_reused`, `overloaded`, and
        `NoSuchChat`.
        """
        try:
            outcome, mutual = await self._db.of_chat(post.pair).write(
                store.send, post, self._alarms, self._most, self._clock()
            )
        except store.TooManyWaiting:
            detail = f"{UNANSWERED_MESSAGES} messages wait for an answer in this chat."
            raise ApiError("rate_limited", detail, retry_after=HOUR / SECOND, policy=_POLICY) from None
        if mutual:
            self._remember(post.chat_id)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Posted)
        return outcome

    async def accept(self, user_id: int, pair: Pair) -> None:
        """Let the peer of a chat know the user, as if the user had answered. Raises `ApiError` `overloaded`."""
        await self._db.of_chat(pair).write(store.accept, user_id, pair, self._clock())

    async def may_signal(self, pair: Pair, user_id: int) -> bool:
        """Return whether the peer of a chat may see that the user types: only after the user has answered."""
        if pair.chat_id in self._mutual:
            return True
        standing = await self._db.of_chat(pair).read(store.sender_standing, pair, user_id)
        if standing.mutual:
            self._remember(pair.chat_id)
        return standing.sender_known is Known.ANSWERED and standing.listed and not standing.withheld
