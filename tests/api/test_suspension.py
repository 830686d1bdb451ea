"""A command beside a running server suspends a user: all of the user's connections end, and nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from duologue_lab.servers.process import environment
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, Device, api_of

pytestmark = pytest.mark.anyio

SOCKETS = 8
"""Of the user's, so that each of two workers has some: the odds against it are one in a hundred."""
TRUSTED_FOR = 1.0  # seconds
AT_ONCE = 2.0
"""Seconds from the end of the command until every socket is closed: a second, and the machine's own delays."""


@pytest.fixture(params=["one node", "two workers"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[DuologueServer, str]]:
    """A server and its database."""
    url = f"sqlite:///{tmp_path}/duologue.db"
    options: tuple[str, ...] = ()
    if request.param == "two workers":
        url = request.getfixturevalue("postgres_url")
        options = ("--workers", "2")
    with DuologueServer(tmp_path, *options, "--database-url", url) as server:
        yield server, url


@pytest.fixture
async def api(place: tuple[DuologueServer, str]) -> AsyncIterator[Api]:
    async with api_of(place[0].url) as api:
        yield api


def users(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "duologue.cli", "users", *arguments, "--database-url", url]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment("DUOLOGUE_")
    )


async def change(url: str, *arguments: str) -> str:
    """Run the command beside the server; what it says."""
    done = await anyio.to_thread.run_sync(users, url, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


async def test_a_suspension_ends_every_socket_poll_and_stream_and_lifting_it_loses_nothing(
    place: tuple[DuologueServer, str], api: Api
) -> None:
    _, url = place
    ana, ben, chat_id = await api.friends()
    latest = (await ana.log())[-1]["seq"]
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(ana.online()) for _ in range(SOCKETS)]
        poll = asyncio.create_task(ana.ask("GET", f"/v1/events?after={latest}&wait=25"))
        stream = asyncio.create_task(streamed(ana, latest))
        assert await change(url, "suspend", ana.phone) == f"{ana.user_id} is suspended now."
        began = time.monotonic()
        for socket in sockets:
            assert await socket.closing() == (4013, "suspended")
            assert socket.heard[-1]["code"] == "suspended"
        assert time.monotonic() - began < AT_ONCE
    refused = await poll
    assert (refused.status_code, refused.json()["code"]) == (403, "suspended")
    assert b'event: error\ndata: {"type"' in (told := await stream)
    assert b'"code":"suspended"' in told

    assert await change(url, "suspend", ana.user_id) == f"{ana.user_id} was suspended before."
    await ben.post(chat_id, "Are you there?")
    # A node may trust for a second that a token is good.
    async with asyncio.timeout(TRUSTED_FOR + 1):
        while (await ana.ask("GET", "/v1/me")).status_code != 403:
            await asyncio.sleep(0.1)
    assert (await api.http.post("/v1/sessions", json={"phone": ana.phone})).json()["code"] == "suspended"
    assert (await ben.chat(chat_id))["peer"]["phone"] == ana.phone, "peers see nothing of it"

    assert await change(url, "lift", ana.phone) == f"{ana.user_id} may use the server again."
    assert (await ana.ask("GET", "/v1/me")).status_code == 200
    async with ana.online(after=latest) as socket:
        assert (await socket.event("message.created"))["text"] == "Are you there?"
    assert await change(url, "lift", ana.phone) == f"{ana.user_id} is not suspended."


async def streamed(device: Device, after: int) -> bytes:
    """All that an event stream says until it ends."""
    path = f"/v1/events/stream?after={after}"
    async with device.api.http.stream("GET", path, headers=device.authorization) as answer:
        return await answer.aread()


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/duologue.db"
    nothing = users(url, "suspend", "+33612345678")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert not (tmp_path / "duologue.db").exists()
    with DuologueServer(tmp_path):
        pass
    for who, said in (("+33612345678", "There is no such user."), ("Ana", "country code")):
        done = users(url, "suspend", who)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
