"""Messages: accepting them exactly once, and paging through a chat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from duologue.clock import Clock
from duologue.core.chats import Chats, no_such_chat
from duologue.core.limits import MAX_PAGE_BYTES
from duologue.core.pages import fill, message_bytes
from duologue.core.sessions import Caller
from duologue.core.strangers import Strangers
from duologue.core.traces import Traces
from duologue.errors import ApiError, overloaded
from duologue.model import Message, Pair
from duologue.storage.append.batch import NoSuchChat, OutOfRange
from duologue.storage.database import Database, Done, Post, Posted, Tx, settle
from duologue.storage.tables import chats as chat_store
from duologue.storage.tables import messages as store
from duologue.storage.tables import receipts as receipt_store

_log = logging.getLogger(__name__)


class MessagePage(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a chat in rising seq, with the marks that each side's messages have reached.

    Of messages withheld from the reader only the place is there.
    """

    items: list[Message]
    has_more_before: bool
    has_more_after: bool
    marks: dict[int, tuple[int, int]]


def explain(outcome: Exception) -> ApiError:
    """Return the error that a client gets for an operation that was not stored."""
    if isinstance(outcome, ApiError):
        return outcome
    if isinstance(outcome, NoSuchChat):
        return ApiError("peer_gone")
    if isinstance(outcome, OutOfRange):
        return ApiError("seq_out_of_range", errors={"seq": "is beyond the chat's last message"})
    _log.error("an operation was not stored", exc_info=outcome)
    return ApiError("internal")


class Messages:
    """The rules for messages."""

    def __init__(
        self, db: Database, clock: Clock, chats: Chats, traces: Traces, strangers: Strangers
    ) -> None:
        self._db = db
        self._clock = clock
        self._chats = chats
        self._traces = traces
        self._strangers = strangers
        self.may_submit: Callable[[Pair, int], bool] = strangers.may_pass
        """Return whether a user may `submit` to a chat, if that is known from memory; else False."""

    async def send(
        self, caller: Caller, pair: Pair, text: str, client_id: str, reply_to: int | None
    ) -> tuple[Posted, tuple[int, int]]:
        """Store a message, once for each `client_id`; returns only when it is durable.

        Also tells the recipient's delivered and read marks: those of a repeat may have moved. Raises `ApiError`
        `client_id_reused`, `seq_out_of_range` (of `reply_to`), `peer_gone`, `rate_limited`, `overloaded`.
        """
        if reply_to:
            await self.check_reply(caller, pair, reply_to)
        try:
            if await self.find_out(caller, pair):
                future: asyncio.Future[Posted] = asyncio.get_running_loop().create_future()
                self.submit(caller, pair, text, client_id, reply_to, partial(settle, future))
                posted = await future
            else:
                posted = await self.send_apart(caller, pair, text, client_id, reply_to)
        except NoSuchChat as fault:
            raise explain(fault) from None
        return posted, await self.marks(pair, posted.message) if posted.replayed else (0, 0)

    async def find_out(self, caller: Caller, pair: Pair) -> bool:
        """Return whether a caller may `submit`, or must `send_apart`.

        Raises `ApiError` `overloaded`, and `not_found` where the store went back to before the chat was made.
        """
        try:
            return await self._strangers.find_out(pair, caller.user_id)
        except NoSuchChat:
            self._chats.forget()
            raise no_such_chat() from None

    async def send_apart(
        self, caller: Caller, pair: Pair, text: str, client_id: str, reply_to: int | None
    ) -> Posted:
        """Store a message in a chat in which one side hasn't answered the other, in a transaction of its own.

        Raises as `send`.
        """
        accepted_at = self._clock()
        try:
            posted = await self._strangers.send(_post(caller, pair, text, client_id, reply_to))
        except NoSuchChat as fault:
            raise explain(fault) from None
        if not posted.replayed:
            self._traces.stored(posted.message, accepted_at)
        return posted

    def submit(
        self, caller: Caller, pair: Pair, text: str, client_id: str, reply_to: int | None, done: Done
    ) -> None:
        """Queue a message of a caller who may; `done` gets a `Posted` or an exception, for which see `explain`.

        What one caller submits is stored in the order of the calls. Raises `ApiError` `overloaded`.
        """
        post = _post(caller, pair, text, client_id, reply_to)
        self._db.append(post, partial(self._settled, done, self._clock()))

    def _settled(self, done: Done, accepted_at: int, outcome: Posted | Exception) -> None:
        if isinstance(outcome, Posted) and not outcome.replayed:
            self._traces.stored(outcome.message, accepted_at)
        done(outcome)

    async def marks(self, pair: Pair, message: Message) -> tuple[int, int]:
        """Return the recipient's delivered and read marks, as far as the sender may see them with this message.

        Raises `ApiError` `overloaded` if the message, found before, is gone: the store went back to an older state.
        """
        marks = await self._db.of_chat(pair).read(receipt_store.marks_of_message, pair, message)
        if marks is None:
            raise overloaded("The store went back to an older state: send the message again")
        return marks

    async def check_reply(self, caller: Caller, pair: Pair, reply_to: int) -> None:
        """Raises `ApiError` `seq_out_of_range` when there is no such message to answer."""
        chat = await self._chats.get(caller, pair.chat_id)
        if reply_to > chat.last_seq:
            raise ApiError("seq_out_of_range", errors={"reply_to": f"the chat's last seq is {chat.last_seq}"})

    async def page(
        self,
        caller: Caller,
        pair: Pair,
        *,
        before: int | None,
        after: int | None,
        around: int | None,
        limit: int,
    ) -> MessagePage:
        """Part of a chat by one bound; the newest part by none. Each costs the same at any depth."""
        return await self._db.of_chat(pair).read(_page, caller.user_id, pair, before, after, around, limit)


