"""One SMPP connection: reading, answering, correlating, keeping alive, handing deliver_sm over in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from smpplib import consts

from duologue.providers.sms.smpp_pdu import (
    HEADER,
    LONGEST_PDU,
    Malformed,
    Pdu,
    decode,
    encode,
    message_id,
    status_name,
)

_log = logging.getLogger(__name__)

_INBOUND_QUEUE = 100  # PDUs
_RESPONSE = 0x8000_0000  # the bit of a command id that marks an answer


class LinkLost(Exception):
    """The connection ended before the answer came. Unless `sent`, the request never left."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("the connection was lost")
        self.sent = sent


class BindRefused(Exception):
    """The carrier doesn't let us in; the text is its status."""


class SmppConnection:
    """A connection to an SMSC, to be `run` until it ends.

    `deliver` is awaited for each deliver_sm, one after the other; only when it returns is the SMSC told that
    the message is safe, and if it raises, that it should come again. `late` is told the id in an answer to a
    submission that nobody waits for any more.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        deliver: Callable[[Pdu, bytes], Awaitable[None]],
        late: Callable[[str], None],
        *,
        timeout: float,
        enquire_every: float,
    ) -> None:
        self._late = late
        self._reader = reader
        self._writer = writer
        self._deliver = deliver
        self._timeout = timeout
        self._enquire_every = enquire_every
        self._sequence = count(1)
        self._answers: dict[int, asyncio.Future[Pdu]] = {}
        self._inbound: asyncio.Queue[tuple[Pdu, bytes]] = asyncio.Queue(_INBOUND_QUEUE)
        self._heard = asyncio.get_running_loop().time()
        self._over = False

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        deliver: Callable[[Pdu, bytes], Awaitable[None]],
        late: Callable[[str], None],
        *,
        timeout: float,  # noqa: ASYNC109 - also that of each later request
        enquire_every: float,
        tls: ssl.SSLContext | None,
    ) -> SmppConnection:
        """An open connection, not yet bound. Raises `OSError` or `TimeoutError`."""
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
        return cls(reader, writer, deliver, late, timeout=timeout, enquire_every=enquire_every)

    async def bind(self, system_id: str, password: str, system_type: str) -> None:
        """Become a transceiver. Raises `BindRefused`, `LinkLost` or `TimeoutError`."""
        answer = await self.request(
            "bind_transceiver",
            system_id=system_id,
            password=password,
            system_type=system_type,
            interface_version=0x34,
        )
        if answer.status:
            raise BindRefused(status_name(answer.status))

    async def request(self, name: str, **values: Any) -> Pdu:
        """Send a request; its answer. Raises `LinkLost` or `TimeoutError` (it may have been carried out)."""
        if self._over or self._writer.is_closing():
            raise LinkLost(sent=False)
        sequence = next(self._sequence) & 0x7FFF_FFFF
        answer: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        self._answers[sequence] = answer
        try:
            async with asyncio.timeout(self._timeout):
                self._write(name, sequence, **values)
                await self._writer.drain()
                return await answer
        except ConnectionError:
            raise LinkLost(sent=True) from None
        finally:
            del self._answers[sequence]

    async def run(self) -> None:
        """Serve the connection until it ends, for whatever reason; requests under way are then `LinkLost`."""
        tasks = [asyncio.create_task(part()) for part in (self._read, self._keep_alive, self._hand_over)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._over = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(LinkLost(sent=True))
            self._writer.close()

    async def unbind(self) -> None:
        """Say goodbye, without insisting on an answer."""
        with contextlib.suppress(LinkLost, TimeoutError):
            async with asyncio.timeout(1):
                await self.request("unbind")

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await self._reader.readexactly(HEADER.size)
                length, code, _, _ = HEADER.unpack(head)
                if not HEADER.size <= length <= LONGEST_PDU:
                    _log.warning("the carrier sent a PDU of %d bytes", length)
                    return
                data = head + await self._reader.readexactly(length - HEADER.size)
                self._heard = asyncio.get_running_loop().time()
                if not self._accept(code, data):
                    return

    def _accept(self, code: int, data: bytes) -> bool:
        """Deal with a PDU; False if it ends the connection."""
        try:
            pdu = decode(data)
        except Malformed as problem:
            if not code & _RESPONSE:
                self._write("generic_nack", problem.sequence, status=consts.SMPP_ESME_RINVCMDID)
            return True
        if code & _RESPONSE:
            answer = self._answers.get(pdu.sequence)
            if answer is not None and not answer.done():
                answer.set_result(pdu)
            elif pdu.name == "submit_sm_resp" and not pdu.status:
                self._late(message_id(pdu))
        elif pdu.name == "deliver_sm":
            self._queue(pdu, data)
        elif pdu.name in {"enquire_link", "unbind"}:
            self._write(f"{pdu.name}_resp", pdu.sequence)
        elif pdu.name != "alert_notification":
            self._write("generic_nack", pdu.sequence, status=consts.SMPP_ESME_RINVCMDID)
        return pdu.name != "unbind"

    def _queue(self, pdu: Pdu, data: bytes) -> None:
        try:
            self._inbound.put_nowait((pdu, data))
        except asyncio.QueueFull:
            self._write("deliver_sm_resp", pdu.sequence, status=consts.SMPP_ESME_RMSGQFUL)

    async def _hand_over(self) -> None:
        while True:
            pdu, data = await self._inbound.get()
            try:
                await self._deliver(pdu, data)
                status = consts.SMPP_ESME_ROK
            except Exception as failure:  # noqa: BLE001 - not stored, so it must come again
                _log.warning("an SMS could not be stored: %s", type(failure).__name__)
                status = consts.SMPP_ESME_RX_T_APPN
            self._write("deliver_sm_resp", pdu.sequence, status=status)

    async def _keep_alive(self) -> None:
        """Ask for a sign of life after `enquire_every` seconds of silence; without one the link is over."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(LinkLost, TimeoutError):
            while True:
                silence = loop.time() - self._heard
                if silence >= self._enquire_every:
                    await self.request("enquire_link")
                else:
                    await asyncio.sleep(self._enquire_every - silence)

    def _write(self, name: str, sequence: int, **values: Any) -> None:
        self._writer.write(encode(name, sequence, **values))
