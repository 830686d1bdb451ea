"""Sound databases, and every kind of fault in one: found, called by its name, at its place."""

from __future__ import annotations

import ast
import contextlib
import inspect
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from duologue.cli import app
from duologue.model import Pair, Reaction
from duologue.storage.audit import audit as audit_module
from duologue.storage.audit import audit_logs, pages
from duologue.storage.audit.audit import AuditReport, audit
from duologue.storage.audit.snapshot import CannotRead, snapshot
from duologue.storage.database import Tx
from duologue.storage.engine.engines import migrate, sqlite_path
from duologue.storage.engine.migrate import SchemaTooNew, SchemaTooOld
from duologue.storage.engine.postgres_tx import PostgresTx, StatementRunner
from duologue.storage.engine.sqlite import SqliteTx
from duologue.storage.tables import changes
from duologue.storage.tables.accounts import delete_user, end_sessions, live_sessions, update_user
from duologue.storage.tables.chats import update_chat
from duologue.storage.tables.events import trim_logs
from duologue.storage.tables.receipts import store_acks
from tests.contract.store import mark, opened
from tests.contract.truth import assert_sound

pytestmark = pytest.mark.anyio


def report_of(url: str) -> AuditReport:
    with snapshot(url) as tx:
        return audit(tx)


@contextlib.contextmanager
def changing(url: str) -> Iterator[Tx]:
    """A transaction behind the server's back, of which nothing remains."""
    path = sqlite_path(url)
    if path:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
            file.execute("BEGIN")
            yield SqliteTx(file)
        return
    with psycopg.connect(url) as server, server.transaction(force_rollback=True):
        yield PostgresTx(StatementRunner(server))


def execute(url: str, *statements: str) -> None:
    """Behind the server's back, and for good."""
    path = sqlite_path(url)
    if path:
        with contextlib.closing(sqlite3.connect(path)) as file, file:
            for statement in statements:
                file.execute(statement)
        return
    with psycopg.connect(url) as server:
        for statement in statements:
            server.execute(statement.encode())


async def lived_in(url: str) -> tuple[Pair, Pair]:
    """Two chats of three people, a bystander, and somebody who has left: all that can happen to a database."""
    async with opened(url) as store:
        ana, ben, eve, gone = [await store.user() for _ in range(4)]
        first, second = await store.pair_of(ana, ben), await store.pair_of(ana, eve)
        left = await store.pair_of(gone, ana)
        sent = await store.fill(first, (0, 1, 1, 0, 1))
        await store.db.write(changes.edit, first, sent[0], "better", store.clock())
        await store.db.write(changes.delete, first, sent[1], store.clock())
        thanks = Reaction(ana.id, "👍"), Reaction(ben.id, "❤️")
        await store.db.write(changes.react, first, sent[2], thanks, store.clock())
        await store.fill(second, (1, 0))
        await store.fill(left, (0, 1))
        await store.together(
            mark(first, 0, delivered=3),
            mark(first, 1, read=4),
            mark(second, 1, read=1),
            mark(left, 0, read=2),
        )
        await store.db.write(update_user, ben.id, "Ben", store.clock(), read_receipts=False)
        await store.fill(second, (0, 1, 0))
        await store.together(mark(first, 0, read=5), mark(first, 1, read=5))
        await store.db.write(update_chat, eve.id, second.chat_id, {"archived": True}, store.clock())
        session = (await store.db.read(live_sessions, eve.id))[0]
        await store.db.write(end_sessions, eve.id, [session.id], store.clock())
        await store.db.write(store_acks, {ana.id: 5})
        await store.db.write(delete_user, gone.id, store.clock())
        return first, second


async def test_a_database_that_was_lived_in_is_sound(store_url: str) -> None:
    await lived_in(store_url)
    report = report_of(store_url)
    assert report.findings == []
    assert report.sound
    assert report.counts["messages"] == 12
    assert_sound(store_url)


