"""The lossy proxy spoils messages and nothing else, and never half of one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from duologue_lab.servers.lossy_nats import pass_messages

pytestmark = pytest.mark.anyio

COUNT = 2_000


class Sink:
    """As much of a `StreamWriter` as it takes to see what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def is_closing(self) -> bool:
        return False


async def test_messages_are_lost_repeated_and_delayed_whole() -> None:
    sink, reader = Sink(), asyncio.StreamReader()
    messages = [b"MSG duologue.sealed 1 %d\r\n%d\nMSG \r\n\r\n" % (len(str(n)) + 7, n) for n in range(COUNT)]
    reader.feed_data(b'INFO {"port":1}\r\n' + b"PING\r\n".join(messages) + b"+OK\r\n")
    reader.feed_eof()
    await pass_messages(reader, sink, random.Random(1))  # type: ignore[arg-type]
    await asyncio.sleep(0.35)
    counts = Counter(sink.written)
    assert counts[b"PING\r\n"] == COUNT - 1
    assert (sink.written[0][:4], counts[b"+OK\r\n"]) == (b"INFO", 1)
    fates = Counter(counts[message] for message in messages)
    assert set(fates) == {0, 1, 2}
    assert min(fates[0], fates[2]) > COUNT * 0.02
    assert fates[1] > COUNT * 0.8
    passed = [message for message in sink.written if message.startswith(b"MSG ")]
    assert passed != sorted(passed, key=messages.index), "some overtook others"
    assert set(sink.written) <= {*messages, b"PING\r\n", b"+OK\r\n", sink.written[0]}
