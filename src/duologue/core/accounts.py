"""Accounts: signing in, one's own profile, and leaving."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from duologue.clock import Clock
from duologue.core.chats import MAX_ACTIVITY, Chats
from duologue.core.phones import parse_phone
from duologue.core.sessions import Caller, Sessions, new_token
from duologue.errors import ApiError
from duologue.model import Chat, Message, Relay, Session, User
from duologue.storage import accounts as store
from duologue.storage import chats as chat_store
from duologue.storage import messages as message_store
from duologue.storage.database import Database
from duologue.storage.events import LogHead

_EXPORT_PAGE: Final = 200


class SignedIn(msgspec.Struct, frozen=True, gc=False):
    """A new session, with the token that opens it."""

    token: str
    user: User
    session: Session
    new_user: bool


class Accounts:
    """The rules for a user's own account."""

    def __init__(
        self, db: Database, clock: Clock, sessions: Sessions, chats: Chats, relay_default: Relay = Relay.OFF
    ) -> None:
        self.relay_default = relay_default
        self._db = db
        self._clock = clock
        self._sessions = sessions
        self._chats = chats

    async def sign_in(self, phone: str, device_name: str, ip: str) -> SignedIn:
        """A session for whoever names this number: open mode. Raises `ApiError` `invalid_phone`."""
        number = parse_phone(phone)
        token, token_hash = new_token()
        user, session, new_user = await self._db.write(
            store.sign_in, number, token_hash, device_name, ip, self._clock()
        )
        return SignedIn(token, user, session, new_user)

    async def me(self, caller: Caller) -> User:
        """Raises `ApiError` `not_signed_in` if the account was deleted a moment ago."""
        return _present(await self._db.read(store.user_by_id, caller.user_id))

    async def greet(self, caller: Caller) -> tuple[LogHead, User]:
        """`me`, and the state of the log. Raises `ApiError` `not_signed_in` too when the session has ended."""
        user, head = await self._sessions.standing(caller)
        return head, _present(user)

    async def update(
        self,
        caller: Caller,
        display_name: str | None,
        *,
        read_receipts: bool | None = None,
        sms_relay: Relay | None = None,
    ) -> User:
        """Change what is given. Peers hear of a new name."""
        return _present(
            await self._db.write(
                store.update_user,
                caller.user_id,
                display_name,
                self._clock(),
                read_receipts=read_receipts,
                sms_relay=sms_relay,
            )
        )

    async def delete(self, caller: Caller) -> None:
        """Forget the account. Its number is free again; its messages stay with those who got them."""
        ended = await self._db.write(store.delete_user, caller.user_id, self._clock())
        self._sessions.forget(set(ended))

    async def export_chats(self, caller: Caller) -> AsyncIterator[tuple[Chat, AsyncIterator[Message]]]:
        """Every chat of the caller's with all its messages, a page at a time."""
        below = MAX_ACTIVITY
        while page := await self._db.read(chat_store.chat_page, caller.user_id, below, _EXPORT_PAGE):
            for chat in page:
                yield chat, self._export_messages(caller, chat.id)
            below = page[-1].activity

    async def _export_messages(self, caller: Caller, chat_id: int) -> AsyncIterator[Message]:
        pair = await self._chats.pair(caller.user_id, chat_id)
        after = 0
        while page := await self._db.read(message_store.page_after, pair, after, _EXPORT_PAGE):
            for message in page:
                yield message
            after = page[-1].seq


def _present(user: User | None) -> User:
    if user is None or user.phone is None:
        raise ApiError("not_signed_in", "The account has been deleted.")
    return user