async def test_a_log_without_its_old_end_is_sound(store_url: str) -> None:
    now = 1_000_000
    async with opened(store_url, lambda: now) as store:
        pair = await store.pair()
        quiet = await store.pair_of(await store.user(), await store.user())
        for each in (pair, quiet):
            await store.fill(each, (0, 1, 0))
            await store.together(mark(each, 0, read=2), mark(each, 1, delivered=3))
        now += 10
        await store.send(pair, 1, "new")
        await store.together(mark(pair, 1, read=1))
        await store.db.write(trim_logs, -1, now)
        assert (await store.log_span(pair.low))[1] > 0
    report = report_of(store_url)
    assert report.findings == []


async def test_pages_end_anywhere(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await lived_in(store_url)
    whole = report_of(store_url).counts
    for page in (1, 2, 3, 7):
        monkeypatch.setattr(pages, "_PAGE", page)
        report = report_of(store_url)
        assert (report.findings, report.counts) == ([], whole)


# Each is about the chat of `low` and `high`; `other` is another chat of one of them.
BROKEN = {
    "a message is gone": ("DELETE FROM messages WHERE chat_id = {chat} AND seq = 3", "chat not numbered"),
    "the last message is gone": (
        "DELETE FROM messages WHERE chat_id = {chat} AND seq = 5",
        "chat miscounted",
    ),
    "a side is miscounted": (
        "UPDATE messages SET low_count = low_count + 1 WHERE chat_id = {chat} AND seq = 2",
        "side not numbered",
    ),
    "the chat is miscounted": ("UPDATE chats SET high_count = 0 WHERE id = {chat}", "chat miscounted"),
    "an answer to what comes later": (
        "UPDATE messages SET reply_to = 4 WHERE chat_id = {chat} AND seq = 2",
        "answer to nothing",
    ),
    "a message was edited before it was sent": (
        "UPDATE messages SET edited_at = sent_at - 1 WHERE chat_id = {chat} AND seq = 1",
        "changed before sent",
    ),
    "of a deleted message the text is there": (
        "UPDATE messages SET text = 'words' WHERE chat_id = {chat} AND seq = 2",
        "deleted but readable",
    ),
    "of a deleted message a reaction is there": (
        "UPDATE messages SET reactions = '0👍' WHERE chat_id = {chat} AND seq = 2",
        "deleted but readable",
    ),
    "a reaction is there twice": (
        "UPDATE messages SET reactions = '0👍 0👍' WHERE chat_id = {chat} AND seq = 1",
        "reactions mistaken",
    ),
    "a reaction is nobody's": (
        "UPDATE messages SET reactions = '2👍' WHERE chat_id = {chat} AND seq = 1",
        "reactions mistaken",
    ),
    "a message that nobody was told of changed": (
        "UPDATE events SET a = 99 WHERE kind = 8 AND ref = {chat}",
        "change told before its message",
    ),
    "somebody else's message changed": (
        "UPDATE events SET b = 1 - b WHERE kind = 8 AND ref = {chat}",
        "sender mistaken",
    ),
    "a message is stored twice": (
        (
            "DROP INDEX messages_once; UPDATE messages SET client_id = (SELECT client_id FROM messages"
            " WHERE chat_id = {chat} AND seq = 2) WHERE chat_id = {chat} AND seq = 3"
        ),
        "client_id used twice",
    ),
    "a chat is in one list only": (
        "DELETE FROM members WHERE chat_id = {chat} AND user_id = {low}",
        "chat not listed",
    ),
    "a list names the wrong peer": (
        "UPDATE members SET peer_id = {low} WHERE chat_id = {chat} AND user_id = {low}",
        "chat not listed",
    ),
    "a chat has another id": ("UPDATE chats SET id = 7 WHERE id = {chat}", "chat under a foreign id"),
    "a chat is gone": ("DELETE FROM chats WHERE id = {chat}", "list without chat"),
    "messages of no chat": ("DELETE FROM chats WHERE id = {chat}", "orphan"),
    "a user is gone": ("DELETE FROM users WHERE id = {low}", "chat without users"),
    "an event is gone": ("DELETE FROM events WHERE user_id = {low} AND seq = 5", "log not numbered"),
    "a log ends early": ("UPDATE logs SET last_seq = last_seq + 1 WHERE user_id = {low}", "log not numbered"),
    "a log has no head": ("DELETE FROM logs WHERE user_id = {low}", "user without log"),
    "more is acked than there is": (
        "UPDATE logs SET acked = last_seq + 1 WHERE user_id = {high}",
        "log head out of range",
    ),
    "somebody else's chat on top": (
        "UPDATE logs SET top_chat = 7 WHERE user_id = {low}",
        "log head out of range",
    ),
    "a message is told twice": (
        "UPDATE events SET a = 1 WHERE user_id = {low} AND kind = 1 AND ref = {chat} AND a = 2",
        "message not told once",
    ),
    "a message is told to nobody": (
        "UPDATE chats SET last_seq = 6 WHERE id = {chat}",
        "message not told once",
    ),
    "an own message is told as the peer's": (
        "UPDATE events SET b = 1 - b WHERE user_id = {low} AND kind = 1 AND ref = {chat} AND a = 2",
        "sender mistaken",
    ),
    "a message that isn't there is told": (
        "DELETE FROM messages WHERE chat_id = {chat} AND seq = 5",
        "event about nothing",
    ),
    "an event is about a chat of others": (
        "UPDATE events SET ref = 7 WHERE user_id = {low} AND kind = 4 AND ref = {chat}",
        "event about nothing",
    ),
    "an event is about a session of nobody": (
        "UPDATE events SET ref = 7 WHERE user_id = {low} AND kind = 6",
        "event about nothing",
    ),
    "more is read than there is": (
        "UPDATE members SET read = 9, delivered = 9 WHERE user_id = {low} AND chat_id = {chat}",
        "mark out of range",
    ),
    "more is read than delivered": (
        "UPDATE members SET delivered = 1 WHERE user_id = {low} AND chat_id = {chat}",
        "mark out of range",
    ),
    "more is shown than is delivered": (
        "UPDATE members SET delivered_shown = delivered + 1 WHERE user_id = {low} AND chat_id = {chat}",
        "mark out of range",
    ),
    "somebody who wrote is a stranger": (
        "UPDATE members SET known = 0 WHERE user_id = {low} AND chat_id = {chat}",
        "stranger mistaken",
    ),
    "a chat that its user opened is not listed": (
        "UPDATE members SET activity = 0 WHERE user_id = {low} AND chat_id = {chat}",
        "stranger mistaken",
    ),
    "a message that was seen is withheld": (
        "INSERT INTO withheld (chat_id, seq, side, visible) VALUES ({chat}, 2, 0, 7)",
        "withheld mistaken",
    ),
    "a message that isn't there is withheld": (
        "INSERT INTO withheld (chat_id, seq, side, visible) VALUES ({chat}, 99, 0, 7)",
        "orphan",
    ),
    "nothing is withheld from somebody": (
        "UPDATE members SET withheld = 3 WHERE user_id = {low} AND chat_id = {chat}",
        "chat miscounted",
    ),
    "unread has drifted": (
        "UPDATE members SET read_count = read_count + 1 WHERE user_id = {low} AND chat_id = {chat}",
        "read miscounted",
    ),
    "a mark fell": (
        "UPDATE events SET a = 1, b = 0 WHERE user_id = {low} AND kind = 2 AND ref = {chat} AND b = 5",
        "mark didn't rise",
    ),
    "a mark was never told": (
        "UPDATE members SET read = 4, read_shown = 0 WHERE user_id = {low} AND chat_id = {chat}",
        "mark not told",
    ),
    "a chat stands too high in a list": (
        "UPDATE members SET activity = activity + 1000 WHERE user_id = {low} AND chat_id = {chat}",
        "list out of order",
    ),
    "a user is erased who is there": (
        "INSERT INTO erasures (user_id, due_at) VALUES ({low}, 1)",
        "erased but there",
    ),
    "a deleted user has a log": ("UPDATE users SET deleted_at = 1 WHERE id = {low}", "deleted but there"),
}


async def test_what_is_broken_is_called_by_its_name(store_url: str) -> None:
    chat, other = await lived_in(store_url)
    names = {"chat": chat.chat_id, "low": chat.low, "high": chat.high, "other": other.chat_id}
    missed = []
    for name, (statements, rule) in BROKEN.items():
        with changing(store_url) as tx:
            for statement in statements.format(**names).split(";"):
                tx.run(statement)
            report = audit(tx)
            if not any(finding.rule == rule for finding in report.findings) or report.sound:
                missed.append((name, report.findings))
    assert missed == []
    assert report_of(store_url).sound


def test_every_rule_is_broken_by_some_case() -> None:
    told = {
        node.args[0].value
        for module in (audit_module, audit_logs)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "found"
        and isinstance(node.args[0], ast.Constant)
    }
    assert told == {rule for _, rule in BROKEN.values()}


async def test_only_the_first_findings_are_told_and_all_are_counted(store_url: str) -> None:
    async with opened(store_url) as store:
        pair = await store.pair()
        await store.fill(pair, [0] * 200)
    execute(store_url, "UPDATE messages SET reply_to = 10000")
    report = report_of(store_url)
    assert report.broken["answer to nothing"] == 200
    assert len(report.findings) == 20


async def test_a_snapshot_stays_as_it_was(store_url: str) -> None:
    async with opened(store_url) as store:
        pair = await store.pair()
        await store.fill(pair, (0, 1))
        with snapshot(store_url) as tx:
            await store.fill(await store.pair(), (0, 1))
            report = audit(tx)
    assert (report.counts["messages"], report.findings) == (2, [])


@pytest.mark.parametrize("url", ["sqlite:////tmp/nowhere/duologue.db", "postgresql:///x?host=/nowhere"])
async def test_a_database_that_isnt_there_is_not_made(url: str) -> None:
    with pytest.raises(CannotRead), snapshot(url):
        pass


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database at all, but long enough to look like something" * 20)
    with pytest.raises(CannotRead, match="not a database"), snapshot(f"sqlite:///{tmp_path}/x.db"):
        pass


async def test_a_foreign_schema_is_refused(database_url: str) -> None:
    execute(database_url, "CREATE TABLE something (x INTEGER)")
    with pytest.raises(SchemaTooOld), snapshot(database_url):
        pass
    migrate(database_url)
    execute(database_url, *NEWER["sqlite" if sqlite_path(database_url) else "postgresql"])
    with pytest.raises(SchemaTooNew), snapshot(database_url):
        pass


NEWER = {"sqlite": ["PRAGMA user_version = 9999"], "postgresql": ["INSERT INTO schema_version VALUES (9999)"]}


async def test_the_command_tells_by_its_exit_code(store_url: str, tmp_path: Path) -> None:
    chat, _ = await lived_in(store_url)
    command = ["verify", "--database-url", store_url]
    sound = CliRunner().invoke(app, command)
    assert (sound.exit_code, "The database is sound" in sound.output) == (0, True)
    execute(store_url, BROKEN["a message is gone"][0].format(chat=chat.chat_id))
    broken = CliRunner().invoke(app, command)
    assert (broken.exit_code, "chat not numbered" in broken.output) == (1, True)
    nowhere = CliRunner().invoke(app, ["verify", "--data-dir", str(tmp_path / "nowhere")])
    assert nowhere.exit_code == 2
    assert not (tmp_path / "nowhere").exists()
