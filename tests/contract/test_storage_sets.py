"""PostgreSQL's set-based `duologue_append` does what the statements of `storage.append` do.

The same batches go into one database through the function, and into another through the statements, on either
engine: outcomes, events and rows must be the same, to the last number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from duologue.errors import ApiError
from duologue.model import Event, Pair, Privacy, WhoCanWrite, pair_id
from duologue.storage.append import strangers
from duologue.storage.append.append import append
from duologue.storage.append.batch import Batch, NoSuchChat, Stored, as_stored
from duologue.storage.append.group import Group, Store
from duologue.storage.database import Operation, Outcome, Row, Tx
from duologue.storage.engine import postgres_append
from duologue.storage.engine.engines import migrate
from duologue.storage.engine.postgres_tx import PostgresTx, StatementRunner
from duologue.storage.engine.sqlite import SqliteTx, connect
from duologue.storage.tables.accounts import delete_user, update_user, user_by_id
from duologue.storage.tables.chats import open_chat, update_chat
from duologue.storage.tables.messages import find_post, last_seqs
from duologue_lab.servers.postgres import Postgres
from tests.contract.store import TABLES, contents, mark, post
from tests.contract.truth import assert_sound

USERS = [23, 5, 42, 11]
"""Ids in no order, so that everybody is now the lower and now the higher side."""
CHATS = [Pair(pair_id(low, high), low, high) for low in sorted(USERS) for high in sorted(USERS) if low < high]
UNOPENED = CHATS[-1]
"""Nobody has opened this chat at the beginning."""
UNKNOWN = Pair(77, 5, 42)
MOST_WAITING = 3
"""So few messages may wait for an answer, so that the limit is met."""
POISON = "\ud800"

Step = tuple[str, Any, Any]


class Way(Protocol):
    """One way of storing, in a database of its own."""

    url: str
    now: int

    @property
    def tx(self) -> contextlib.AbstractContextManager[Tx]:
        """A transaction."""
        ...

    def store(self, batch: Batch) -> Stored: ...


class ByStatementsOnSqlite:
    """The embedded engine's way."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self.now = 0
        migrate(self.url)
        self._connection = connect(path)
        self._connection.execute("PRAGMA synchronous = OFF")

    @property
    @contextlib.contextmanager
    def tx(self) -> Iterator[Tx]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield SqliteTx(self._connection)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def store(self, batch: Batch) -> Stored:
        with self.tx as tx:
            return append(tx, batch)

    def close(self) -> None:
        self._connection.close()


class ByStatementsOnPostgres:
    """The statements that the function is compared with, on its own engine."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now = 0
        migrate(url)
        self._connection = psycopg.connect(url, autocommit=True)
        self._line = StatementRunner(self._connection)

    @property
    @contextlib.contextmanager
    def tx(self) -> Iterator[Tx]:
        self._line.command(b"BEGIN")
        try:
            yield PostgresTx(self._line)
        except BaseException:
            self._line.command(b"ROLLBACK")
            raise
        self._line.command(b"COMMIT")

    def store(self, batch: Batch) -> Stored:
        with self.tx as tx:
            return append(tx, batch)

    def close(self) -> None:
        self._connection.close()


class ByFunction(ByStatementsOnPostgres):
    """The way of the engine for many nodes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._appender = postgres_append.Appender()

    def store(self, batch: Batch) -> Stored:
        return as_stored(batch, self._appender.append(self._line, batch))


def fresh(way: Way) -> None:
    """Nothing in the database but our users and their chats, all empty."""
    way.now = 1
    with way.tx as tx:
        for name in TABLES:
            tx.run(f"DELETE FROM {name}")  # noqa: S608 - our own names
        tx.many("INSERT INTO logs (user_id) VALUES (?)", [(user,) for user in USERS])
        tx.many(
            "INSERT INTO users (id, phone, registered_at, created_at) VALUES (?, ?, 1, 1)",
            [(user, str(user)) for user in USERS],
        )
        for pair in CHATS[:-1]:
            assert open_chat(tx, pair.low, str(pair.high), way.now) == pair


def do(way: Way, step: Step) -> tuple[list[Any], list[Event]]:
    """Take one step; its outcomes, and the events of its group commit."""
    way.now += 1
    what, which, value = step
    if what == "batch":
        return commit(way, which)
    try:
        with way.tx as tx:
            return [do_alone(tx, what, which, value, way.now)], []
    except (NoSuchChat, strangers.TooManyWaiting) as refused:
        return [type(refused)], []


