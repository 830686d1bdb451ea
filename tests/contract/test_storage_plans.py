"""The cost of a request doesn't grow with the store: every query goes straight to its few rows.

Each storage function of the request path runs on a well-filled database, and the plan of every statement that it
issues is looked at: an index leads to the rows, none is read in vain, nothing is sorted or counted.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import psycopg
import pytest

from duologue.model import Event, Pair, Presets
from duologue.storage.append import strangers
from duologue.storage.append.append import append
from duologue.storage.append.batch import Batch
from duologue.storage.database import Row, Tx, Unit
from duologue.storage.engine.engines import migrate
from duologue.storage.engine.postgres import _look
from duologue.storage.engine.postgres_session import connect
from duologue.storage.engine.postgres_tx import PostgresTx, StatementRunner
from duologue.storage.engine.sqlite import SqliteTx
from duologue.storage.tables import (
    accounts,
    chats,
    erasure,
    events,
    messages,
    profile_news,
    receipts,
    replay,
    suspensions,
    text_segments,
)
from duologue_lab.servers.postgres import Postgres
from tests.contract.store import mark, opened, post

P = ParamSpec("P")

pytestmark = pytest.mark.anyio

LONG, SHORT, SESSIONS = 30_000, 1_000, 3
HUB, LONG_PEER, SHORT_PEER = 1, 2, 3
LONG_CHAT, SHORT_CHAT = Pair(1002, HUB, LONG_PEER), Pair(1003, HUB, SHORT_PEER)
PAGE = 50

FILL = """
CREATE TEMPORARY TABLE many AS
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) SELECT i FROM n;
CREATE TEMPORARY TABLE few AS SELECT i FROM many WHERE i <= 3;
CREATE TEMPORARY TABLE numbers AS SELECT i FROM many WHERE i <= 5000;
CREATE TEMPORARY TABLE peers AS
    SELECT i, CASE i WHEN 2 THEN 30000 WHEN 3 THEN 1000 ELSE 3 END AS length FROM numbers WHERE i > 1;
CREATE TEMPORARY TABLE lines AS
    SELECT p.i AS peer, m.i AS seq FROM peers p, many m WHERE p.i <= 3 AND m.i <= p.length
    UNION ALL SELECT p.i, f.i FROM peers p, few f WHERE p.i > 3;

INSERT INTO users (id, phone, registered_at, created_at) SELECT i, '+33' || i, 1, 1 FROM numbers;
INSERT INTO logs (user_id, last_seq, top_chat, acked) SELECT i, 30000, 1002, 29000 FROM numbers;
INSERT INTO sessions (id, user_id, token_hash, device_name, ip, created_at, last_seen_at)
    SELECT n.i * 10 + f.i, n.i, bytes(n.i * 10 + f.i), '', '', f.i, f.i FROM numbers n, few f;
INSERT INTO chats (id, low_user, high_user, last_seq, low_count, high_count, created_at)
    SELECT 1000 + i, 1, i, length, length / 2, (length + 1) / 2, 1 FROM peers;
INSERT INTO members (user_id, chat_id, peer_id, activity, known) SELECT 1, 1000 + i, i, i, i % 2 * 2 FROM peers;
INSERT INTO members (user_id, chat_id, peer_id, activity) SELECT i, 1000 + i, 1, 1 FROM peers;
UPDATE users SET who_can_write = 1 WHERE id = 1;
UPDATE members SET withheld = 30000 WHERE user_id = 1 AND chat_id = 1002;
INSERT INTO withheld (chat_id, seq, side, visible) SELECT 1002, i, 1, 999 FROM many WHERE i >= 1000;
INSERT INTO messages (chat_id, seq, side, low_count, high_count, reply_to, sent_at, client_id, text)
    SELECT 1000 + peer, seq, seq % 2, seq / 2, (seq + 1) / 2, 0, 1, bytes(seq), 'a text of the usual length'
    FROM lines;
INSERT INTO events (user_id, seq, kind, ref, a, b, at) SELECT peer - 1, seq, 1, 1002, seq, 1, 1 FROM lines;
INSERT INTO moved_chats (chat_id, low_user, high_user) SELECT 100000 + i, 100000 + i, 200000 + i FROM numbers;
INSERT INTO profile_news (user_id, due_at) SELECT i, i FROM numbers;
INSERT INTO erasures (user_id, due_at) SELECT i, i FROM numbers;
UPDATE users SET suspended_at = id WHERE id > 4900;
INSERT INTO sms_pieces (sender, service, reference, number, total, provider, provider_id, data, at)
    SELECT '+33' || i % 100, '', i, 1, 1 + i % 6, 'a', i, bytes(i), i FROM many;
