"""A damaged page of an SQLite file: what is lost is named, the rest is served, and can be copied to a new store."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import ExitStack, closing
from http import HTTPStatus
from pathlib import Path
from typing import Final

import psycopg
import pytest
from typer.testing import CliRunner, Result

from duologue.cli import app
from duologue.model import Message, Pair
from duologue.storage.engine.engines import migrate
from duologue.storage.tables.events import log_head
from duologue.storage.tables.replay import event_page
from duologue_lab.servers.postgres import PostgresServer, postgres_server
from duologue_lab.servers.server import DuologueServer
from tests.contract.store import Store, opened
from tests.support.client import Api, Device, api_of

pytestmark = pytest.mark.anyio

_LEAF: Final = 0x0A
"""The first byte of a page that holds rows of a table WITHOUT ROWID, and leads to no other page."""
_LOST = re.compile(r"chat (\d+): messages (\d+) to (\d+) can't be read")


def damage(path: Path, *texts: str, size: int = 0) -> None:
    """Overwrite the pages that hold these texts, as a failing disk may. Nothing may have the file open.

    An SQLite file names the size of its pages itself.
    """
    content = bytearray(path.read_bytes())
    size = size or int.from_bytes(content[16:18])
    for start in {content.index(text.encode()) // size * size for text in texts}:
        content[start : start + size] = bytes([0xFF]) * size
    path.write_bytes(content)


def in_leaves(path: Path, texts: list[str]) -> list[str]:
    """Those of the texts that stand in leaves, once nothing that was deleted is left in the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    size = int.from_bytes(content[16:18])
    return [text for text in texts if content[content.index(text.encode()) // size * size] == _LEAF]


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


async def filled(url: str) -> dict[int, list[Message]]:
    """Chats with messages of which few fit on a page."""
    migrate(url)
    async with opened(url) as store:
        pairs = [await store.pair() for _ in range(12)]
        for number in range(8):
            await asyncio.gather(*(fill(store, pair, number) for pair in pairs))
        return {pair.chat_id: await store.all_messages(pair) for pair in pairs}


async def fill(store: Store, pair: Pair, number: int) -> None:
    for side in (0, 1):
        await store.send(pair, side, f"{number}-{side}", f"<{pair.chat_id} {number} {side}>{'.' * 400}")


def lost(output: str) -> dict[int, set[int]]:
    """The messages that are said to be lost, by their chat."""
    found: dict[int, set[int]] = {}
    for chat, first, last in _LOST.findall(output):
        found.setdefault(int(chat), set()).update(range(int(first), int(last) + 1))
    return found


@pytest.mark.parametrize("pages", [1, 3])
async def test_verify_names_what_a_damaged_page_lost_and_salvage_keeps_the_rest(
    tmp_path: Path, pages: int
) -> None:
    path, copy = tmp_path / "duologue.db", tmp_path / "new" / "duologue.db"
    url, copy_url = f"sqlite:///{path}", f"sqlite:///{copy}"
    chats = await filled(url)
    assert run("verify", "--database-url", url).exit_code == 0
    texts = in_leaves(path, [message.text[:25] for found in chats.values() for message in found])
    damage(path, *texts[:: len(texts) // pages][:pages])

    verified = run("verify", "--database-url", url)
    assert verified.exit_code == 1
    gone = lost(verified.output)
    assert 0 < sum(map(len, gone.values())) < 15 * pages
    salvaged = run("salvage", "--to", str(copy), "--database-url", url)
    assert salvaged.exit_code == 0
    assert lost(salvaged.output) == gone
    async with opened(copy_url) as store:
        for chat_id, messages in chats.items():
            kept = {message.seq: message for message in messages if message.seq not in gone.get(chat_id, ())}
            pair = await pair_of(store, chat_id)
            assert {message.seq: message for message in await store.all_messages(pair)} == kept
            for user_id in (pair.low, pair.high):
                await assert_log_can_be_read(store, user_id)
            assert (await store.send(pair, 0, "goes on")).seq == len(messages) + 1
    again = run("verify", "--database-url", copy_url)
    assert again.exit_code == 1
    for chat_id in gone:
        assert f"chat {chat_id}" in again.output


async def pair_of(store: Store, chat_id: int) -> Pair:
    row = await store.db.read(
        lambda tx: tx.one("SELECT low_user, high_user FROM chats WHERE id = :id", id=chat_id)
    )
    assert row
    return Pair(chat_id, row[0], row[1])


async def assert_log_can_be_read(store: Store, user_id: int) -> None:
    head = await store.db.read(log_head, user_id)
    assert head
    _, events = await store.db.read(event_page, user_id, head.floor, 10_000)
    assert [event.seq for event in events] == list(range(head.floor + 1, head.last_seq + 1))


async def test_nothing_is_overwritten_and_a_file_that_is_no_database_is_said_to_be_none(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "duologue.db", tmp_path / "other.db"
    migrate(f"sqlite:///{path}")
    other.write_text("precious")
    assert run("salvage", "--to", str(other), "--database-url", f"sqlite:///{path}").exit_code == 2
    assert other.read_text() == "precious"
    path.write_bytes(b"\xff" * 8192)
    for command in (("verify",), ("salvage", "--to", str(tmp_path / "new.db"))):
        result = run(*command, "--database-url", f"sqlite:///{path}")
        assert result.exit_code == 2
        assert "not a database" in result.output


async def talk(one: Device, chat_id: str, name: str) -> list[str]:
    texts = [f"<{name} {number:03}>{'.' * 400}" for number in range(40)]
    for number, text in enumerate(texts):
        await one.post(chat_id, text, client_id=f"{number}")
    return texts


async def ready(api: Api) -> dict[str, str]:
    body: dict[str, str] = (await api.http.get("/readyz")).json()
    return body


class Disk:
    """The disk of a store whose server is stopped: one page of it may be damaged."""

    def __init__(self, engine: str, folder: Path, stack: ExitStack) -> None:
        self.path = folder / "duologue.db"
        self.url = f"sqlite:///{self.path}"
        self.postgres: PostgresServer | None = None
        if engine == "postgresql":
            self.postgres = stack.enter_context(postgres_server())
            self.url = self.postgres.url()

    def damage(self, texts: list[str]) -> None:
        """Damage a page in which some of these texts are stored, and nobody else's."""
        if self.postgres is None:
            damage(self.path, in_leaves(self.path, texts)[0])
            return
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT pg_relation_filepath('messages')").fetchone()
            connection.execute("ANALYZE")
        assert row
        self.postgres.stop()
        damage(self.postgres.folder / "data" / row[0], texts[0], size=8192)
        self.postgres.start()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_what_a_damaged_page_left_is_served_and_the_probe_says_so(tmp_path: Path, engine: str) -> None:
    with ExitStack() as stack:
        disk = Disk(engine, tmp_path, stack)
        env = {"DUOLOGUE_DATABASE_URL": disk.url, "DUOLOGUE_RATE_LIMITS": "off"}
        server = stack.enter_context(DuologueServer(tmp_path / "node", env=env))
        async with api_of(server.url) as api:
            hurt, _, hurt_chat = await api.friends()
            well, _, well_chat = await api.friends()
            texts = await talk(hurt, hurt_chat, "hurt")
            await talk(well, well_chat, "well")
            server.stop()
            disk.damage(texts[15:25])
            server.start()
            assert await ready(api) == {"status": "ok"}
            refused = await hurt.ask("GET", f"/v1/chats/{hurt_chat}/messages?limit=200&after=0")
            assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
            assert refused.json()["code"] == "overloaded"
            assert (await hurt.call("GET", f"/v1/chats/{hurt_chat}/messages?limit=2"))["items"]
            assert len((await well.call("GET", f"/v1/chats/{well_chat}/messages?limit=200"))["items"]) == 40
            await well.post(well_chat, "goes on")
            told = await ready(api)
            assert told["status"] == "degraded"
            assert "damaged" in told["detail"]
            verified = run("verify", "--database-url", disk.url)
            assert verified.exit_code == 1
            gone = lost(verified.output)
            assert len(gone) == 1
            named, not_served = next(iter(gone.values())), await unreadable(hurt, hurt_chat, len(texts))
            assert named <= not_served
            # SQLite's page above has the message that follows; the server's way to it leads through the damaged one.
            assert len(not_served - named) <= (0 if disk.postgres else 1)


async def unreadable(one: Device, chat_id: str, last: int) -> set[int]:
    """The messages of a chat that the server can't serve."""
    found = set()
    for seq in range(1, last + 1):
        answer = await one.ask("GET", f"/v1/chats/{chat_id}/messages?limit=1&after={seq - 1}")
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            found.add(seq)
    return found
