"""People who only want to chat while somebody else attacks, and how long their messages take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tests.support.client import Api, Device, Socket, api_of

SOCKETS, HTTP_CLIENTS = 6, 2
PACE = 0.1
"""Seconds from one message of a bystander to its next."""


@dataclass
class Latencies:
    """Seconds from sending a message to its durable confirmation."""

    samples: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """In seconds; `share` is between 0 and 1."""
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def __str__(self) -> str:
        p50, p99 = (1000 * self.percentile(share) for share in (0.5, 0.99))
        return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms ({len(self.samples)} messages)"


class Bystanders:
    """Open sockets and HTTP clients of as many people, each with a chat of its own."""

    def __init__(self, over_socket: list[tuple[Socket, str]], over_http: list[tuple[Device, str]]) -> None:
        self._over_socket = over_socket
        self._over_http = over_http
        self._sent = 0

    async def chat(self, seconds: float) -> Latencies:
        """Send at a steady pace for so long. Raises what a client raises when a message is refused or lost."""
        latencies = Latencies()
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for socket, chat_id in self._over_socket:
                group.create_task(self._keep_sending(self._socket_sender(socket, chat_id), until, latencies))
            for device, chat_id in self._over_http:
                group.create_task(self._keep_sending(self._http_sender(device, chat_id), until, latencies))
        return latencies

    async def _keep_sending(
        self, send: Callable[[str], Awaitable[object]], until: float, latencies: Latencies
    ) -> None:
        while (begun := time.monotonic()) < until:
            self._sent += 1
            await send(f"bystander {self._sent}")
            took = time.monotonic() - begun
            latencies.samples.append(took)
            await asyncio.sleep(max(0.0, PACE - took))

    def _socket_sender(self, socket: Socket, chat_id: str) -> Callable[[str], Awaitable[object]]:
        return lambda text: socket.send(text, chat_id=chat_id)

    def _http_sender(self, device: Device, chat_id: str) -> Callable[[str], Awaitable[object]]:
        return lambda text: device.post(chat_id, text)


@asynccontextmanager
async def bystanders(url: str) -> AsyncIterator[Bystanders]:
    """Bystanders who are signed in and connected."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(api_of(url))
        over_socket = [await _on_socket(stack, api) for _ in range(SOCKETS)]
        over_http = [await _on_http(api) for _ in range(HTTP_CLIENTS)]
        yield Bystanders(over_socket, over_http)


async def _on_socket(stack: AsyncExitStack, api: Api) -> tuple[Socket, str]:
    one, _, chat_id = await api.friends()
    return await stack.enter_async_context(one.online()), chat_id


async def _on_http(api: Api) -> tuple[Device, str]:
    one, _, chat_id = await api.friends()
    return one, chat_id
