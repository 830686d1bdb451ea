"""Sessions and their tokens."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import OrderedDict
from typing import Final

import msgspec

from duologue.clock import DAY, MINUTE, SECOND, Clock
from duologue.core.flush import in_steps
from duologue.errors import ApiError
from duologue.model import Session, User
from duologue.storage.database import Database
from duologue.storage.tables import accounts as store
from duologue.storage.tables.events import NOWHERE, LogHead

_PREFIX: Final = "dlg_"
_TOKEN_BYTES: Final = 32  # bytes
_TRUSTED_FOR: Final = SECOND
_REMEMBERED: Final = 100_000  # sessions
_LONG_AGO: Final = DAY // 2


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The user and session of a request."""

    user_id: int
    session_id: int


class SessionLost(ApiError):
    """`not_signed_in` for a session of which the store knows nothing any more: it went back to an older state."""

    def __init__(self) -> None:
        super().__init__("not_signed_in", "The server lost this session: it went back to an older state.")


_is_token: Final = re.compile(
    f"{_PREFIX}[A-Za-z0-9_-]{{{len(secrets.token_urlsafe(_TOKEN_BYTES))}}}"
).fullmatch


def new_token() -> tuple[str, bytes]:
    """A token of 256 random bits, and its hash: what is kept."""
    token = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    return token, hash_token(token)


def hash_token(token: str) -> bytes:
    """SHA-256. No salt: the token is random, so there is nothing to guess."""
    return hashlib.sha256(token.encode()).digest()


class Sessions:
    """Checks tokens, remembering each answer for at most a second: so a revocation holds within one, anywhere.

    A session that was not used for `idle_after` (ms) opens nothing any more, by the `settled` clock: who comes back
    after a clock has jumped ahead is still signed in.
    """

    def __init__(self, db: Database, clock: Clock, idle_after: int, settled: Clock | None = None) -> None:
        self._db = db
        self._clock = clock
        self._settled = settled or clock
        self._idle_after = idle_after
        self._known: OrderedDict[bytes, tuple[int, Caller]] = OrderedDict()
        self._tokens: dict[int, bytes] = {}
        self._seen: dict[int, int] = {}

    async def authenticate(self, token: str) -> Caller:
        """Find whose token this is. Raises `ApiError` `not_signed_in`, `suspended`."""
        if not _is_token(token):
            # Neither hashed nor looked up.
            raise ApiError("not_signed_in", "The token is unknown, or its session has ended.")
        now = self._clock()
        token_hash = hash_token(token)
        looked_up_at, caller = self._known.get(token_hash, (0, None))
        # Nor is it trusted for longer when somebody sets the clock back.
        if caller is None or not 0 <= now - looked_up_at <= _TRUSTED_FOR:
            caller = await self._look_up(token_hash, now)
        self.record_use(caller)
        return caller

    def record_use(self, caller: Caller) -> None:
        """The caller's session is in use: noted to the minute, and written down by the next `flush`."""
        now = self._clock()
        self._seen[caller.session_id] = now - now % MINUTE

    @property
    def remembered(self) -> int:
        """Number of sessions whose callers are kept in memory, by their tokens and by their ids."""
        return max(len(self._known), len(self._tokens))

    async def check(self, caller: Caller) -> None:
        """Make sure that the caller's session is live.

        Raises `ApiError` `not_signed_in` when it has ended, `SessionLost` when it is unknown, `suspended`.
        """
        found = await self._db.of_user(caller.user_id).find(store.standings, caller.session_id)
        if found is None or not self._is_live(found[0]):
            raise await self._refusal(caller)
        if found[1]:
            raise ApiError("suspended")
        self.record_use(caller)

    async def arrive(self, caller: Caller, asked: int | None) -> tuple[User, LogHead]:
        """Check the session; look up whose it is, and the state of the user's log.

        `asked` is the seq of the event whose time is wanted. Raises as `check`.
        """
        key = (caller.session_id, NOWHERE if asked is None else asked)
        found = await self._db.of_user(caller.user_id).find(store.arrivals, key)
        if found is None or not self._is_live(found[0]):
            raise await self._refusal(caller)
        _, user, head = found
        if user.suspended_at is not None:
            raise ApiError("suspended")
        return user, head

    async def _refusal(self, caller: Caller) -> ApiError:
        if await self._db.of_user(caller.user_id).read(
            store.is_session_lost, caller.session_id, caller.user_id
        ):
            return SessionLost()
        return ApiError("not_signed_in", "The session has ended.")

    def _is_live(self, session: Session) -> bool:
        return session.ended_at is None and session.last_seen_at >= self._used_since()

    def _used_since(self) -> int:
        return self._settled() - self._idle_after

    async def _look_up(self, token_hash: bytes, now: int) -> Caller:
        found = await self._db.directory().find(store.sessions_by_token, token_hash)
        if found is None or not self._is_live(found[0]):
            self._drop(token_hash)
            raise ApiError("not_signed_in", "The token is unknown, or its session has ended.")
        session, user = found
        if user.suspended_at is not None:
            self._drop(token_hash)
            raise ApiError("suspended")
        if session.last_seen_at < now - _LONG_AGO:
            # At once: it must not expire while its sign of life waits to be written down.
            used = {session.id: now - now % MINUTE}
            await self._db.of_user(session.user_id).write(store.touch_sessions, used)
        caller = Caller(session.user_id, session.id)
        self._known[token_hash] = (now, caller)
        self._known.move_to_end(token_hash)
        self._tokens[caller.session_id] = token_hash
        if len(self._known) > _REMEMBERED:
            self._drop(next(iter(self._known)))
        return caller

    def _drop(self, token_hash: bytes) -> None:
        _, caller = self._known.pop(token_hash, (0, None))
        if caller:
            self._tokens.pop(caller.session_id, None)

    async def flush(self, pause: float = 0) -> None:
        """Write down when sessions were last seen, with so many seconds between parts.

        Raises `ApiError` `overloaded`.
        """
        async for part in in_steps(self._seen, pause):
            for shard in self._db.every_shard():
                await shard.write(store.touch_sessions, part)

    async def live(self, user_id: int) -> list[Session]:
        """The user's signed-in devices, newest first."""
        return await self._db.of_user(user_id).read(store.live_sessions, user_id, self._used_since())

    async def end(self, caller: Caller, session_id: int) -> None:
        """Raises `ApiError` `not_found` when it is not a live session of the caller's."""
        if not await self._end(caller, [session_id]):
            raise ApiError("not_found", "There is no such session of yours.")

    async def end_others(self, caller: Caller) -> None:
        """End every session of the user but the calling one."""
        others = [
            session.id for session in await self.live(caller.user_id) if session.id != caller.session_id
        ]
        await self._end(caller, others)

    async def _end(self, caller: Caller, session_ids: list[int]) -> list[Session]:
        ended = await self._db.of_user(caller.user_id).write(
            store.end_sessions, caller.user_id, session_ids, self._clock()
        )
        self.forget({session.id for session in ended})
        return ended

    def forget(self, session_ids: set[int]) -> None:
        """Trust these no longer, on this node at once."""
        for session_id in session_ids:
            if token_hash := self._tokens.get(session_id):
                self._drop(token_hash)
