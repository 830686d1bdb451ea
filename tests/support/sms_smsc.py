"""A real SMSC for tests: the server of smpp34 (a Rust implementation that shares nothing with our client's codec).

It runs as a process of its own, to be killed and started again like a carrier's, and speaks JSON lines: orders on
its standard input, events on its standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections import deque
from pathlib import Path
from typing import Any


class Smsc:
    """The SMSC as a test sees it. `start` may be called again after `kill`: the port stays the same."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.events: deque[dict[str, Any]] = deque()
        self._changed = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.sms_smsc",
            str(self.port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        self._reading = asyncio.create_task(self._read(self._process))
        await self.until("ready")

    async def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None and self._reading is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            await self._reading
            self._process = None

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of this kind, which is taken out; fails after 10 s."""
        async with asyncio.timeout(10), self._changed:
            while True:
                for event in self.events:
                    if event["event"] == kind:
                        self.events.remove(event)
                        return event
                await self._changed.wait()

    def order(self, **fields: Any) -> None:
        """Have it do something: see `_obey`."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields).encode() + b"\n")

    async def answers(self, *answers: int | str) -> None:
        """Answer to the next submissions: "accept", a status to refuse with, or "hold" for no answer."""
        self.order(do="answers", answers=answers)
        await self.until("obeyed")

    async def caught_up(self) -> None:
        """Wait until every submission that has been answered is among the events."""
        self.order(do="answers", answers=[])
        await self.until("obeyed")

    def deliver(self, data: bytes, **fields: Any) -> None:
        """Send a deliver_sm to the latest session."""
        self.order(do="deliver", data=data.hex(), **fields)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            async with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()


async def _serve(port: int) -> None:
    import smpp34  # noqa: PLC0415 - needed only in the process that is the SMSC

    server = smpp34.Server(host="127.0.0.1", port=port, system_id="TESTSMSC")
    await server.start()
    state: dict[str, Any] = {"answers": deque(), "session": None, "held": [], "ids": 0}
    _tell(event="ready")
    orders = asyncio.create_task(_obey(smpp34, state))
    while True:
        event = await server.next()
        if isinstance(event, smpp34.Esme):
            state["session"] = event
            _tell(event="bound", system_id=event.system_id)
        elif isinstance(event, smpp34.SubmitSmEvent):
            _submitted(event, state)
        else:
            _tell(event="unbound")
        assert not orders.done()


def _submitted(event: Any, state: dict[str, Any]) -> None:
    answer = state["answers"].popleft() if state["answers"] else "accept"
    state["ids"] += 1
    # With a letter, so that it can't be read as a decimal number: tests of the two spellings make their own ids.
    message_id = f"e{os.getpid():x}{state['ids']:06x}"
    if answer == "accept":
        event.accept(message_id)
    elif answer == "hold":
        state["held"].append(event)
    else:
        event.reject(answer)
    _tell(
        event="submit",
        answer=answer,
        id=message_id,
        to=[event.dest_addr_ton, event.dest_addr_npi, event.destination_addr],
        sender=[event.source_addr_ton, event.source_addr_npi, event.source_addr],
        data=bytes(event.short_message).hex(),
        coding=event.data_coding,
        esm_class=event.esm_class,
        registered=event.registered_delivery,
    )


async def _obey(smpp34: Any, state: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        order = json.loads(line)
        if order["do"] == "answers":
            state["answers"].extend(order["answers"])
            _tell(event="obeyed")
        elif order["do"] == "unbind":
            await state["session"].unbind()
        else:
            await _deliver(smpp34, state["session"], order)
    # The test is gone. smpp34's threads may crash an interpreter that takes its time to end.
    os._exit(0)


async def _deliver(smpp34: Any, session: Any, order: dict[str, Any]) -> None:
    answer = await session.deliver_sm(
        source_addr=order.get("sender", "33612345678"),
        source_addr_ton=order.get("sender_ton", 1),
        source_addr_npi=1,
        destination_addr=order.get("to", "12345"),
        dest_addr_ton=order.get("to_ton", 3),
        esm_class=order.get("esm_class", 0),
        data_coding=order.get("coding", 0),
        short_message=bytes.fromhex(order["data"]),
        tlvs=[smpp34.Tlv(tag, bytes.fromhex(value)) for tag, value in order.get("tlvs", [])],
    )
    _tell(event="delivered", status=answer.command_status)


def _tell(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