_END: Final = 2**31  # beyond the last seq of a chat


def _post(caller: Caller, pair: Pair, text: str, client_id: str, reply_to: int | None) -> Post:
    side = pair.side_of(caller.user_id)
    return Post(pair.chat_id, pair.low, pair.high, side, client_id, text, reply_to or 0)


def _page(
    tx: Tx, user_id: int, pair: Pair, before: int | None, after: int | None, around: int | None, limit: int
) -> MessagePage:
    if after is not None:
        items = page_after(tx, pair, after, limit)
    elif around is not None:
        items = _around(tx, pair, around, limit)
    else:
        items = _older(tx, pair, before or _END, limit)
    last_seq = chat_store.last_seq(tx, pair.chat_id)
    shown = receipt_store.shown_marks(tx, pair)
    if shown.withholds:
        items = receipt_store.as_seen(tx, pair.chat_id, user_id, items)
    return MessagePage(
        items=items,
        has_more_before=items[0].seq > 1 if items else min(after or 0, last_seq) > 0,
        has_more_after=items[-1].seq < last_seq if items else 0 < (before or 0) <= last_seq,
        marks=shown.of,
    )


def _seq(message: Message) -> int:
    return message.seq


def page_after(tx: Tx, pair: Pair, after: int, limit: int, budget: int = MAX_PAGE_BYTES) -> list[Message]:
    """The messages that follow a seq: at most `limit` and `budget` bytes, or one."""
    return fill(partial(store.page_after, tx, pair), message_bytes, _seq, after, limit, budget)[0]


def _older(tx: Tx, pair: Pair, before: int, limit: int, budget: int = MAX_PAGE_BYTES) -> list[Message]:
    def read(bound: int, count: int) -> list[Message]:
        return store.page_before(tx, pair, bound, count)[::-1]

    return fill(read, message_bytes, _seq, before, limit, budget)[0][::-1]


def _around(tx: Tx, pair: Pair, around: int, limit: int) -> list[Message]:
    """A page with `around` in its middle; near an end the page stays full and reaches further the other way."""
    older = _older(tx, pair, around, limit, MAX_PAGE_BYTES // 2)
    newer = page_after(tx, pair, around - 1, limit, MAX_PAGE_BYTES // 2)
    wanted_older = min(len(older), max(limit // 2, limit - len(newer)))
    older = older[len(older) - wanted_older :]
    return older + newer[: limit - wanted_older]
