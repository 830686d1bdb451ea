"""Messages by the million, put straight into the store: rows as the server would have written them.

The log of events is left as retention leaves it: numbered on, and trimmed to nothing.
"""

from __future__ import annotations

from contextlib import closing
from typing import Final

import psycopg

from duologue.clock import now_ms
from duologue.model import decode_id
from duologue.storage.database import Tx
from duologue.storage.engine.engines import sqlite_path
from duologue.storage.engine.postgres_tx import PostgresTx, StatementRunner
from duologue.storage.engine.sqlite import SqliteTx, connect
from duologue_lab.bench.people import BenchUser
from duologue_lab.bench.progress import Advance

_LOT: Final = 50_000  # messages
_TEXT: Final = "x" * 100
# The two sides take turns, so every count follows from the seq. Client ids rise, as UUIDv7 do.
_SQLITE: Final = (
    "WITH RECURSIVE c(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM c WHERE n < :last)"
    " INSERT INTO messages (chat_id, seq, side, low_count, high_count, reply_to, sent_at, client_id, text)"
    " SELECT :chat_id, n, n % 2, n / 2, (n + 1) / 2, 0, :now, CAST(char(1) || printf('%016d', n) AS BLOB), :text"
    " FROM c"
)
_POSTGRES: Final = (
    "INSERT INTO messages (chat_id, seq, side, low_count, high_count, reply_to, sent_at, client_id, text)"
    " SELECT :chat_id, n, mod(n, 2), n / 2, (n + 1) / 2, 0, :now,"
    " convert_to(chr(1) || lpad(CAST(n AS text), 16, '0'), 'UTF8'), :text"
    " FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n"
)
_CHAT: Final = (
    "UPDATE chats SET last_seq = :last, low_count = :last / 2, high_count = (:last + 1) / 2"
    " WHERE id = :chat_id"
)
_LOG: Final = (
    "UPDATE logs SET last_seq = last_seq + :count, floor = last_seq + :count, top_chat = :chat_id"
    " WHERE user_id = :user_id"
)
_MEMBER: Final = (
    "UPDATE members SET activity = (SELECT last_seq FROM logs WHERE user_id = :user_id)"
    " WHERE user_id = :user_id AND chat_id = :chat_id"
)


def fill(url: str, pair: tuple[BenchUser, BenchUser, str], up_to: int, advance: Advance) -> None:
    """Bring a chat, empty or filled by this before, to so many messages; `advance` is told of each lot."""
    path = sqlite_path(url)
    if path:
        with closing(connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            while stored := _fill_some(SqliteTx(connection), _SQLITE, pair, up_to):
                connection.execute("COMMIT")
                advance(stored)
                connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
        return
    with psycopg.connect(url) as connection:
        connection.execute("SET synchronous_commit = off")
        tx = PostgresTx(StatementRunner(connection))
        while True:
            with connection.transaction():
                stored = _fill_some(tx, _POSTGRES, pair, up_to)
            if not stored:
                break
            advance(stored)


def _fill_some(tx: Tx, insert: str, pair: tuple[BenchUser, BenchUser, str], up_to: int) -> int:
    """Store one lot; how many messages it had, 0 at the end."""
    chat_id = decode_id("cht", pair[2])
    row = tx.one("SELECT last_seq FROM chats WHERE id = :chat_id", chat_id=chat_id)
    assert row
    stored: int = row[0]
    first, last = stored + 1, min(up_to, stored + _LOT)
    if last < first:
        return 0
    now = now_ms()
    tx.run(insert, chat_id=chat_id, first=first, last=last, now=now, text=_TEXT)
    tx.run(_CHAT, chat_id=chat_id, last=last)
    for user in pair[:2]:
        user_id = decode_id("usr", user.id)
        tx.run(_LOG, user_id=user_id, chat_id=chat_id, count=last - first + 1)
        tx.run(_MEMBER, user_id=user_id, chat_id=chat_id)
    return last - first + 1


def tidy(url: str) -> None:
    """Run the engine's own maintenance now, so that it doesn't run during a measurement."""
    path = sqlite_path(url)
    if path:
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with psycopg.connect(url, autocommit=True) as link:
        link.execute("VACUUM ANALYZE")
        link.execute("CHECKPOINT")
