"""Rate limits over HTTP and the socket: every answer tells of its limit, and a flood is refused, not served."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from duologue.core.addresses import address_block
from duologue.core.limits import LASTING_PER_USER
from duologue.core.rates import CONNECTIONS, COSTLY, READ, REQUESTS
from duologue_lab.servers.server import DuologueServer
from tests.support.client import Api, api_of
from tests.support.node import node_running

pytestmark = pytest.mark.anyio

HANDSHAKE = (
    b"GET /v1/socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
MANY = REQUESTS.burst * 3
AT_ONCE = 8
"""Requests that wait for their answers on one connection."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuologueServer]:
    options = "--trusted-proxies", "127.0.0.0/8", "--allow-open-network"
    with DuologueServer(tmp_path_factory.mktemp("server"), *options) as server:
        yield server


@pytest.fixture
async def http(server: DuologueServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
        yield http


@pytest.fixture
async def api(server: DuologueServer) -> AsyncIterator[Api]:
    async with api_of(server.url) as api:
        yield api


async def served_at_once(server: DuologueServer, path: str, address: str) -> int:
    """Return the number of requests, sent as fast as possible, that are answered before the first refusal."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answers = 0
    try:
        while answers < MANY:
            writer.write(request * AT_ONCE)
            statuses: list[bytes] = []
            told = b""
            while len(statuses) < AT_ONCE:
                chunk = await reader.read(65_536)
                assert chunk, f"the connection ended after {answers} answers"
                told += chunk
                statuses = re.findall(rb"HTTP/1\.1 (\d\d\d) ", told)
                if b"429" in statuses:
                    return answers + statuses.index(b"429")
            answers += AT_ONCE
        return answers
    finally:
        writer.close()


async def test_every_answer_tells_of_the_limit_that_it_counted_for(api: Api, http: httpx.AsyncClient) -> None:
    ana = await api.device()
    for path, headers, policy in (
        ("/v1/me", ana.authorization, READ),
        ("/v1/sessions", ana.authorization, COSTLY),
        ("/v1/server", {}, REQUESTS),
        ("/", {}, REQUESTS),
    ):
        answer = await http.get(path, headers=headers)
        assert answer.headers["ratelimit-policy"] == f'"{policy.name}";q={policy.quota};w={policy.window}'
        name, remaining, reset = answer.headers["ratelimit"].split(";")
        assert name == f'"{policy.name}"'
        assert 0 < int(remaining.removeprefix("r=")) < policy.burst
        assert reset == "t=1"


async def test_a_user_over_a_limit_is_refused_and_others_are_not(api: Api, http: httpx.AsyncClient) -> None:
    ana, ben = await api.device(), await api.device()
    answers = [await http.get("/v1/sessions", headers=ana.authorization) for _ in range(COSTLY.burst + 5)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 0 < len(refused) <= 5
    assert refused[0].json()["code"] == "rate_limited"
    assert refused[0].headers["ratelimit"] == '"costly";r=0;t=1'
    assert refused[0].headers["retry-after"] == "1"
    assert (await http.get("/v1/me", headers=ana.authorization)).is_success, "other limits are not touched"
    assert (await http.get("/v1/sessions", headers=ben.authorization)).is_success


async def test_an_address_over_its_limit_is_refused_on_every_path_and_others_are_not(
    server: DuologueServer, api: Api, http: httpx.AsyncClient
) -> None:
    ana = await api.device()
    there = {"X-Forwarded-For": "192.0.3.7"}
    served = await served_at_once(server, "/nowhere", "192.0.2.7")
    assert REQUESTS.burst <= served < MANY
    for path in ("/v1/server", "/v1/me", "/healthz", "/nowhere"):
        assert await served_at_once(server, path, "192.0.2.8") < REQUESTS.burst, "one limit for all paths"
        assert (await http.get(path, headers=there | ana.authorization)).status_code != 429
        assert (await http.get(path, headers=ana.authorization)).status_code != 429


async def test_sockets_behind_a_proxy_count_as_connections_of_their_own_address(
    server: DuologueServer,
) -> None:
    async def opens(address: str) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HANDSHAKE + f"X-Forwarded-For: {address}\r\n\r\n".encode())
        status = int((await reader.readline())[9:12])
        writer.close()
        assert status in {101, 429}
        return status == 101

    count = 0
    async with asyncio.timeout(30):
        while await opens("192.0.4.7"):
            count += 1
    assert count >= CONNECTIONS.burst
    assert await opens("192.0.5.7")


async def test_an_address_over_its_limit_is_answered_after_a_pause(tmp_path: Path) -> None:
    async with node_running(tmp_path) as running, api_of(running.url) as own:
        async with asyncio.timeout(30):
            status = 200
            while status != 429:
                running.node.rates.grant(REQUESTS, address_block("127.0.0.1"), REQUESTS.burst)
                begun = time.perf_counter()
                status = (await own.http.get("/v1/server")).status_code
        assert time.perf_counter() - begun >= 0.25


async def test_a_user_has_a_bounded_number_of_long_polls_and_still_short_requests(
    api: Api, http: httpx.AsyncClient
) -> None:
    ana, ben = await api.device(), await api.device()
    path = "/v1/events"
    latest = (await http.get(path, headers=ana.authorization)).json()["next"]
    query = {"after": latest, "wait": 30}
    polls = [
        asyncio.create_task(http.get(path, params=query, headers=ana.authorization))
        for _ in range(LASTING_PER_USER)
    ]

    async def refused() -> httpx.Response | None:
        answer = await http.get(path, params={"after": latest, "wait": 0.01}, headers=ana.authorization)
        return answer if answer.status_code == 429 else None

    async with asyncio.timeout(30):
        while (answer := await refused()) is None:
            await asyncio.sleep(0.05)
    assert answer.json()["code"] == "rate_limited"
    assert int(answer.headers["retry-after"]) >= 1
    assert (await http.get("/v1/me", headers=ana.authorization)).is_success
    assert (await http.get(path, headers=ben.authorization)).is_success
    chat = await ana.call("PUT", "/v1/chats", {"phone": ben.phone})
    assert chat["id"]
    assert {answer.status_code for answer in await asyncio.gather(*polls)} == {200}
    assert await refused() is None, "what has ended makes room"


async def test_a_health_check_of_this_machine_is_never_refused(server: DuologueServer) -> None:
    assert await served_at_once(server, "/healthz", "127.0.0.1") == MANY


async def test_strangers_write_a_few_lines_of_the_log_and_no_more(server: DuologueServer) -> None:
    before = len(server.log.splitlines())
    for _ in range(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"this is not HTTP\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
    assert len(server.log.splitlines()) - before < 40
