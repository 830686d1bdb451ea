"""Acknowledged is never lost, doubled, reordered or shown to others, whatever breaks; and we would see it if it were.

A short form of what `duologue torture` does for minutes: see docs/torture.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from duologue_lab.servers.process import environment
from duologue_lab.servers.server import DuologueServer
from duologue_lab.torture.checker import check
from duologue_lab.torture.harm import Menu, Victim
from duologue_lab.torture.history import History, load
from duologue_lab.torture.load import ActionRates
from duologue_lab.torture.run import Plan, SystemUnderTest, run
from duologue_lab.torture.system import Wanted, running

SHORT = (
    *("--users", "30", "--seconds", "10", "--kill-every", "2", "--rate", "60", "--cuts", "6"),
    *("--retention", "5", "--seed", "1"),
)


def torture(*args: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "duologue.cli", "torture", *args)
    env = environment("DUOLOGUE_")
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=280)


FORMS = {
    "sqlite": ("--engine", "sqlite"),
    "nodes": ("--engine", "postgresql"),
    "workers": (
        *("--engine", "postgresql", "--nodes", "1", "--workers", "2"),
        *("--kill", "rollback", "--kill", "worker", "--kill", "bus", "--kill", "postgres"),
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_no_promise_is_broken(form: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    done = torture(*SHORT, *form, "--history", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No promise was broken" in done.stdout
    assert "The database is sound" in done.stdout
    assert len(load(file)) > 1_000


def test_every_fault_is_found_that_is_planted_into_what_real_servers_gave() -> None:
    done = torture("--self-test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every fault was found" in done.stdout


SABOTAGE = {
    "hole in chat": "DELETE FROM messages WHERE (chat_id, seq) IN"
    " (SELECT id, last_seq - 1 FROM chats WHERE last_seq > 3 ORDER BY last_seq DESC LIMIT 3)",
    "unread wrong": "UPDATE members SET read_count = read_count + 1",
    "altered": "UPDATE messages SET text = 'something else' WHERE seq = 2",
}


@pytest.mark.parametrize("rule", SABOTAGE)
def test_what_somebody_does_to_the_store_is_seen_from_outside(rule: str, tmp_path: Path) -> None:
    """A real server on a store that is spoilt behind its back."""
    history = History()
    with running(Wanted("sqlite"), tmp_path) as system:
        spoil = Victim("saboteur", lambda: sabotage(tmp_path / "duologue.db", SABOTAGE[rule]), lambda: None)
        plan = Plan(
            users=6, seconds=4, pace=ActionRates(messages=60, cuts=2), kill_every=2.5, seed=1, patience=3
        )
        asyncio.run(run(plan, SystemUnderTest(system.urls, Menu([spoil])), history, lambda _, __: None))
    assert rule in {violation.rule for violation in check(history.entries)}


def sabotage(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def test_a_saved_history_is_judged_again(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    assert torture("--self-test", "--check", str(file)).returncode == 2
    made = torture(
        "--engine", "sqlite", "--users", "4", "--seconds", "1", "--kill", "none", "--history", str(file)
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert torture("--check", str(file)).returncode == 0
    lines = file.read_bytes().splitlines(keepends=True)
    first = next(index for index, line in enumerate(lines) if b'"what":"event"' in line)
    file.write_bytes(b"".join(lines[:first] + lines[first + 1 :]))
    judged = torture("--check", str(file))
    assert (judged.returncode, "hole in log" in judged.stdout) == (1, True)


def test_a_running_system_is_tried_too_with_new_users_or_given_ones(tmp_path: Path) -> None:
    with (
        DuologueServer(tmp_path / "data") as server,
        httpx.Client(base_url=server.url, trust_env=False) as http,
    ):
        new = torture("--url", server.url, "--users", "4", "--seconds", "2")
        assert new.returncode == 0, new.stdout + new.stderr
        answers = [http.post("/v1/sessions", json={"phone": f"+336123456{number}0"}) for number in range(3)]
        tokens = tmp_path / "tokens"
        tokens.write_text("\n".join(answer.json()["token"] for answer in answers))
        given = torture("--url", server.url, "--tokens", str(tokens), "--seconds", "2")
        assert given.returncode == 0, given.stdout + given.stderr
        assert "3 users, 3 devices" in given.stdout
        again = torture("--url", server.url, "--tokens", str(tokens), "--seconds", "2")
        assert (again.returncode, "has chats" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    "args",
    [
        ("--engine", "mysql"),
        ("--kill", "everything"),
        ("--users", "100000"),
        ("--url", "http://127.0.0.1:9", "--users", "2"),
        ("--check", "/nowhere/history.jsonl"),
        ("--tokens", "/nowhere/tokens"),
    ],
)
def test_what_cannot_be_done_is_told(args: tuple[str, ...]) -> None:
    done = torture(*args)
    assert done.returncode == 2
    assert done.stderr.startswith("duologue: ")
    assert "Traceback" not in done.stderr
