"""The real servers that the tests bring along do what the tests rely on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path

import httpx
import nats
import psycopg
import pytest

from duologue_lab.servers.nats import nats_server
from duologue_lab.servers.postgres import Postgres, postgres_server
from duologue_lab.servers.process import Command, Process, ServerError, environment, wait_until_dead
from duologue_lab.servers.server import DuologueServer

ROOT = Path(__file__).parents[2]

each_way = pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])

KILLED_RUN = """
from duologue_lab.servers.postgres import postgres_server
from duologue_lab.servers.process import reaper
with postgres_server() as server:
    print(server.process.pid, reaper().pid, server.folder, flush=True)
    input()
"""


def first(url: str, sql: str) -> object:
    """The first column of the first row."""
    with psycopg.connect(url) as connection:
        row = connection.execute(sql.encode()).fetchone()
    return row[0] if row else None


def test_the_shared_postgres_is_version_18_and_durable(postgres_url: str) -> None:
    assert first(postgres_url, "SELECT current_setting('server_version_num')::int / 10000") == 18
    assert (
        first(postgres_url, "SELECT current_setting('fsync') || current_setting('synchronous_commit')")
        == "onon"
    )


def test_a_database_is_empty_and_gone_afterwards(postgres: Postgres) -> None:
    with postgres.database() as url:
        assert first(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        first(url, "SELECT 1")


def test_a_database_can_be_a_copy_of_another(postgres: Postgres) -> None:
    with postgres.database() as original:
        with psycopg.connect(original) as connection:
            connection.execute("CREATE TABLE notes AS SELECT 'kept' AS note")
        with postgres.database(template=str(first(original, "SELECT current_database()"))) as copy:
            assert first(copy, "SELECT note FROM notes") == "kept"


@each_way
def test_postgres_comes_back_where_it_was_with_what_was_committed(*, kill: bool) -> None:
    with postgres_server() as server:
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE notes AS SELECT 'kept' AS note")
        with psycopg.connect(server.url()) as cut_off:
            server.restart(kill=kill)
            with pytest.raises(psycopg.OperationalError):
                cut_off.execute("SELECT 1")
        assert first(server.url(), "SELECT note FROM notes") == "kept"
    assert not server.folder.exists()


@pytest.mark.anyio
async def test_nats_delivers(nats_url: str) -> None:
    async with await nats.connect(nats_url) as connection:
        subscription = await connection.subscribe("news")
        await connection.publish("news", b"hello")
        assert (await subscription.next_msg(timeout=10)).data == b"hello"


@each_way
@pytest.mark.anyio
async def test_nats_comes_back_where_it_was(*, kill: bool) -> None:
    with nats_server() as server:
        before = server.url
        server.restart(kill=kill)
        assert server.url == before
        async with await nats.connect(before) as connection:
            await connection.flush(timeout=10)


@each_way
def test_duologue_comes_back_where_it_was(*, kill: bool, tmp_path: Path) -> None:
    with DuologueServer(tmp_path) as server:
        before, pid = server.url, server.pid
        server.restart(kill=kill)
        assert server.url == before
        assert server.pid != pid
        assert httpx.get(f"{before}/healthz").status_code == HTTPStatus.OK
        assert server.stop() == 0


def test_a_server_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(ServerError, match="unrecognized configuration parameter"),
        postgres_server({"no": "1"}),
    ):
        pass


def test_a_server_takes_its_children_with_it(tmp_path: Path) -> None:
    script = "sleep 600 & echo child $!; wait"
    ready = re.compile(r"child (\d+)")
    process = Process(Command(("sh", "-c", script), ready, "stdout", environment(""), tmp_path))
    child = int(process.ready[1])
    process.stop()
    wait_until_dead(child)


def test_a_killed_run_leaves_no_server_and_no_data() -> None:
    command = [sys.executable, "-c", KILLED_RUN]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        server, reaper, folder = run.stdout.readline().split()
        os.kill(run.pid, signal.SIGKILL)
    wait_until_dead(int(server))
    wait_until_dead(int(reaper))
    assert not Path(folder).exists()
