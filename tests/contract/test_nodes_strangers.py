"""The limit of what may wait for an answer, with one sender's devices on two nodes of one PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from http import HTTPStatus
from pathlib import Path

import pytest

from duologue.core.limits import UNANSWERED_MESSAGES
from duologue_lab.servers.nats import nats_server
from duologue_lab.servers.server import DuologueServer
from tests.contract.test_nodes import SECRET, apis, on
from tests.support.client import Device, Frame, Socket

pytestmark = pytest.mark.anyio

EACH = 10
"""Messages that each connection sends, with four connections: twice as many as may wait."""


async def send_all(socket: Socket, chat_id: str, name: str) -> list[Frame]:
    """Send without waiting between; the answers: `sent` and `error` frames."""
    for number in range(EACH):
        await socket.say(
            "send", chat_id=chat_id, text=name, client_id=f"{name}{number}", ref=f"{name}{number}"
        )
    answers: list[Frame] = []
    while len(answers) < EACH:
        frame = await socket.next()
        answers += [frame] if frame["op"] in {"sent", "error"} else []
    return answers


async def repeat(device: Device, chat_id: str, client_id: str) -> tuple[int, int]:
    """Send a message once more over HTTP; the status, and the seq if it is stored."""
    body = {"text": client_id[0], "client_id": client_id}
    answer = await device.ask("POST", f"/v1/chats/{chat_id}/messages", body)
    return answer.status_code, answer.json().get("seq", 0)


async def test_so_many_may_wait_on_all_nodes_together(postgres_url: str, tmp_path: Path) -> None:
    with nats_server() as nats:
        env = {"DUOLOGUE_DATABASE_URL": postgres_url, "DUOLOGUE_BUS_URL": nats.url, "DUOLOGUE_SECRET": SECRET}
        with DuologueServer(tmp_path / "a", env=env) as one, DuologueServer(tmp_path / "b", env=env) as other:
            async with apis([one, other]) as (here, there):
                paul, vera, chat_id = await here.strangers()
                elsewhere = on(there, paul)
                async with (
                    paul.online() as a,
                    paul.online() as b,
                    elsewhere.online() as c,
                    elsewhere.online() as d,
                ):
                    answers = await asyncio.gather(
                        *(
                            send_all(socket, chat_id, name)
                            for socket, name in zip((a, b, c, d), "abcd", strict=True)
                        )
                    )
                stored = {
                    frame["client_id"]: frame["message"]["seq"]
                    for frames in answers
                    for frame in frames
                    if frame["op"] == "sent"
                }
                refused = [frame for frames in answers for frame in frames if frame["op"] == "error"]
                assert {frame["code"] for frame in refused} == {"rate_limited"}
                assert sorted(stored.values()) == list(range(1, UNANSWERED_MESSAGES + 1))
                assert (await on(there, vera).chat(chat_id))["unread"] == UNANSWERED_MESSAGES

                for device in (paul, elsewhere):
                    for client_id, seq in stored.items():
                        assert await repeat(device, chat_id, client_id) == (HTTPStatus.OK, seq)
                    told = Counter([await repeat(device, chat_id, frame["ref"]) for frame in refused])
                    assert told == {(HTTPStatus.TOO_MANY_REQUESTS, 0): len(refused)}

                # The answer is given on one node, and makes room on the other at once.
                await vera.post(chat_id, "answer")
                status, seq = await repeat(elsewhere, chat_id, refused[0]["ref"])
                assert (status, seq) == (HTTPStatus.CREATED, UNANSWERED_MESSAGES + 2)
