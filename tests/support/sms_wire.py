"""A carrier that speaks raw PDUs, for what no SMSC of a library would send."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Sequence

BIND, BIND_RESP, SUBMIT, SUBMIT_RESP = 0x09, 0x8000_0009, 0x04, 0x8000_0004
ENQUIRE, ENQUIRE_RESP, UNBIND, UNBIND_RESP = 0x15, 0x8000_0015, 0x06, 0x8000_0006
NACK, DELIVER, DELIVER_RESP = 0x8000_0000, 0x05, 0x8000_0005


def pdu(code: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    return struct.pack(">LLLL", 16 + len(body), code, status, sequence) + body


def deliver_body(
    data: bytes,
    *,
    sender: tuple[int, str] = (1, "33612345678"),
    to: tuple[int, str] = (3, "12345"),
    esm_class: int = 0,
    coding: int = 0,
    tlvs: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """The body of a deliver_sm (SMPP 3.4, 4.6.1). Addresses are a type of number and digits."""
    addresses = b"".join(bytes([ton, 1]) + number.encode() + b"\0" for ton, number in (sender, to))
    fields = bytes([esm_class, 0, 0, 0, 0, 0, 0, coding, 0, len(data)])
    options = b"".join(struct.pack(">HH", tag, len(value)) + value for tag, value in tlvs)
    return b"\0" + addresses + fields + data + options


def message(sequence: int, text: bytes) -> bytes:
    """A handset's text, as a deliver_sm."""
    return pdu(DELIVER, sequence, deliver_body(text))


class RawCarrier:
    """Speaks raw PDUs. What it does not answer by itself, a test reads and answers."""

    def __init__(self, *, bind_status: int = 0) -> None:
        self.bind_status = bind_status
        self.greeting = b""
        self.binds: list[bytes] = []
        self.heard: asyncio.Queue[tuple[int, int, bytes]] = asyncio.Queue()
        self.ended = 0
        self.writer: asyncio.StreamWriter | None = None

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        self.server.close()
        if self.writer is not None:
            self.writer.close()
        await self.server.wait_closed()

    async def bound(self) -> None:
        """Wait until somebody has asked to be bound, and was answered."""
        async with asyncio.timeout(10):
            while not self.binds:
                await asyncio.sleep(0.005)

    def say(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)

    async def until(self, code: int) -> tuple[int, bytes]:
        """Sequence number and body of the next PDU with this code."""
        async with asyncio.timeout(5):
            while True:
                found, sequence, body = await self.heard.get()
                if found == code:
                    return sequence, body

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length, code, _, sequence = struct.unpack(">LLLL", await reader.readexactly(16))
                body = await reader.readexactly(length - 16)
                if code == BIND:
                    self.binds.append(body)
                    answer = pdu(BIND_RESP, sequence, b"SMSC\0\x02\x10\0\x01\x34", self.bind_status)
                    writer.write(answer + self.greeting)
                else:
                    self.heard.put_nowait((code, sequence, body))
                if code == UNBIND:
                    writer.write(pdu(UNBIND_RESP, sequence))
        self.ended += 1
        writer.close()
