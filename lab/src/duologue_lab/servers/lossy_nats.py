"""A proxy in front of a NATS server that loses, repeats and delays what the server passes on.

It speaks as much of NATS's protocol as it takes to tell whole messages apart. What clients send, and everything else
that the server says, passes unchanged. Run as a script, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from duologue_lab.servers.process import Command, Process, environment

_READY: Final = re.compile(r"lossy proxy at (\d+)")
_LOST: Final = 0.05  # share of the messages, as the next two
_REPEATED: Final = 0.05  # share
_DELAYED: Final = 0.05  # share
_LONGEST_DELAY: Final = 0.3
"""Seconds."""
_MESSAGES: Final = (b"MSG ", b"HMSG ")
_CHUNK: Final = 65_536  # bytes


async def pass_messages(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    """Pass on what a server says, messages as chance has it."""
    loop = asyncio.get_running_loop()
    while line := await reader.readline():
        if not line.startswith(_MESSAGES):
            writer.write(line)
            continue
        message = line + await reader.readexactly(int(line.split()[-1]) + 2)
        fate = chance.random()
        if fate < _LOST:
            continue
        if fate < _LOST + _DELAYED:
            loop.call_later(chance.uniform(0, _LONGEST_DELAY), _write, writer, message)
            continue
        writer.write(message)
        if fate < _LOST + _DELAYED + _REPEATED:
            writer.write(message)
        await writer.drain()


def _write(writer: asyncio.StreamWriter, message: bytes) -> None:
    if not writer.is_closing():
        writer.write(message)


async def _pass_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


async def _serve(server_port: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeatable

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            to_server = await asyncio.open_connection("127.0.0.1", server_port, limit=2**22)
            ways = {
                asyncio.create_task(pass_messages(to_server[0], writer, chance)),
                asyncio.create_task(_pass_all(reader, to_server[1])),
            }
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_server[1].close()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(f"lossy proxy at {server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - how it says so
    await server.serve_forever()


@contextlib.contextmanager
def lossy_proxy(url: str, seed: int) -> Iterator[str]:
    """A running proxy in front of the server at a `nats://` URL: the URL to connect to instead."""
    port = url.rpartition(":")[2]
    argv = (sys.executable, "-m", "duologue_lab.servers.lossy_nats", port, str(seed))
    process = Process(Command(argv, _READY, "stdout", environment("DUOLOGUE_"), Path("/")))
    try:
        yield f"nats://127.0.0.1:{process.ready[1]}"
    finally:
        process.kill()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("seed", type=int)
    wanted = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(wanted.port, wanted.seed))


if __name__ == "__main__":
    main()
