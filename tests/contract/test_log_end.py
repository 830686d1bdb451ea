"""The last number of a chat and of a log: what comes after it is refused with a code, and harms nobody else."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

import pytest

from duologue.errors import ApiError
from duologue.model import MAX_SEQ, Pair
from duologue.storage.database import Posted
from duologue.storage.tables.accounts import end_sessions, live_sessions
from duologue.storage.tables.replay import event_page
from duologue_lab.servers.server import DuologueServer
from tests.contract.store import Store, mark, post
from tests.contract.test_audit import execute
from tests.support.client import api_of

pytestmark = pytest.mark.anyio


def set_log(url: str, user_id: int, last_seq: int) -> None:
    """Have a user's log stand there, as if all before was trimmed."""
    change(url, "DELETE FROM events WHERE user_id = :id", user_id)
    change(url, "UPDATE logs SET last_seq = :seq, floor = :seq WHERE user_id = :id", user_id, last_seq)
    change(url, "UPDATE members SET activity = :seq WHERE user_id = :id", user_id, last_seq)


def change(url: str, sql: str, row_id: int = 0, seq: int = 0) -> None:
    execute(url, sql.replace(":id", str(row_id)).replace(":seq", str(seq)))


async def assert_full(store: Store, pair: Pair, neighbours: Pair) -> None:
    refused, other = await store.together(post(pair, 0, "beyond"), post(neighbours, 0, "beyond"))
    assert isinstance(refused, ApiError)
    assert refused.code == "log_full"
    assert isinstance(other, Posted)


async def test_a_log_ends_with_a_code(store: Store) -> None:
    pair, neighbours = await store.pair(), await store.pair()
    set_log(store.url, pair.high, MAX_SEQ - 1)
    assert (await store.send(pair, 0, "the last")).seq == 1
    await assert_full(store, pair, neighbours)
    _, (last,) = await store.db.read(event_page, pair.high, MAX_SEQ - 1, 10)
    assert last.seq == MAX_SEQ
    with pytest.raises(ApiError, match="log_full"):
        await store.apply(mark(pair, 1, read=1))
    sessions = await store.db.read(live_sessions, pair.high, 0)
    with pytest.raises(ApiError, match="log_full"):
        await store.db.write(end_sessions, pair.high, [sessions[0].id], store.clock())
    assert (await store.send(neighbours, 1, "goes on")).seq == 2


async def test_a_chat_ends_with_a_code(store: Store) -> None:
    pair, neighbours = await store.pair(), await store.pair()
    change(
        store.url,
        "UPDATE chats SET last_seq = :seq, low_count = :seq WHERE id = :id",
        pair.chat_id,
        MAX_SEQ - 1,
    )
    assert (await store.send(pair, 0, "the last")).seq == MAX_SEQ
    await assert_full(store, pair, neighbours)
    repeated = await store.apply(post(pair, 0, "the last"))
    assert isinstance(repeated, Posted)
    assert repeated.replayed


async def test_a_client_is_told_of_the_end(database_url: str, tmp_path: Path) -> None:
    with DuologueServer(tmp_path / "node", env={"DUOLOGUE_DATABASE_URL": database_url}) as server:
        async with api_of(server.url) as api:
            one, other, chat_id = await api.friends()
            change(database_url, "UPDATE logs SET last_seq = :seq, floor = :seq", seq=MAX_SEQ - 1)
            async with one.online(after=MAX_SEQ - 1) as socket:
                await socket.send("the last", chat_id=chat_id)
                assert (await socket.hear("event"))["seq"] == MAX_SEQ
                await socket.say("send", chat_id=chat_id, text="beyond", client_id="beyond")
                assert (await socket.error("log_full"))["client_id"] == "beyond"
            refused = await one.ask(
                "POST", f"/v1/chats/{chat_id}/messages", {"text": "beyond", "client_id": "beyond"}
            )
            assert refused.status_code == HTTPStatus.CONFLICT
            assert refused.json()["code"] == "log_full"
            page = await other.call("GET", f"/v1/events?after={MAX_SEQ - 1}")
            assert [event["seq"] for event in page["items"]] == [MAX_SEQ]
            # The receipt of it would need a number, too.
            refused = await other.ask("POST", "/v1/events/ack", {"seq": MAX_SEQ})
            assert refused.json()["code"] == "log_full"
