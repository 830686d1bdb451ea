"""Users and their sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from duologue.clock import MINUTE, SECOND
from duologue.model import (
    NEVER,
    Kind,
    Privacy,
    Relay,
    Session,
    ShowPresence,
    User,
    WhoCanWrite,
    alarm_after,
    new_id,
)
from duologue.storage.database import Tx, UniqueViolation
from duologue.storage.lists import id_list, pair_list
from duologue.storage.tables.events import LogHead, NewEvent, append_events, head_columns
from duologue.storage.tables.quotas import Quota, take

USER_COLUMNS = (
    "id, phone, display_name, registered_at, read_receipts, created_at, sms_relay, who_can_write, presence,"
    " discoverable, suspended_at"
)
_SESSION_COLUMNS = "id, user_id, device_name, ip, created_at, last_seen_at, ended_at"
_SESSION_WIDTH: Final = len(_SESSION_COLUMNS.split(", "))
_OF_BOTH: Final = ", ".join(
    [f"s.{name}" for name in _SESSION_COLUMNS.split(", ")]
    + [f"u.{name}" for name in USER_COLUMNS.split(", ")]
)
_FROM_BOTH: Final = "FROM sessions s JOIN users u ON u.id = s.user_id"
_STANDING: Final = (
    f"SELECT u.suspended_at, {', '.join(f's.{name}' for name in _SESSION_COLUMNS.split(', '))} {_FROM_BOTH}"
    " JOIN logs l ON l.user_id = s.user_id WHERE s.id IN"
)
_ARRIVAL: Final = (
    "asked AS (SELECT CAST(session AS BIGINT) AS session_id, CAST(seq AS BIGINT) AS seq FROM given)"
    f" SELECT a.seq, {_OF_BOTH}, {head_columns('a.seq')} FROM asked a JOIN sessions s ON s.id = a.session_id"
    " JOIN users u ON u.id = s.user_id JOIN logs l ON l.user_id = s.user_id"
)
_HEAD_WIDTH: Final = 5  # columns
_BY_TOKEN: Final = (
    # The token of a session that has ended is gone.
    f"SELECT s.token_hash, {_OF_BOTH} {_FROM_BOTH} WHERE u.deleted_at IS NULL AND s.token_hash IN"
)
_USER_AT: Final = 1 + _SESSION_WIDTH  # columns
NEWS_REST: Final = SECOND // 2
"""Milliseconds in which changes to a profile gather for its peers, once a first one is being told or has been."""
_STEP: Final = 1_000  # sessions
_UNCHANGED: Final = Privacy()
_ALWAYS: Final = 2**62  # later than any time
_LATER: Final = 10 * MINUTE
"""Milliseconds. An earlier use may be written down after a later one, but not one that is earlier by so much."""


def load_user(row: Sequence[Any]) -> User:
    """A user from its `USER_COLUMNS`."""
    user_id, phone, display_name, registered_at, read_receipts, created_at, *chosen, suspended_at = row
    relay, write, presence, found = chosen
    return User(
        user_id,
        phone,
        display_name,
        registered_at,
        bool(read_receipts),
        created_at,
        None if relay is None else Relay(relay),
        None if write is None else WhoCanWrite(write),
        None if presence is None else ShowPresence(presence),
        None if found is None else bool(found),
        suspended_at,
    )


def user_by_phone(tx: Tx, phone: str) -> User | None:
    """Return the user who holds this number now, signed in before or not."""
    row = tx.one(f"SELECT {USER_COLUMNS} FROM users WHERE phone = :phone", phone=phone)
    return load_user(row) if row else None


def users_by_phone(tx: Tx, phones: Sequence[str]) -> dict[str, User]:
    """Return the users who hold these numbers now, signed in before or not, by number."""
    listed, values = id_list(phones)
    users = [
        load_user(row)
        for row in tx.all(f"SELECT {USER_COLUMNS} FROM users WHERE phone IN {listed}", **values)
    ]
    return {user.phone: user for user in users if user.phone}


def user_by_id(tx: Tx, user_id: int) -> User | None:
    """A user, deleted or not."""
    row = tx.one(f"SELECT {USER_COLUMNS} FROM users WHERE id = :user_id", user_id=user_id)
    return load_user(row) if row else None


def ensure_user(tx: Tx, phone: str, now: int) -> User:
    """Return the user who holds this number; a number not used yet becomes a user who hasn't signed in.

    Raises `UniqueViolation` if the account is deleted at the same time: the whole function may run again.
    """
    found = user_by_phone(tx, phone)
    if found:
        return found
    user_id = new_id()
    created = tx.run(
        "INSERT INTO users (id, phone, created_at) VALUES (:user_id, :phone, :now) ON CONFLICT (phone) DO NOTHING",
        user_id=user_id,
        phone=phone,
        now=now,
    )
    if created:
        tx.run("INSERT INTO logs (user_id) VALUES (:user_id)", user_id=user_id)
    user = user_by_phone(tx, phone)
    if user is None:
        # Somebody deleted the account between our insert and our look: the whole function may run again.
        raise UniqueViolation
    return user


def _reload(tx: Tx, user_id: int) -> User:
    user = user_by_id(tx, user_id)
    assert user is not None
    return user


def tell_profile(tx: Tx, user: User, now: int) -> None:
    """Put the user's public profile into its own log, and have its peers told."""
    append_events(tx, [NewEvent(user.id, Kind.USER_UPDATED, user.id, user)], now)
    tell_peers(tx, user.id, now)


