"""Programs that measure the machine's best: a bare echo server, and rows into a bare table.

python -m duologue_lab.bench.raw echo
python -m duologue_lab.bench.raw insert URL SECONDS
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

import msgspec
import psycopg
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from duologue.storage.engine.engines import sqlite_path
from duologue.storage.engine.sqlite import connect
from duologue_lab.bench.meter import quantiles

ROWS: Final = 200  # rows in a commit
_TEXT: Final = "x" * 200

Rows = Sequence[tuple[int, str]]


class Inserted(msgspec.Struct, frozen=True):
    """The output of `insert`, as JSON."""

    rows_per_second: float
    commit_ms: float


class _Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


def _listener(_: WSUpgradeRequest) -> WSListener:
    return _Echo()


async def _serve() -> None:
    server = await ws_create_server(_listener, "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - what it is for
    await server.serve_forever()


def _insert(url: str, seconds: float) -> Inserted:
    path = sqlite_path(url)
    if path:
        with closing(connect(path)) as connection:
            connection.execute("CREATE TABLE raw_rows (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
            return _measure(lambda rows: _insert_sqlite(connection, rows), seconds)
    with psycopg.connect(url, autocommit=True) as link:
        link.execute("CREATE TABLE raw_rows (id BIGINT PRIMARY KEY, body TEXT NOT NULL)")
        return _measure(lambda rows: _insert_postgres(link, rows), seconds)


def _insert_sqlite(connection: sqlite3.Connection, rows: Rows) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO raw_rows VALUES (?, ?)", rows)
    connection.execute("COMMIT")


def _insert_postgres(connection: psycopg.Connection, rows: Rows) -> None:
    ids, texts = zip(*rows, strict=True)
    connection.execute(
        "INSERT INTO raw_rows SELECT * FROM unnest(%s::bigint[], %s::text[])", [list(ids), list(texts)]
    )


def _measure(insert: Callable[[Rows], None], seconds: float) -> Inserted:
    first = 0

    def commit(count: int) -> float:
        nonlocal first
        rows = [(number, _TEXT) for number in range(first, first + count)]
        first += count
        started = time.perf_counter()
        insert(rows)
        return time.perf_counter() - started

    commit(ROWS)
    spent, commits = 0.0, 0
    while spent < seconds:
        spent += commit(ROWS)
        commits += 1
    singles = [commit(1) for _ in range(max(20, round(100 * min(seconds, 1))))]
    return Inserted(
        rows_per_second=commits * ROWS / spent,
        commit_ms=quantiles(singles).p50,
    )


def main() -> None:
    """The entry point."""
    match sys.argv[1:]:
        case ["echo"]:
            uvloop.run(_serve())
        case ["insert", url, seconds]:
            print(msgspec.json.encode(_insert(url, float(seconds))).decode())  # noqa: T201 - what it is for
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
