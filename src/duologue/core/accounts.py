"""Accounts: signing in, one's own profile, and leaving."""

from __future__ import annotations

import msgspec

from duologue.clock import HOUR, Clock
from duologue.core.allowances import used_up
from duologue.core.chores import Chores
from duologue.core.phone_numbers import parse_phone
from duologue.core.presence import PresenceTracker
from duologue.core.rates import PROFILE_CHANGES
from duologue.core.sessions import Caller, Sessions, new_token
from duologue.errors import ApiError
from duologue.model import Presets, Privacy, Relay, Session, ShowPresence, User
from duologue.storage.database import Database
from duologue.storage.tables import accounts as store
from duologue.storage.tables.events import LogHead
from duologue.storage.tables.quotas import Quota, QuotaExceeded
from duologue.storage.tables.sign_in import NewSession, Suspended, sign_in


class SignedIn(msgspec.Struct, frozen=True, gc=False):
    """A new session, with the token that opens it."""

    token: str
    user: User
    session: Session
    new_user: bool


class Accounts:
    """The rules for a user's own account."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        sessions: Sessions,
        chores: Chores,
        presets: Presets,
        presence: PresenceTracker,
        *,
        limited: bool,
    ) -> None:
        self.presets = presets
        self._presence = presence
        self._db = db
        self._clock = clock
        self._sessions = sessions
        self._chores = chores
        self._limited = limited

    async def sign_in(self, phone: str, device_name: str, ip: str) -> SignedIn:
        """Make a session for anybody who names this number: open mode.

        Raises `ApiError` `invalid_phone`, `suspended`.
        """
        number = parse_phone(phone)
        token, token_hash = new_token()
        try:
            user, session, new_user = await self._db.directory().join(
                sign_in, NewSession(number, token_hash, device_name, ip, self._clock())
            )
        except Suspended:
            raise ApiError("suspended") from None
        if new_user:
            self._chores.wake()
        return SignedIn(token, user, session, new_user)

    async def me(self, caller: Caller) -> User:
        """Raises `ApiError` `not_signed_in` if the account was deleted a moment ago."""
        return _present(await self._db.of_user(caller.user_id).read(store.user_by_id, caller.user_id))

    async def session_state(self, caller: Caller, asked: int | None) -> tuple[LogHead, User]:
        """The state of the log, with the time of the event whose seq is `asked`, and `me`.

        Raises `ApiError` `not_signed_in` also when the session has ended.
        """
        user, head = await self._sessions.arrive(caller, asked)
        return head, _present(user)

    async def update(
        self,
        caller: Caller,
        display_name: str | None,
        *,
        read_receipts: bool | None = None,
        sms_relay: Relay | None = None,
        privacy: Privacy,
    ) -> User:
        """Change what is given. Peers hear of a new name soon afterwards.

        Raises `ApiError` `rate_limited` after too many new names, and `not_signed_in`.
        """
        now = self._clock()
        allowance = [Quota(f"profile:{caller.user_id}", PROFILE_CHANGES.quota, HOUR)] if self._limited else []
        try:
            user = await self._db.of_user(caller.user_id).write(
                store.update_user,
                caller.user_id,
                display_name,
                now,
                read_receipts=read_receipts,
                sms_relay=sms_relay,
                privacy=privacy,
                allowance=allowance,
            )
        except QuotaExceeded as fault:
            raise used_up(fault, PROFILE_CHANGES, "Too many new names in an hour.", now) from None
        self._chores.wake()
        if privacy.presence is ShowPresence.NOBODY:
            self._presence.hide(caller.user_id)
        return _present(user)

    async def delete(self, caller: Caller) -> None:
        """Forget the account. Its number is free again; its messages stay with those who got them.

        Peers hear of it, and what is left of it is erased, soon afterwards.
        """
        ended = await self._db.of_user(caller.user_id).write(store.delete_user, caller.user_id, self._clock())
        self._sessions.forget(set(ended))
        self._chores.wake()


def _present(user: User | None) -> User:
    if user is None or user.phone is None:
        raise ApiError("not_signed_in", "The account has been deleted.")
    return user
