"""Cost of a transaction, and users who would make it cost more if it weren't bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from duologue.model import Event, User, new_id, pair_id
from duologue.storage.database import Row, Tx
from tests.contract.store import Store

NOW = 1_000_000


class Counting:
    """A `Tx` that counts its statements, and the rows that it writes."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.presets = tx.presets
        self.statements = 0
        self.written = 0

    def one(self, sql: str, **params: Any) -> Row | None:
        found = self.all(sql, **params)
        return found[0] if found else None

    def all(self, sql: str, **params: Any) -> list[Row]:
        self.statements += 1
        found = self._tx.all(sql, **params)
        self.written += len(found) if sql.startswith(("UPDATE", "INSERT", "DELETE")) else 0
        return found

    def run(self, sql: str, **params: Any) -> int:
        self.statements += 1
        touched = self._tx.run(sql, **params)
        self.written += touched
        return touched

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        rows = list(rows)
        self.statements += 1
        self.written += len(rows)
        self._tx.many(sql, rows)

    def lock_logs(self) -> None:
        self._tx.lock_logs()

    def emit(self, events: Iterable[Event]) -> None:
        self._tx.emit(events)


async def counted(store: Store, function: Callable[..., Any], *args: Any) -> Counting:
    """Return the cost of a transaction with this storage function."""

    def count(tx: Tx) -> Counting:
        counting = Counting(tx)
        function(counting, *args)
        return counting

    return await store.db.write(count)


def give_peers(tx: Tx, user_id: int, count: int) -> list[int]:
    """Chats of a user with so many others who have answered each other, the one that is active last first."""
    peers = [new_id() for _ in range(count)]
    tx.many("INSERT INTO users (id, registered_at, created_at) VALUES (?, 1, 1)", [(peer,) for peer in peers])
    tx.many("INSERT INTO logs (user_id, last_seq) VALUES (?, 0)", [(peer,) for peer in peers])
    chats = [(pair_id(min(user_id, peer), max(user_id, peer)), peer) for peer in peers]
    tx.many(
        "INSERT INTO members (user_id, chat_id, peer_id, activity, known) VALUES (?, ?, ?, ?, 2)",
        [(user_id, chat_id, peer, count - number) for number, (chat_id, peer) in enumerate(chats)]
        + [(peer, chat_id, user_id, 1) for chat_id, peer in chats],
    )
    return peers


async def long_ago(store: Store, events: int, sessions: int) -> User:
    """Somebody with a long log, and many sessions that have ended."""
    user = await store.user()

    def fill(tx: Tx) -> None:
        tx.many(
            "INSERT INTO events (user_id, seq, kind, ref, a, b, at) VALUES (?, ?, 5, ?, 0, 0, 1)",
            [(user.id, seq, user.id) for seq in range(3, 3 + events)],
        )
        tx.run("UPDATE logs SET last_seq = last_seq + :events WHERE user_id = :id", events=events, id=user.id)
        tx.many(
            "INSERT INTO sessions (id, user_id, device_name, ip, created_at, last_seen_at, ended_at)"
            " VALUES (?, ?, '', '', ?, ?, ?)",
            [(new_id(), user.id, number, number, number) for number in range(sessions)],
        )

    await store.db.write(fill)
    return user
