"""The power goes, and the disk forgets all that was not synced: what was acknowledged is there all the same.

The disk is made forgetful by a library that is preloaded into the server, `tests/support/forgetful_disk.c`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from duologue.cli.verify import verify
from duologue_lab.servers.server import DuologueServer

SOURCE = Path(__file__).parents[1] / "support" / "forgetful_disk.c"
MESSAGES = 40
SYNCED = ".synced"
WRITER = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute(f"PRAGMA synchronous = {sys.argv[2]}")
connection.execute("CREATE TABLE numbers (number INTEGER)")
for number in range(10):
    connection.execute("INSERT INTO numbers VALUES (?)", [number])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library; only where there is a C compiler and a system that can preload."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler (cc)")
    library = tmp_path_factory.mktemp("forgetful") / "forgetful.so"
    command = (compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl")
    subprocess.run(command, check=True)
    return str(library)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def cut_the_power(folder: Path) -> None:
    """Leave of each file of a database what was synced of it; a file that was deleted stays so."""
    for path in folder.glob("*.db*"):
        if not path.name.endswith((SYNCED, ".draft")):
            path.unlink()
            synced = path.with_name(path.name + SYNCED)
            if synced.exists():
                synced.rename(path)


@pytest.mark.parametrize(("synchronous", "kept"), [("FULL", 10), ("OFF", 0)])
def test_the_disk_forgets_what_was_not_synced(
    forgetful: str, folder: Path, synchronous: str, kept: int
) -> None:
    path = folder / "numbers.db"
    env = {**os.environ, "LD_PRELOAD": forgetful, "FORGETFUL_FOLDER": str(folder)}
    command = (sys.executable, "-c", WRITER, str(path), synchronous)
    assert subprocess.run(command, env=env, check=False).returncode == -signal.SIGKILL
    cut_the_power(folder)
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'numbers'").fetchone()[0]
        found = connection.execute("SELECT count(*) FROM numbers").fetchone()[0] if tables else 0
    assert found == kept


def test_what_was_acknowledged_survives_a_power_cut(forgetful: str, folder: Path) -> None:
    env = {"LD_PRELOAD": forgetful, "FORGETFUL_FOLDER": str(folder)}
    with DuologueServer(folder, env=env) as server, httpx.Client(trust_env=False) as http:
        ana, ben = (sign_in(http, server.url, f"+3363998000{number}") for number in (1, 2))
        chat = http.put(f"{server.url}/v1/chats", json={"phone": "+33639980002"}, headers=ana).json()["id"]
        http.put(f"{server.url}/v1/chats/{chat}/accept", headers=ben)
        acknowledged = []
        for number in range(MESSAGES):
            body = {"text": f"text {number}", "client_id": f"c{number}"}
            answer = http.post(f"{server.url}/v1/chats/{chat}/messages", json=body, headers=ana)
            acknowledged.append(answer.raise_for_status().json()["text"])
        server.kill()
    cut_the_power(folder)
    assert verify(f"sqlite:///{folder / 'duologue.db'}")
    with DuologueServer(folder) as server, httpx.Client(trust_env=False) as http:
        page = http.get(f"{server.url}/v1/chats/{chat}/messages?after=0&limit=200", headers=ben).json()
    assert [message["text"] for message in page["items"]] == acknowledged


def sign_in(http: httpx.Client, url: str, phone: str) -> dict[str, str]:
    answer = http.post(f"{url}/v1/sessions", json={"phone": phone, "device_name": "test"})
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['token']}"}
