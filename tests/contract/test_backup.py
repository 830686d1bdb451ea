"""`duologue backup`: whole, checked and private, while others write; or nothing."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from duologue.cli.backup import BackupError, backup
from duologue.storage.engine.engines import migrate
from duologue.storage.engine.sqlite import connect
from duologue_lab.servers.postgres import Postgres, programs
from duologue_lab.servers.server import DuologueServer
from tests.contract.store import contents, opened
from tests.support.client import api_of

pytestmark = pytest.mark.anyio

MB = 1_000_000
ROW = 10_000
"""Bytes of a large row."""
PATIENCE = 60.0
"""Seconds."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "duologue.cli", *arguments]


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), capture_output=True, check=False, timeout=PATIENCE, env=os.environ | env
    )


def refusal(data: Path, target: Path | str) -> str:
    """Return the error with which a backup fails."""
    with pytest.raises(BackupError) as caught:
        backup(f"sqlite:///{data}/duologue.db", str(target), thorough=False)
    return str(caught.value)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with an empty database."""
    folder = tmp_path / "data"
    migrate(f"sqlite:///{folder}/duologue.db")
    return folder


def fill(data: Path, size: int) -> None:
    """Make a database so large (bytes)."""
    with closing(connect(data / "duologue.db")) as connection:
        connection.execute("CREATE TABLE filling (id INTEGER PRIMARY KEY, text BLOB)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO filling (text) VALUES (randomblob(?))", [(ROW,)] * (size // ROW))
        connection.execute("COMMIT")


@contextmanager
def writer(data: Path) -> Iterator[list[int]]:
    """Another process's writes, a hundred a second, the first of which is done; how many there were."""
    written, begun, ended = [0], threading.Event(), threading.Event()

    def write() -> None:
        with closing(connect(data / "duologue.db")) as connection:
            connection.execute("CREATE TABLE written (id INTEGER PRIMARY KEY)")
            while not ended.wait(0.01):
                connection.execute("INSERT INTO written (id) VALUES (NULL)")
                written[0] += 1
                begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert begun.wait(30)
        yield written
    finally:
        ended.set()
        thread.join()


def test_a_backup_ends_while_others_write_and_is_of_one_moment(data: Path, tmp_path: Path) -> None:
    fill(data, 60 * MB)
    target = tmp_path / "copy.db"
    with writer(data) as written:
        before = written[0]
        done = run("backup", str(target), "--data-dir", str(data))
        after = written[0]
    assert done.returncode == 0, done.stderr
    assert b"MB were backed up in" in done.stderr
    assert after > before + 10, "nobody was held up"
    with closing(sqlite3.connect(target)) as copy:
        [count, newest] = copy.execute("SELECT count(*), max(id) FROM written").fetchone()
        assert copy.execute("SELECT count(*) FROM filling").fetchone() == (60 * MB // ROW,)
    assert before <= count == newest <= after
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [target.name]


async def test_a_restored_backup_of_a_running_server_is_sound(tmp_path: Path) -> None:
    """Taken in the middle of sends, put in place and verified."""
    folder, restored = tmp_path / "data", tmp_path / "restored"
    with DuologueServer(folder) as server:
        sent = await _send(server.url, folder, tmp_path / "copy.db")
    restored.mkdir()
    (tmp_path / "copy.db").rename(restored / "duologue.db")
    assert run("verify", "--data-dir", str(restored)).returncode == 0
    found = {bytes(row[7]) for row in contents(f"sqlite:///{restored}/duologue.db")["messages"]}
    assert len(found) >= sent, "what was answered before the backup began is in it"


async def _send(url: str, folder: Path, target: Path) -> int:
    """Send until a backup has ended; how many were answered before it began."""
    async with api_of(url) as api:
        one, _, chat_id = await api.friends()
        for number in range(30):
            await one.post(chat_id, f"before {number}")
        process = subprocess.Popen(
            command("backup", str(target), "--data-dir", str(folder), "--verify"), stderr=subprocess.PIPE
        )
        number = 0
        while process.poll() is None:
            await one.post(chat_id, f"meanwhile {number}")
            number += 1
        _, said = process.communicate()
        assert process.returncode == 0, said
        assert number
    return 30


def test_a_backup_can_go_into_a_pipe(data: Path, tmp_path: Path) -> None:
    done = run("backup", "-", "--data-dir", str(data), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    piped = tmp_path / "piped.db"
    piped.write_bytes(done.stdout)
    with closing(sqlite3.connect(piped)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not list(tmp_path.glob(".duologue-*"))


def test_a_backup_overwrites_nothing_and_never_the_database_itself(data: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.write_text("precious")
    assert "overwrites nothing" in refusal(data, there)
    assert there.read_text() == "precious"
    for name in ("duologue.db", "duologue.db-wal", "../data/duologue.db-shm"):
        assert "belongs to the database" in refusal(data, data / name)
    assert "There is no folder" in refusal(data, tmp_path / "no" / "copy.db")
    done = run("backup", str(there), "--data-dir", str(data))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"overwrites nothing" in done.stderr


def test_without_a_database_there_is_no_backup(tmp_path: Path) -> None:
    assert "unable to open" in refusal(tmp_path, tmp_path / "copy.db")
    sqlite3.connect(tmp_path / "duologue.db").close()
    assert not (tmp_path / "duologue.db").exists() or "no database" in refusal(tmp_path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_full_disk_is_said_and_leaves_nothing(data: Path, tmp_path: Path) -> None:
    fill(data, 20 * MB)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MB, unlimited[1]))
    try:
        assert refusal(data, tmp_path / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_backup_that_is_stopped_leaves_nothing(data: Path, tmp_path: Path, how: signal.Signals) -> None:
    fill(data, 100 * MB)

    def stop() -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if any(path.stat().st_size > MB for path in tmp_path.glob(".duologue-*.part")):
                os.kill(os.getpid(), how)
                return

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert "nothing is left" in refusal(data, tmp_path / "copy.db")
    stopper.join()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


async def test_postgresql_is_dumped_by_its_own_program(
    postgres: Postgres, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its dump is restored to the same contents."""
    migrate(postgres_url)
    target = tmp_path / "copy.dump"
    async with opened(postgres_url) as store:
        await store.fill(await store.pair(), [0, 1, 0])
        monkeypatch.setenv("PATH", f"{programs()}:{os.environ['PATH']}")
        backup(postgres_url, str(target), thorough=False)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with postgres.database() as restored:
        subprocess.run(
            [programs() / "pg_restore", f"--dbname={restored}", target], check=True, capture_output=True
        )
        assert contents(restored) == contents(postgres_url)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="not on PATH"):
        backup(postgres_url, str(tmp_path / "other"), thorough=False)
