"""A network between two servers that can fall silent: it swallows every byte and hangs up on nobody."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class Tunnel:
    """TCP from a port of its own to a target's."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._silence = threading.Event()
        self._pumps: set[asyncio.Task[None]] = set()
        self.port = 0

    def go_silent(self) -> None:
        """Pass nothing on, as a firewall that has forgotten its connections."""
        self._silence.set()

    def speak(self) -> None:
        """Serve new connections; old ones stay silent for ever."""
        if self._silence.is_set():
            self._silence = threading.Event()

    async def run(self, up: threading.Event, over: asyncio.Event) -> None:
        """Serve until it is over."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        up.set()
        await over.wait()
        server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        silence = self._silence
        for source, sink in ((reader, theirs[1]), (theirs[0], writer)):
            pump = asyncio.create_task(_pump(source, sink, silence))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, silence: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            if not silence.is_set():
                sink.write(data)
    sink.close()


@contextlib.contextmanager
def tunnel_to(port: int) -> Iterator[Tunnel]:
    """A tunnel that runs on a thread of its own: tests of several event loops may share it."""
    tunnel, up = Tunnel(port), threading.Event()
    loop, over = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(tunnel.run(up, over)))
    thread.start()
    up.wait()
    try:
        yield tunnel
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