INSERT INTO sms_open_texts (sender, service, reference, at) SELECT '+33' || i % 100, '', i, i FROM numbers;
"""
"""5,000 users; the first has a chat with each other, one of them with 30,000 messages, and a log of 30,000 events.

Half of its chats are requests, and of the longest most messages are withheld from it."""

CASES: dict[str, tuple[Callable[[Tx], Any], int]] = {
    "page_before": (lambda tx: messages.page_before(tx, LONG_CHAT, LONG // 2, PAGE), PAGE),
    "page_after": (lambda tx: messages.page_after(tx, LONG_CHAT, LONG // 2, PAGE), PAGE),
    "newest page": (lambda tx: messages.page_before(tx, LONG_CHAT, 10 * LONG, PAGE), PAGE),
    "find_post": (lambda tx: messages.find_post(tx, post(LONG_CHAT, 0, "key")), 1),
    "chat_page": (lambda tx: chats.chat_page(tx, HUB, 200, PAGE), 5 * PAGE + 1),
    "first chat_page": (lambda tx: chats.chat_page(tx, HUB, 2**31 - 1, PAGE), 5 * PAGE + 1),
    "page of requests": (lambda tx: chats.chat_page(tx, HUB, 2**31 - 1, PAGE, "requests"), 5 * PAGE + 1),
    "page without requests": (lambda tx: chats.chat_page(tx, HUB, 2**31 - 1, PAGE, "chats"), 5 * PAGE + 1),
    "chat_view": (lambda tx: chats.chat_view(tx, HUB, LONG_CHAT.chat_id), 7),
    "standing": (lambda tx: strangers.sender_standing(tx, LONG_CHAT, HUB), 4),
    "withheld_among": (
        lambda tx: receipts.withheld_among(tx, LONG_CHAT.chat_id, LONG - PAGE, LONG),
        PAGE + 1,
    ),
    "visible_seq": (lambda tx: receipts.visible_seq(tx, LONG_CHAT.chat_id, 0, LONG), 1),
    "last_seq": (lambda tx: chats.last_seq(tx, LONG_CHAT.chat_id), 1),
    "find_pair": (lambda tx: chats.find_pair(tx, HUB, LONG_PEER), 1),
    "pair_of": (lambda tx: chats.pair_of(tx, HUB, LONG_CHAT.chat_id), 2),
    "pair_by_phone": (lambda tx: chats.pair_by_phone(tx, HUB, "+332"), 1),
    "event_page": (lambda tx: replay.event_page(tx, HUB, LONG // 2, PAGE), 3 * PAGE + 2),
    "log_head": (lambda tx: events.log_head(tx, HUB, LONG // 2), 3),
    "received": (lambda tx: receipts.received(tx, HUB, 0, 29_500, PAGE), 3 * PAGE),
    "shown_marks": (lambda tx: receipts.shown_marks(tx, LONG_CHAT), 2),
    "peers_last_seen": (lambda tx: chats.peers_last_seen(tx, HUB, range(2, 2 + PAGE)), (3 + SESSIONS) * PAGE),
    # Half of the hub's 5,000 chats are answered: PostgreSQL may look at all of them before it sorts.
    "peers_to_tell": (lambda tx: profile_news.peers_to_tell(tx, HUB), 3 * 2_500),
    "next_news": (profile_news.next_news, 1),
    "fresh_news": (lambda tx: profile_news.fresh_news(tx, 1), 1),
    "next_erasure": (erasure.next_erasure, 1),
    "suspended_since": (lambda tx: suspensions.suspended_since(tx, 4995), 2 * 5),
    "overdue texts": (lambda tx: text_segments.overdue(tx, 4000), 50),
    "standings": (lambda tx: accounts.standings(tx, [11, 12, 13]), 9),
    "arrivals": (lambda tx: accounts.arrivals(tx, [(11, LONG // 2)]), 6),
    "users_by_phone": (lambda tx: accounts.users_by_phone(tx, ["+332", "+333"]), 2 * 2),
    "sessions_by_token": (lambda tx: accounts.sessions_by_token(tx, [b"x", b"y"]), 2),
    "live_sessions": (lambda tx: accounts.live_sessions(tx, HUB), 2 * SESSIONS),
}
"""Functions of the request path, and how many rows a statement of theirs may touch at most."""

EMBEDDED: dict[str, Callable[[Tx], Any]] = {name: function for name, (function, _) in CASES.items()} | {
    "append": lambda tx: append(
        tx, Batch([post(LONG_CHAT, 1, "new")], [mark(LONG_CHAT, 1, read=20_000)], now=1)
    ),
}
"""On PostgreSQL the message path is a function of its own: see `test_the_function_reads_no_table_through`."""

STRAIGHT = (
    "SEARCH ",
    "SCALAR SUBQUERY",
    "CORRELATED SCALAR SUBQUERY",
    "LIST SUBQUERY",
    "SCAN CONSTANT ROW",
    "MATERIALIZE given",
    "SCAN given",
    "COMPOUND QUERY",
    "LEFT-MOST SUBQUERY",
    "UNION ALL",
)
"""How the steps of a good plan begin in SQLite; `given` is a list of values."""

Statement = tuple[str, Any]


class Recorder:
    """A `Tx` that notes what it is asked."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.presets = tx.presets
        self.statements: list[Statement] = []

    def one(self, sql: str, **params: Any) -> Row | None:
        self.statements.append((sql, params))
        return self._tx.one(sql, **params)

    def all(self, sql: str, **params: Any) -> list[Row]:
        self.statements.append((sql, params))
        return self._tx.all(sql, **params)

    def run(self, sql: str, **params: Any) -> int:
        self.statements.append((sql, params))
        return self._tx.run(sql, **params)

    def many(self, sql: str, rows: Iterable[Any]) -> None:
        rows = list(rows)
        self.statements += [(sql, row) for row in rows]
        self._tx.many(sql, rows)

    def lock_logs(self) -> None:
        self._tx.lock_logs()

    def emit(self, events: Iterable[Event]) -> None:
        self._tx.emit(events)