def tell_peers(tx: Tx, user_id: int, now: int) -> None:
    """Have a user's peers, if there are any, told of its public profile in small steps afterwards."""
    if tx.one("SELECT 1 FROM members WHERE user_id = :user_id LIMIT 1", user_id=user_id):
        # What is being told begins anew, with whoever is a peer by then.
        tx.run(
            "INSERT INTO profile_news (user_id, due_at) VALUES (:user_id, :now)"
            " ON CONFLICT (user_id) DO UPDATE SET changes = profile_news.changes + 1, peers = NULL,"
            " due_at = CASE WHEN profile_news.peers IS NULL THEN profile_news.due_at ELSE :rested END",
            user_id=user_id,
            now=now,
            rested=now + NEWS_REST,
        )


def update_user(
    tx: Tx,
    user_id: int,
    display_name: str | None,
    now: int,
    *,
    read_receipts: bool | None = None,
    sms_relay: Relay | None = None,
    privacy: Privacy = _UNCHANGED,
    allowance: Sequence[Quota] = (),
) -> User | None:
    """Change what is given; the user as it is then, or None if it was deleted meanwhile.

    A new name takes the `allowance`. Raises `QuotaExceeded`.
    """
    tx.lock_logs()
    before = user_by_id(tx, user_id)
    if before is None or before.phone is None:
        return None
    renamed = display_name not in (None, before.display_name)
    if renamed:
        take(tx, allowance, now)
    relay = before.sms_relay if sms_relay is None else sms_relay
    tx.run(
        "UPDATE users SET display_name = :display_name, read_receipts = :read_receipts, sms_relay = :sms_relay,"
        " alarm_after = :alarm_after, who_can_write = :who_can_write, presence = :presence,"
        " discoverable = :discoverable WHERE id = :user_id",
        user_id=user_id,
        display_name=before.display_name if display_name is None else display_name,
        read_receipts=before.read_receipts if read_receipts is None else read_receipts,
        sms_relay=relay,
        alarm_after=alarm_after(relay),
        who_can_write=before.who_can_write if privacy.who_can_write is None else privacy.who_can_write,
        presence=before.presence if privacy.presence is None else privacy.presence,
        discoverable=before.discoverable if privacy.discoverable is None else privacy.discoverable,
    )
    user = _reload(tx, user_id)
    if renamed:
        tell_profile(tx, user, now)
    elif user != before:
        append_events(tx, [NewEvent(user_id, Kind.USER_UPDATED, user_id, user)], now)
    return user


def delete_user(tx: Tx, user_id: int, now: int) -> list[int]:
    """Forget a user: number and name at once; its sessions and its log can't be used from now on.

    Its messages and marks stay with those who got them. Returns the sessions that were live. The number is free
    again, and the next owner starts afresh. What is left of the user is erased in small steps afterwards
    (storage/tables/erasure.py).
    """
    tx.lock_logs()
    gone = tx.run(
        "UPDATE users SET phone = NULL, display_name = '', registered_at = NULL, sms_relay = NULL,"
        " alarm_after = :never, who_can_write = NULL, presence = NULL, discoverable = NULL, deleted_at = :now"
        " WHERE id = :user_id AND deleted_at IS NULL",
        user_id=user_id,
        never=NEVER,
        now=now,
    )
    if not gone:
        return []
    # The event ends the user's sockets on every node. It goes with the rest of the log.
    tell_profile(tx, _reload(tx, user_id), now)
    tx.run("DELETE FROM logs WHERE user_id = :user_id", user_id=user_id)
    tx.run(
        "INSERT INTO erasures (user_id, due_at) VALUES (:user_id, :now) ON CONFLICT (user_id) DO NOTHING",
        user_id=user_id,
        now=now,
    )
    return [session.id for session in live_sessions(tx, user_id)]


