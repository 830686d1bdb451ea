"""SQLite's log is copied into the file beside the writer: it begins anew again and again, whatever is going on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from queue import Queue

import pytest

from duologue.storage.engine.checkpoint import EVERY, Checkpointer
from duologue.storage.engine.sqlite import connect, migrate
from tests.contract.store import Store, opened
from tests.support.client import PATIENCE

pytestmark = pytest.mark.anyio

WRITES = 4 * EVERY
MOST = 32 << 20
"""Bytes of log; so many writes make more than twice as many."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "duologue.db")
    return tmp_path / "duologue.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    async with opened(f"sqlite:///{path}") as store:
        yield store


def log_size(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


async def write(store: Store, count: int) -> None:
    pair = await store.pair()
    for start in range(0, count, 20):
        await asyncio.gather(
            *(store.send(pair, number % 2, f"c{number}", "x" * 200) for number in range(start, start + 20))
        )


async def test_the_log_stays_small_while_much_is_written(store: Store, path: Path) -> None:
    await asyncio.gather(*(write(store, WRITES // 4) for _ in range(4)))
    assert log_size(path) < MOST
    with closing(connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (WRITES,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_reader_that_stays_keeps_the_log_and_no_writer(store: Store, path: Path) -> None:
    with closing(connect(path)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM messages").fetchone()
        await write(store, WRITES // 2)
        assert reader.execute("SELECT count(*) FROM messages").fetchone() == before
        grown = log_size(path)
    await write(store, WRITES // 2)
    assert log_size(path) < grown + MOST


class Broken(sqlite3.Connection):
    """Its file can't be written to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, isolation_level=None, check_same_thread=False)
        self.asked: Queue[str] = Queue()

    def execute(self, sql: str, *_: object) -> sqlite3.Cursor:
        self.asked.put(sql)
        raise sqlite3.OperationalError("disk I/O error")


def test_a_checkpoint_that_fails_is_told_and_tried_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken(path)
    checkpointer = Checkpointer(lambda: broken)
    checkpointer.start()
    with closing(connect(path)) as connection:
        checkpointer.wrote(connection, EVERY)
        assert "wal_checkpoint" in broken.asked.get(timeout=PATIENCE)
        while broken.asked.empty():
            checkpointer.wrote(connection, EVERY)
    checkpointer.close()
    assert "disk I/O error" in caplog.text


def test_its_failure_is_not_the_writers(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpointer = Checkpointer(lambda: connect(path))
    checkpointer.start()
    with closing(Broken(path)) as writer:
        checkpointer.wrote(writer, EVERY)
        while writer.asked.empty():
            checkpointer.wrote(writer, 0)
    checkpointer.close()
    assert "disk I/O error" in caplog.text
