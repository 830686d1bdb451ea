"""Chats: one for each two users, found by phone number or by id."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Final

from duologue.clock import HOUR, Clock
from duologue.core.allowances import used_up
from duologue.core.pages import chat_bytes, fill
from duologue.core.phone_numbers import parse_phone
from duologue.core.rates import NEW_CHATS
from duologue.core.sessions import Caller
from duologue.errors import ApiError
from duologue.model import Chat, Known, Pair
from duologue.storage.database import Database, Tx
from duologue.storage.tables import chats as store
from duologue.storage.tables.accounts import user_by_id
from duologue.storage.tables.quotas import Quota, QuotaExceeded, take

MAX_ACTIVITY: Final = 2**31 - 1  # the last position in a log
_REMEMBERED: Final = 200_000  # chats


def no_such_chat() -> ApiError:
    """Return the error for a chat that is someone else's or isn't there: one can't tell which."""
    return ApiError("not_found", "There is no such chat of yours.")


class Chats:
    """The rules for chats. Who the two sides of a chat are never changes, so a node remembers it."""

    def __init__(self, db: Database, clock: Clock, *, limited: bool) -> None:
        self._db = db
        self._clock = clock
        self._limited = limited
        self._pairs: OrderedDict[int, Pair] = OrderedDict()

    async def pair(self, user_id: int, chat_id: int | None) -> Pair:
        """The two sides of one of the user's chats.

        Raises `ApiError` `not_found`: the same whether the chat is someone else's or isn't.
        """
        pair = self.known_pair(user_id, chat_id)
        if pair is None and chat_id is not None:
            pair = await self._db.of_user(user_id).read(store.pair_of, user_id, chat_id)
        if pair is None:
            raise no_such_chat()
        return self.remember(pair)

    def known_pair(self, user_id: int, chat_id: int | None) -> Pair | None:
        """Return the two sides of a chat if this node remembers them; else None."""
        pair = self._pairs.get(chat_id) if chat_id is not None else None
        return pair if pair and user_id in (pair.low, pair.high) else None

    def forget(self) -> None:
        """Forget all chats: the store may have gone back to an older state, and have lost some."""
        self._pairs.clear()

    def remember(self, pair: Pair) -> Pair:
        """Keep in mind who the two sides of a chat are."""
        self._pairs[pair.chat_id] = pair
        if len(self._pairs) > _REMEMBERED:
            self._pairs.popitem(last=False)
        return pair

    async def pair_to(
        self, user_id: int, phone: str, field: str = "phone", *, reply_to: int | None = None
    ) -> Pair:
        """The user's chat with whoever holds a number, made if need be.

        It isn't made for an answer (`reply_to`) to what can't be there yet. Raises `ApiError` `invalid_phone`,
        `self_chat`, `seq_out_of_range` (of `reply_to`), and `rate_limited` after too many new ones.
        """
        number = parse_phone(phone, field)
        pair = await self._db.directory().read(store.pair_by_phone, user_id, number)
        if pair is None and reply_to:
            user = await self._db.of_user(user_id).read(user_by_id, user_id)
            if user is None or user.phone != number:
                raise ApiError("seq_out_of_range", errors={"reply_to": "there is no such chat yet"})
        elif pair is None:
            pair = await self._create(user_id, number)
        if pair is None:
            raise ApiError("self_chat", errors={field: "is your own number"})
        return self.remember(pair)

    async def _create(self, user_id: int, number: str) -> Pair | None:
        now = self._clock()
        allowance = [Quota(f"chats:{user_id}", NEW_CHATS.quota, HOUR)] if self._limited else []
        try:
            return await self._db.directory().write(_open_within, user_id, number, allowance, now)
        except QuotaExceeded as fault:
            raise used_up(fault, NEW_CHATS, "Too many new chats in an hour.", now) from None

    async def open(self, caller: Caller, phone: str) -> Chat:
        """The caller's chat with a number, made if need be. Raises as `pair_to`."""
        pair = await self.pair_to(caller.user_id, phone)
        chat = await self._db.of_user(caller.user_id).read(store.chat_view, caller.user_id, pair.chat_id)
        if chat is None or chat.known is Known.STRANGER:
            # A stranger has made it; now it is the caller's too.
            await self._db.directory().write(
                store.open_chat, caller.user_id, parse_phone(phone), self._clock()
            )
            return await self.get(caller, pair.chat_id)
        return chat

    async def get(self, caller: Caller, chat_id: int | None) -> Chat:
        """Raises `ApiError` `not_found`."""
        chat = None
        if chat_id is not None:
            chat = await self._db.of_user(caller.user_id).read(store.chat_view, caller.user_id, chat_id)
        if chat is None:
            raise no_such_chat()
        return chat

    async def page(
        self, caller: Caller, below: int, limit: int, folder: store.Folder
    ) -> tuple[list[Chat], int | None]:
        """The caller's chats of a folder below an activity, newest first, and where the next page begins."""
        chats, ended = await self._db.of_user(caller.user_id).read(
            page_of_chats, caller.user_id, below, limit, folder
        )
        return chats, None if ended else chats[-1].activity

    async def update(
        self, caller: Caller, chat_id: int | None, changes: dict[str, int | bool | None]
    ) -> Chat:
        """Change the caller's own view of a chat. Raises `ApiError` `not_found`."""
        if not changes or chat_id is None:
            return await self.get(caller, chat_id)
        chat = await self._db.of_user(caller.user_id).write(
            store.update_chat, caller.user_id, chat_id, changes, self._clock()
        )
        if chat is None:
            raise no_such_chat()
        return chat


def page_of_chats(
    tx: Tx, user_id: int, below: int, limit: int, folder: store.Folder = "all"
) -> tuple[list[Chat], bool]:
    """A user's chats of a folder below an activity, newest first, and whether there are no more."""
    read = partial(store.chat_page, tx, user_id, folder=folder)
    chats, ended = fill(read, chat_bytes, lambda chat: chat.activity, below, limit + 1)
    return chats[:limit], ended and len(chats) <= limit


def _open_within(tx: Tx, user_id: int, phone: str, allowance: list[Quota], now: int) -> Pair | None:
    take(tx, allowance, now)
    return store.open_chat(tx, user_id, phone, now)
