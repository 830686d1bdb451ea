"""A wire to PostgreSQL with faults: it is cut when a commit's answer is under way, or it goes silent."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

from duologue_lab.servers.process import temporary_folder

_SOCKET = ".s.PGSQL.5432"
_FIELDS = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
_REFUSAL = b"E" + (4 + len(_FIELDS)).to_bytes(4) + _FIELDS
"""What PgBouncer says to a client that asks for options."""


class Wire:
    """Passes on what goes between a client and the server behind `url`."""

    def __init__(self, url: str) -> None:
        folder = parse_qs(urlsplit(url).query)["host"][0]
        self._target = f"{folder}/{_SOCKET}"
        self._folder = temporary_folder()
        self._marker = b""
        self._silence = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.refuses_options = False
        """As a pooler that passes no options on to the server."""
        self.url = url.replace(folder, str(self._folder))
        self.cuts = 0

    def cut_after(self, marker: bytes) -> None:
        """Wait for a request with these bytes; let the server carry it out, keep its answer, hang up."""
        self._marker = marker

    def go_silent(self) -> None:
        """Pass nothing on any more, and hang up on nobody."""
        self._silence.set()

    def speak(self) -> None:
        """Serve new connections; old ones stay silent for ever."""
        self._silence = asyncio.Event()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._folder / _SOCKET)

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._folder)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.ensure_future(self._connect(reader, writer)))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = await reader.read(1 << 16)
        if self.refuses_options and b"\0options\0" in greeting:
            writer.write(_REFUSAL)
            writer.close()
            return
        answers, requests = await asyncio.open_unix_connection(self._target)
        doomed, silence = asyncio.Event(), self._silence
        requests.write(greeting)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_requests(reader, requests, doomed, silence))
                both.create_task(self._pass_answers(answers, writer, doomed, silence))
        finally:
            for end in (writer, requests):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pass_requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        doomed: asyncio.Event,
        silence: asyncio.Event,
    ) -> None:
        while data := await reader.read(1 << 16):
            if silence.is_set():
                continue
            if self._marker and self._marker in data:
                self._marker = b""
                doomed.set()
            writer.write(data)
        writer.close()

    async def _pass_answers(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        doomed: asyncio.Event,
        silence: asyncio.Event,
    ) -> None:
        while data := await reader.read(1 << 16):
            if silence.is_set():
                continue
            if doomed.is_set():
                self.cuts += 1
                break
            writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    wire = Wire(url)
    await wire.start()
    try:
        yield wire
    finally:
        await wire.close()