@pytest.fixture(scope="module")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "duologue.db"
    migrate(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.create_function("bytes", 1, lambda number: b"\x00%d" % number)
        connection.executescript(FILL)
        connection.commit()
    return path


@pytest.fixture
def sqlite(filled_sqlite: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(filled_sqlite, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        yield connection


@pytest.fixture(scope="module")
def filled_postgres(postgres: Postgres) -> Iterator[str]:
    with postgres.database() as url:
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION bytes(number INTEGER) RETURNS BYTEA IMMUTABLE LANGUAGE sql AS"
                " $$ SELECT '\\x00'::bytea || convert_to(number::text, 'UTF8') $$"
            )
            connection.execute(FILL.encode())
            connection.execute("VACUUM ANALYZE")
        yield url


@pytest.fixture
def postgresql(filled_postgres: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(filled_postgres) as connection, connection.transaction(force_rollback=True):
        yield connection


def recorded(tx: Tx, function: Callable[[Tx], Any]) -> list[Statement]:
    recorder = Recorder(tx)
    function(recorder)
    assert recorder.statements
    return recorder.statements


@pytest.mark.parametrize("case", EMBEDDED)
def test_sqlite_goes_straight_to_the_rows(sqlite: sqlite3.Connection, case: str) -> None:
    for sql, params in recorded(SqliteTx(sqlite), EMBEDDED[case]):
        plan = [row[3] for row in sqlite.execute(f"EXPLAIN QUERY PLAN {sql}", params)]
        assert plan or sql.startswith("INSERT")
        for step in plan:
            assert step.startswith(STRAIGHT), plan


def test_a_page_costs_sqlite_the_same_at_any_depth(sqlite: sqlite3.Connection) -> None:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    def cost(function: Callable[Concatenate[Tx, P], Any], *args: P.args, **kwargs: P.kwargs) -> int:
        nonlocal steps
        steps = 0
        function(SqliteTx(sqlite), *args, **kwargs)
        return steps

    sqlite.set_progress_handler(count, 1)
    for page in (messages.page_before, messages.page_after):
        short = cost(page, SHORT_CHAT, SHORT // 2, PAGE)
        assert short
        for seq in (PAGE + 1, LONG // 2, LONG - PAGE - 1):
            assert cost(page, LONG_CHAT, seq, PAGE) <= 1.5 * short
    short = cost(chats.chat_view, HUB, SHORT_CHAT.chat_id)
    assert cost(chats.chat_view, HUB, LONG_CHAT.chat_id) <= 1.5 * short


def test_sessions_that_have_ended_cost_sqlite_nothing(sqlite: sqlite3.Connection) -> None:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    def costs() -> list[int]:
        nonlocal steps
        found = []
        for case in ("live_sessions", "peers_last_seen"):
            steps = 0
            CASES[case][0](SqliteTx(sqlite))
            found.append(steps)
        return found

    sqlite.set_progress_handler(count, 1)
    before = costs()
    for user in (HUB, LONG_PEER):
        sqlite.executemany(
            "INSERT INTO sessions (id, user_id, device_name, ip, created_at, last_seen_at, ended_at)"
            " VALUES (?, ?, '', '', ?, ?, ?)",
            [(user * 1_000_000 + number, user, number, number, number) for number in range(1_000)],
        )
    assert all(after <= 1.5 * cost for after, cost in zip(costs(), before, strict=True))


def explained(connection: psycopg.Connection[Any], statement: Statement, mode: str) -> dict[str, Any]:
    """The plan of a prepared statement as it ran, made for these values or for any (`mode`)."""
    sql, params = statement
    names = list(dict.fromkeys(re.findall(r":([a-z_]\w*)", sql)))
    positional = re.sub(r":([a-z_]\w*)", lambda found: f"${names.index(found[1]) + 1}", sql)
    connection.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
    connection.execute(f"PREPARE statement AS {positional}".encode())
    values = f"({', '.join(['%s'] * len(names))})" if names else ""
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(
        f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE statement {values}".encode(),
        [params[name] for name in names],
    )
    row = cursor.fetchone()
    connection.execute("DEALLOCATE statement")
    assert row
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("case", CASES)
def test_postgresql_goes_straight_to_the_rows(
    postgresql: psycopg.Connection[Any], case: str, mode: str
) -> None:
    function, limit = CASES[case]
    for statement in recorded(PostgresTx(StatementRunner(postgresql)), function):
        touched = 0
        for node in nodes(explained(postgresql, statement, mode)):
            assert node["Node Type"] != "Seq Scan", node
            # The sessions of one user are few.
            assert node["Node Type"] != "Aggregate" or case == "peers_last_seen", node
            assert not node.get("Rows Removed by Filter"), node
            if "Scan" in node["Node Type"]:
                touched += node["Actual Rows"] * node["Actual Loops"]
        assert touched <= limit, statement


def scans(url: str) -> dict[str, int]:
    """Return how often each table was read from end to end."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT relname, seq_scan FROM pg_stat_user_tables").fetchall()
    return dict(found)


@pytest.mark.parametrize("filled", [False, True], ids=["from empty", "filled"])
async def test_the_function_reads_no_table_through(
    filled_postgres: str, postgres_url: str, *, filled: bool
) -> None:
    """Not even with plans that were made when there was nothing yet."""
    url = filled_postgres if filled else postgres_url
    migrate(url)
    async with opened(url) as store:
        pair = LONG_CHAT if filled else await store.pair()
        before = scans(url)
        for number in range(30):
            await store.together(
                *(post(pair, n % 2, f"{number}-{n}") for n in range(8)),
                mark(pair, 0, read=1 + number * 4),
                mark(pair, 1, delivered=1 + number * 7),
            )
        connection = store.db._link.line().connection  # type: ignore[union-attr]
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
        after = scans(url)
    for name in ("messages", "events"):
        assert after[name] == before[name], name


YOUNG = """
INSERT INTO users (id, phone, registered_at, created_at) SELECT n, '+33' || n, 1, 1 FROM generate_series(1, 400) n;
INSERT INTO logs (user_id, last_seq) SELECT n, 20 FROM generate_series(1, 400) n;
INSERT INTO chats (id, low_user, high_user, created_at, last_seq)
    SELECT 1000 + n, 2 * n - 1, 2 * n, 1, 20 FROM generate_series(1, 200) n;
INSERT INTO members (user_id, chat_id, peer_id, activity)
    SELECT 2 * n - 1, 1000 + n, 2 * n, 20 FROM generate_series(1, 200) n
    UNION ALL SELECT 2 * n, 1000 + n, 2 * n - 1, 20 FROM generate_series(1, 200) n;
INSERT INTO messages (chat_id, seq, side, low_count, high_count, reply_to, sent_at, client_id, text)
    SELECT 1000 + n, m, 0, m, 0, 0, 1, convert_to(m::text, 'UTF8'), repeat('x', 200)
    FROM generate_series(1, 200) n, generate_series(1, 20) m;
INSERT INTO events (user_id, seq, kind, ref, a, b, at)
    SELECT u, m, 1, 1000 + (u + 1) / 2, m, 0, 1 FROM generate_series(1, 400) u, generate_series(1, 20) m;
"""
"""So small that reading a table through looks best."""


@pytest.mark.parametrize("analyzed", [False, True])
def test_what_is_prepared_in_a_young_store_reads_no_table_through(
    postgres_url: str, *, analyzed: bool
) -> None:
    """The plans are kept while the tables grow."""
    migrate(postgres_url)
    line = StatementRunner(connect(postgres_url))
    line.connection.execute(YOUNG.encode())
    if analyzed:
        line.connection.execute("ANALYZE")
    before = scans(postgres_url)
    for _ in range(10):
        _look(line, [Unit(function, print) for function, _ in CASES.values()], Presets())
    line.connection.execute("SELECT pg_stat_force_next_flush()")
    line.connection.execute("SELECT 1")
    after = scans(postgres_url)
    line.connection.close()
    assert after == before