def do_alone(tx: Tx, what: str, which: Any, value: Any, now: int) -> Any:
    """Take a step that has a transaction of its own; its outcome. Raises `NoSuchChat`, `TooManyWaiting`."""
    done: Any = None
    match what:
        case "receipts":
            done = update_user(tx, which, None, now, read_receipts=value)
        case "choose":
            done = update_user(tx, which, None, now, privacy=value)
        case "delete":
            done = delete_user(tx, which, now)
        case "pin":
            done = update_chat(tx, CHATS[which].low, CHATS[which].chat_id, {"pinned": value}, now)
        case "send":
            outcome, mutual = strangers.send(tx, which, None, value, now)
            done = comparable(outcome), mutual
        case "accept":
            strangers.accept(tx, (which.low, which.high)[value], which, now)
        case "open":
            caller, peer = (which.high, which.low) if value else (which.low, which.high)
            # A deleted user's number would get a new id, which is another one in each database.
            if is_there(tx, peer):
                done = open_chat(tx, caller, str(peer), now)
        case _:
            raise AssertionError(what)
    return done


def is_there(tx: Tx, user_id: int) -> bool:
    user = user_by_id(tx, user_id)
    return user is not None and user.phone is not None


def commit(way: Way, operations: Sequence[Operation]) -> tuple[list[Any], list[Event]]:
    def find(item: Any) -> Any:
        with way.tx as tx:
            return find_post(tx, item)

    def seqs(chat_ids: Sequence[int]) -> dict[int, int]:
        with way.tx as tx:
            return last_seqs(tx, chat_ids)

    store: Store = way.store
    group = Group(store, find, seqs, lambda: way.now)
    return [comparable(outcome) for outcome in group.commit(operations)], group.events


def comparable(outcome: Outcome) -> Any:
    """An outcome, but for the reason why it is refused: of several, each way may see another one first."""
    if isinstance(outcome, ApiError):
        return outcome.code
    return "refused" if isinstance(outcome, Exception) else outcome


def plain(tables: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The same in terms that both engines share."""
    return {
        name: [tuple(int(v) if isinstance(v, bool) else v for v in row) for row in lines]
        for name, lines in tables.items()
    }


def weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of several strategies, each as often as its weight says: `one_of` counts a repeated strategy once."""
    spread = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.integers(0, len(spread) - 1).flatmap(lambda place: spread[place])


_chats = st.sampled_from([*CHATS[:2] * 4, *CHATS, UNKNOWN])
_sides = st.integers(0, 1)
_seqs = st.integers(0, 6)
_posts = st.builds(
    post,
    _chats,
    _sides,
    st.sampled_from([*"abcdefghijkl", "01936f3e-7d1c-7cc3-b9a4-1f0c2b6f8d11"]),
    st.sampled_from([*"xxxxxxxy"]),
    st.integers(0, 1),
)
_poisonous = st.builds(post, _chats, _sides, st.just("poison"), st.just(POISON))
_marks = st.builds(
    lambda pair, side, d, r: mark(pair, side, delivered=d, read=r), _chats, _sides, _seqs, _seqs
)
_batches = st.tuples(
    st.just("batch"),
    st.lists(weighted((6, _posts), (8, _marks), (1, _poisonous)), min_size=1, max_size=10),
    st.none(),
)
_privacy = st.builds(Privacy, who_can_write=st.sampled_from(WhoCanWrite), discoverable=st.booleans())
_steps = weighted(
    (6, _batches),
    (6, st.tuples(st.just("send"), _posts, st.sampled_from([MOST_WAITING, None]))),
    (2, st.tuples(st.just("choose"), st.sampled_from(USERS), _privacy)),
    (1, st.tuples(st.just("accept"), _chats, _sides)),
    (1, st.tuples(st.just("open"), st.sampled_from(CHATS), _sides)),
    (1, st.tuples(st.just("receipts"), st.sampled_from(USERS), st.booleans())),
    (1, st.tuples(st.just("pin"), st.integers(0, 5), st.booleans())),
    (1, st.tuples(st.just("delete"), st.sampled_from(USERS), st.none())),
)


@pytest.fixture
def ways(postgres: Postgres, tmp_path: Path) -> Iterator[list[Way]]:
    """The function first, then what it is held against."""
    with postgres.database() as one, postgres.database() as other, contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(ByFunction(one))),
            stack.enter_context(contextlib.closing(ByStatementsOnPostgres(other))),
            stack.enter_context(contextlib.closing(ByStatementsOnSqlite(tmp_path / "duologue.db"))),
        ]


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    choices=st.tuples(*[_privacy] * len(USERS)),
    steps=st.lists(_steps, min_size=8, max_size=20),
)
def test_the_function_does_what_the_statements_do(
    ways: list[Way], choices: tuple[Privacy, ...], steps: list[Step]
) -> None:
    steps = [("choose", user, choice) for user, choice in zip(USERS, choices, strict=True)] + steps
    note(ascii(steps))
    assert_the_same(ways, steps)


