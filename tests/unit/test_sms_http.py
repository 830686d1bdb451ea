"""After a failed HTTP request, the SMS may be out or not: that depends on how far the request came."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from duologue.providers.sms.http import client, network_errors
from duologue.providers.sms.provider import Unavailable

pytestmark = pytest.mark.anyio

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[str]:
    """The URL of a server that has `talk` with whoever connects, and then hangs up."""
    talks: set[asyncio.Task[None] | None] = set()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/?password=hunter2"
    finally:
        server.close()
        await asyncio.gather(*(each for each in talks if each is not None))
        await server.wait_closed()


async def trouble(url: str, timeout: float = 0.3) -> Unavailable:
    """Return the outcome of a request to `url`."""
    async with client(timeout) as http, asyncio.timeout(10):
        with pytest.raises(Unavailable) as failure:
            async with network_errors("carrier", timeout):
                await http.post(url, content=b"hello")
    assert "hunter2" not in str(failure.value)
    assert failure.value.__suppress_context__
    return failure.value


async def test_nobody_there_is_surely_not_sent() -> None:
    async with serving(_hang_up) as url:
        pass
    assert not (await trouble(url)).outcome_unknown


async def _hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(10)


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(100):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.1)


async def _nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SMTP ready\r\n")
    await writer.drain()


async def _silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(-1)


@pytest.mark.parametrize("talk", [_hang_up, _trickle, _nonsense, _silence])
async def test_once_the_request_is_out_anything_may_have_happened(talk: Talk) -> None:
    async with serving(talk) as url:
        assert (await trouble(url)).outcome_unknown