def sessions_by_token(tx: Tx, token_hashes: Sequence[bytes]) -> dict[bytes, tuple[Session, User]]:
    """The live sessions that these tokens open, each with its user, however long ago they were used."""
    listed, values = id_list(token_hashes)
    rows = tx.all(f"{_BY_TOKEN} {listed}", **values)
    return {bytes(row[0]): (Session(*row[1:_USER_AT]), load_user(row[_USER_AT:])) for row in rows}


def standings(tx: Tx, session_ids: Sequence[int]) -> dict[int, tuple[Session, bool]]:
    """These sessions, ended or not, each with whether its user is suspended; none of deleted users."""
    listed, values = id_list(session_ids)
    return {
        row[1]: (Session(*row[1:]), row[0] is not None) for row in tx.all(f"{_STANDING} {listed}", **values)
    }


def arrivals(
    tx: Tx, asked: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], tuple[Session, User, LogHead]]:
    """Each session, ended or not, with its user and the state of the user's log; none of deleted users.

    Beside a session stands the seq of the event whose time is asked for, or `NOWHERE`.
    """
    listed, values = pair_list(asked)
    rows = tx.all(f"WITH given (session, seq) AS {listed}, {_ARRIVAL}", **values)
    return {(row[1], row[0]): _load_arrival(row[1:]) for row in rows}


def _load_arrival(row: Sequence[Any]) -> tuple[Session, User, LogHead]:
    session, head = Session(*row[:_SESSION_WIDTH]), LogHead(*row[-_HEAD_WIDTH:])
    return session, load_user(row[_SESSION_WIDTH:-_HEAD_WIDTH]), head


def is_session_lost(tx: Tx, session_id: int, user_id: int) -> bool:
    """Tell whether a session that was there neither ended nor was deleted with its user: the store went back."""
    row = tx.one(
        "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = :session_id)"
        " OR (SELECT deleted_at FROM users WHERE id = :user_id) IS NOT NULL",
        session_id=session_id,
        user_id=user_id,
    )
    return row is not None and not row[0]


def live_sessions(tx: Tx, user_id: int, used_since: int = 0) -> list[Session]:
    """The user's signed-in devices that were used since then, newest first."""
    rows = tx.all(
        f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE user_id = :user_id AND ended_at IS NULL"
        " AND last_seen_at >= :used_since",
        user_id=user_id,
        used_since=used_since,
    )
    # Sorted here: in SQL, SQLite would rather read all that have ended, too, in the order of an index.
    return sorted((Session(*row) for row in rows), key=lambda each: (each.created_at, each.id), reverse=True)


def session_by_id(tx: Tx, session_id: int) -> Session | None:
    """A session, ended or not."""
    row = tx.one(f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE id = :session_id", session_id=session_id)
    return Session(*row) if row else None


def end_sessions(
    tx: Tx, user_id: int, session_ids: Sequence[int], now: int, used_before: int = _ALWAYS
) -> list[Session]:
    """End those of these sessions that are the user's, still live and last used before then; say which they were."""
    tx.lock_logs()
    if not session_ids:
        return []
    listed, values = id_list(session_ids)
    rows = tx.all(
        "UPDATE sessions SET ended_at = :now, token_hash = NULL"
        " WHERE user_id = :user_id AND ended_at IS NULL AND last_seen_at < :used_before"
        f" AND id IN {listed} RETURNING {_SESSION_COLUMNS}",
        now=now,
        user_id=user_id,
        used_before=used_before,
        **values,
    )
    ended = [Session(*row) for row in rows]
    append_events(tx, [NewEvent(user_id, Kind.SESSION_ENDED, s.id, s) for s in ended], now)
    return ended


def idle_sessions(
    tx: Tx, after_id: int, used_since: int, used_until: int = _ALWAYS
) -> tuple[int | None, list[Session]]:
    """Return those of the next few sessions after `after_id` that live but were last used before `used_since`.

    Those used after `used_until` (epoch ms) are among them: their last use was dated by a wrong clock.

    One small step through them all, without an index that each use would have to move. Returns the last session
    looked at, or None at the end.
    """
    rows = tx.all(
        f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE id > :after_id ORDER BY id LIMIT :step",
        after_id=after_id,
        step=_STEP,
    )
    sessions = [Session(*row) for row in rows]
    idle = [
        each
        for each in sessions
        if each.ended_at is None and not used_since <= each.last_seen_at <= used_until
    ]
    return (sessions[-1].id if len(sessions) == _STEP else None), idle


def touch_sessions(tx: Tx, seen: dict[int, int]) -> None:
    """Note when sessions were last used: `{session_id: epoch ms}`. A use in the future was dated by a wrong clock."""
    tx.many(
        "UPDATE sessions SET last_seen_at = ? WHERE id = ? AND (last_seen_at < ? OR last_seen_at > ?)",
        [(at, session_id, at, at + _LATER) for session_id, at in sorted(seen.items())],
    )
