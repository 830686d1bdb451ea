"""A real Kannel (Debian's package) between a provider and a carrier, set up as docs/sms.md tells operators to."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "sms.md"
BOXES = ("bearerbox", "smsbox")


def installed() -> bool:
    """Tell if this machine has Kannel: apt install kannel."""
    return all(shutil.which(box, path="/usr/sbin:/usr/bin") for box in BOXES)


def documented_groups() -> str:
    """Return the part of kannel.conf that docs/sms.md tells operators to write."""
    section = PAGE.read_text("utf-8").partition("\n## Kannel\n")[2].partition("\n## ")[0]
    block = re.search(r"```text\n(.*?)```", section, re.DOTALL)
    assert block, "docs/sms.md has no kannel.conf"
    return re.sub(r"(?m)^ +", "", block.group(1))


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        probes = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Kannel:
    """bearerbox and smsbox, bound as a transceiver to the carrier at `smsc_port`."""

    def __init__(self, folder: Path, smsc_port: int, groups: str) -> None:
        self._folder = folder
        self._admin, self._box, self.port = _free_ports(3)
        self._smsc_port = smsc_port
        self._groups = groups
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        """Start both boxes and wait until texts can be sent; fails after 20 s."""
        config = self._folder / "kannel.conf"
        config.write_text(self._config())
        async with asyncio.timeout(20):
            await self._run("bearerbox", config)
            await self._listening(self._box)
            await self._run("smsbox", config)
            await self._listening(self.port)

    async def close(self) -> None:
        """End both boxes."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _config(self) -> str:
        return f"""\
group = core
admin-port = {self._admin}
admin-password = admin
smsbox-port = {self._box}
box-allow-ip = 127.0.0.1

group = smsc
smsc = smpp
smsc-id = carrier
host = 127.0.0.1
port = {self._smsc_port}
transceiver-mode = true
smsc-username = kannel
smsc-password = secret
system-type = ""

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {self.port}

{self._groups}
"""

    async def _run(self, box: str, config: Path) -> None:
        with (self._folder / f"{box}.log").open("wb") as log:
            self._processes.append(
                await asyncio.create_subprocess_exec(
                    shutil.which(box, path="/usr/sbin:/usr/bin") or box,
                    str(config),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                )
            )

    async def _listening(self, port: int) -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            assert self._processes[-1].returncode is None, (self._folder / "bearerbox.log").read_text()
            await asyncio.sleep(0.02)
