"""Signing in: all who come at one moment with a few statements, each of which writes for all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from duologue.model import Kind, Session, User, new_id
from duologue.storage.database import Tx
from duologue.storage.lists import id_list
from duologue.storage.tables.accounts import end_sessions, sessions_by_token, tell_peers, users_by_phone
from duologue.storage.tables.events import NewEvent, append_events

T = TypeVar("T")

SESSIONS_PER_USER: Final = 100
"""One more sign-in ends the session that was unused for longest."""


class Suspended(Exception):
    """The user is suspended, and may not sign in."""


class NewSession(msgspec.Struct, frozen=True, gc=False):
    """A session to be made for the owner of a number, at a time (epoch ms)."""

    phone: str
    token_hash: bytes
    device_name: str
    ip: str
    now: int


SignedInUser = tuple[User, Session, bool]
"""A user with a new session, and whether this was the user's first sign-in ever."""


def sign_in(tx: Tx, wanted: Sequence[NewSession]) -> list[SignedInUser | Suspended]:
    """Make sessions, all at the newest of their times. No two of them have one token.

    Raises `UniqueViolation` if a number becomes a user's at the same time: the whole function may run again.
    """
    tx.lock_logs()
    outcomes: dict[bytes, SignedInUser | Suspended] = {**repeated(tx, [new.token_hash for new in wanted])}
    now = max((new.now for new in wanted), default=0)
    left = [new for new in wanted if new.token_hash not in outcomes]
    for part in parts_without_twins(left, lambda new: new.phone):
        outcomes |= _sign_in_each_once(tx, part, now)
    return [outcomes[new.token_hash] for new in wanted]


def repeated(tx: Tx, token_hashes: Sequence[bytes]) -> dict[bytes, SignedInUser]:
    """Find the sessions of these tokens that are made already: a call whose commit was in doubt is run again."""
    if not token_hashes:
        return {}
    known = sessions_by_token(tx, token_hashes)
    return {
        token_hash: (user, session, user.registered_at == session.created_at)
        for token_hash, (session, user) in known.items()
    }


def parts_without_twins(items: Sequence[T], key: Callable[[T], Hashable]) -> Iterator[list[T]]:
    """Yield all items in parts, in none of which two have the same key; those of one key keep their order."""
    while items:
        first: dict[Hashable, T] = {}
        later = [item for item in items if first.setdefault(key(item), item) is not item]
        yield list(first.values())
        items = later


def _sign_in_each_once(
    tx: Tx, wanted: Sequence[NewSession], now: int
) -> dict[bytes, SignedInUser | Suspended]:
    """Make sessions of users of whom no two are one; the outcome for each token."""
    users = users_by_phone(tx, [new.phone for new in wanted])
    made = _make_users(tx, [new.phone for new in wanted if new.phone not in users], now)
    known = [user for user in users.values() if user.suspended_at is None]
    registered = _register(tx, [user for user in known if user.registered_at is None], now)
    users |= made | registered
    outcomes: dict[bytes, SignedInUser | Suspended] = {}
    for new in wanted:
        user = users[new.phone]
        session = Session(new_id(), user.id, new.device_name, new.ip, now, now, None)
        is_new = new.phone in made or new.phone in registered
        outcomes[new.token_hash] = Suspended() if user.suspended_at is not None else (user, session, is_new)
    sessions = {token: outcome for token, outcome in outcomes.items() if not isinstance(outcome, Suspended)}
    _insert_sessions(tx, {token: session for token, (_, session, _) in sessions.items()})
    _end_surplus(tx, [user.id for user in known], now)
    _tell(tx, list(sessions.values()), now)
    for user in registered.values():
        tell_peers(tx, user.id, now)
    return outcomes


def _make_users(tx: Tx, phones: Sequence[str], now: int) -> dict[str, User]:
    """Make users whom nobody has written to before, and who are signed in at once; each by its number."""
    users = {
        phone: User(new_id(), phone, "", registered_at=now, read_receipts=True, created_at=now)
        for phone in phones
    }
    tx.many(
        "INSERT INTO users (id, phone, registered_at, created_at) VALUES (?, ?, ?, ?)",
        [(user.id, user.phone, now, now) for user in users.values()],
    )
    tx.many("INSERT INTO logs (user_id) VALUES (?)", [(user.id,) for user in users.values()])
    return users


def _register(tx: Tx, users: Sequence[User], now: int) -> dict[str, User]:
    """Note that these users, who were written to before, have signed in; each as it is then, by its number."""
    if not users:
        return {}
    listed, values = id_list([user.id for user in users])
    tx.run(f"UPDATE users SET registered_at = :now WHERE id IN {listed}", now=now, **values)
    return {user.phone or "": msgspec.structs.replace(user, registered_at=now) for user in users}


def _insert_sessions(tx: Tx, sessions: dict[bytes, Session]) -> None:
    tx.many(
        "INSERT INTO sessions (id, user_id, token_hash, device_name, ip, created_at, last_seen_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (each.id, each.user_id, token, each.device_name, each.ip, each.created_at, each.last_seen_at)
            for token, each in sessions.items()
        ],
    )


def _end_surplus(tx: Tx, user_ids: Sequence[int], now: int) -> None:
    if not user_ids:
        return
    listed, values = id_list(user_ids)
    crowded = tx.all(
        f"SELECT user_id FROM sessions WHERE user_id IN {listed} AND ended_at IS NULL"
        " GROUP BY user_id HAVING count(*) > :most",
        most=SESSIONS_PER_USER,
        **values,
    )
    for (user_id,) in crowded:
        rows = tx.all(
            "SELECT id FROM sessions WHERE user_id = :user_id AND ended_at IS NULL"
            " ORDER BY last_seen_at DESC, created_at DESC, id LIMIT 1000 OFFSET :kept",
            user_id=user_id,
            kept=SESSIONS_PER_USER,
        )
        end_sessions(tx, user_id, [row[0] for row in rows], now)


def _tell(tx: Tx, made: Sequence[SignedInUser], now: int) -> None:
    """Tell users of their new sessions; after that, those who signed in for the first time of their profiles."""
    new = [NewEvent(user.id, Kind.SESSION_CREATED, session.id, session) for user, session, _ in made]
    new += [NewEvent(user.id, Kind.USER_UPDATED, user.id, user) for user, _, is_new in made if is_new]
    append_events(tx, new, now)
