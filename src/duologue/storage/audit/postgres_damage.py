"""Losses of a PostgreSQL database with damaged pages: which messages of which chats, and which other tables.

Reading a damaged page is an error of the whole statement. So a chat is read in ranges, each half as long as the one
that failed, until what can't be read is known to the message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import errors as pg

from duologue.storage.audit.salvage import Salvaged
from duologue.storage.audit.snapshot import CannotRead
from duologue.storage.engine.postgres_session import connect

_UNREADABLE = (pg.DataCorrupted, pg.IndexCorrupted, pg.InternalError_)
"""The last: what a row says of itself may be rubbish on a page whose head is sound."""
_BY_KEY = "SET enable_seqscan = off; SET max_parallel_workers_per_gather = 0"
"""A chat's messages are found by their key: reading the whole table would come upon the damage each time."""
_TABLES = (
    "SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace"
    " ORDER BY c.relname"
)
_CHATS = "SELECT id, last_seq FROM chats WHERE id > %s ORDER BY id LIMIT 1000"
_RANGE = "SELECT count(*), max(length(text)) FROM messages WHERE chat_id = %s AND seq BETWEEN %s AND %s"


def examine(url: str) -> Salvaged:
    """Count what can be read, and tell what can't. Raises `CannotRead` when the chats themselves can't be."""
    found = Salvaged(Counter(), [])
    try:
        with connect(url) as connection:
            connection.autocommit = True
            for (table,) in connection.execute(_TABLES).fetchall():
                _read_table(connection, table, found)
            connection.execute(_BY_KEY)
            for chat_id, last_seq in _chats(connection):
                found.losses += [
                    f"chat {chat_id}: messages {first} to {last} can't be read"
                    for first, last in _joined(_lost(connection, chat_id, 1, last_seq))
                ]
    except psycopg.Error as fault:
        raise CannotRead(str(fault).strip()) from fault
    return found


def _read_table(connection: psycopg.Connection[Any], table: str, found: Salvaged) -> None:
    try:
        # As text, so that every value is really read.
        row = connection.execute(f"SELECT count(*), max(length(t::text)) FROM {table} t".encode()).fetchone()
        assert row
        found.counts[table] = row[0]
    except _UNREADABLE as fault:
        found.losses.append(f"table {table}: {str(fault).strip()}")


def _chats(connection: psycopg.Connection[Any]) -> Iterator[tuple[int, int]]:
    after = 0
    while rows := connection.execute(_CHATS, [after]).fetchall():
        yield from rows
        after = rows[-1][0]


def _lost(connection: psycopg.Connection[Any], chat_id: int, first: int, last: int) -> Iterator[int]:
    """Yield the seqs of a range that can't be read, in their order."""
    if first > last:
        return
    try:
        connection.execute(_RANGE, [chat_id, first, last])
    except _UNREADABLE:
        if first == last:
            yield first
            return
        middle = (first + last) // 2
        yield from _lost(connection, chat_id, first, middle)
        yield from _lost(connection, chat_id, middle + 1, last)


def _joined(seqs: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Join neighbours to ranges."""
    first = last = 0
    for seq in seqs:
        if first and seq == last + 1:
            last = seq
            continue
        if first:
            yield first, last
        first = last = seq
    if first:
        yield first, last