def assert_the_same(ways: list[Way], steps: Sequence[Step]) -> dict[str, list[Row]]:
    """Have each way take these steps in an empty database; what stands in all of them then."""
    for way in ways:
        fresh(way)
    for step in steps:
        function, *others = [do(way, step) for way in ways]
        for other in others:
            assert other == function
    function_rows, *other_rows = [plain(contents(way.url)) for way in ways]
    for rows in other_rows:
        for name in TABLES:
            assert rows[name] == function_rows[name], name
    assert_sound(ways[0].url)
    return function_rows


def batch(*operations: Operation) -> Step:
    return "batch", operations, None


@pytest.mark.parametrize("read_receipts", [True, False])
@pytest.mark.parametrize(
    ("who", "discoverable", "shown"),
    [
        (WhoCanWrite.EVERYONE, True, 3),
        (WhoCanWrite.EVERYONE, False, 1),
        (WhoCanWrite.REQUESTS, True, 1),
        (WhoCanWrite.NOBODY, True, 1),
    ],
)
def test_what_a_stranger_sees_of_marks_is_one_on_both_paths(
    ways: list[Way], who: WhoCanWrite, discoverable: bool, shown: int, read_receipts: bool
) -> None:
    """One message is seen; the next two come as the recipient has chosen. Both paths then set marks on the last."""
    pair, recipient = CHATS[0], CHATS[0].high
    steps: list[Step] = [("receipts", recipient, read_receipts)]
    steps += [("send", post(pair, 0, "seen"), MOST_WAITING)]
    steps += [batch(mark(pair, 1, read=1)), ("choose", recipient, Privacy(who, None, discoverable))]
    steps += [("send", post(pair, 0, each), MOST_WAITING) for each in ("b", "c", "d")]
    steps += [batch(mark(pair, 1, delivered=2)), batch(mark(pair, 1, read=3))]

    def marks(rows: dict[str, list[Row]]) -> tuple[int, int]:
        """Return the marks that the sender sees: `delivered` and `read`."""
        [row] = [row for row in rows["members"] if row[:2] == (recipient, pair.chat_id)]
        return row[12], row[6]

    assert marks(assert_the_same(ways, steps)) == (shown, shown if read_receipts else 0)
    answers: list[list[Step]] = [
        [("accept", pair, 1)],
        [("send", post(pair, 1, "answer"), None)],
        [
            ("send", post(pair, 1, "answer"), None),
            ("send", post(pair, 0, "e"), None),
            batch(mark(pair, 1, read=5)),
        ],
    ]
    for answer in answers:
        assert_the_same(ways, steps + answer)


def test_a_batch_is_one_transaction(ways: list[Way]) -> None:
    """A batch that can't be stored whole leaves nothing of itself."""
    for way in ways:
        fresh(way)
        before = contents(way.url)
        batch = Batch([post(CHATS[0], 0, "a"), post(UNKNOWN, 0, "b")], [mark(CHATS[1], 0, read=0)], 1)
        with pytest.raises(NoSuchChat):
            way.store(batch)
        assert contents(way.url) == before


def test_marks_that_stand_still_hold_up_nobody(ways: list[Way]) -> None:
    """Whichever marks of a batch are late, too far or private, it is still stored whole."""
    still, far = mark(CHATS[0], 0), mark(CHATS[1], 0, read=9)
    moving, private = mark(CHATS[0], 1, read=1), mark(CHATS[4], 1, read=1)
    for way in ways:
        fresh(way)
        with way.tx as tx:
            update_user(tx, private.owner, None, way.now, read_receipts=False)
        way.store(
            Batch([post(CHATS[0], 0, "a"), post(CHATS[4], 0, "b")], [mark(CHATS[4], 1, delivered=1)], 2)
        )
    for marks in ([still, far, private, moving], [private, still], [far, moving], [still, far]):
        for way in ways:
            way.now += 1
        function, *others = [
            way.store(Batch([post(CHATS[0], 0, f"c-{way.now}")], marks, way.now)).numbers for way in ways
        ]
        for other in others:
            assert (other.chats, other.moved, other.out_of_range) == (
                function.chats,
                function.moved,
                function.out_of_range,
            )
    assert_sound(ways[0].url)
