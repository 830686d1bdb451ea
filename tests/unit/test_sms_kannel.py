"""Kannel itself, set up as docs/sms.md says: whole texts go out, and receipts and answers come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from duologue.providers.sms.provider import Callback, OutgoingSms, Provider
from duologue.providers.sms.registry import open_provider
from tests.support.kannel import Kannel, documented_groups, installed
from tests.support.sms_http import Answer, HttpProvider
from tests.support.sms_smsc import Smsc

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not installed(), reason="There is no Kannel on this machine: apt install kannel."),
]

PHONE = "+33612345678"
SERVICE = "+33757000001"


class Carrier:
    """The SMSC behind Kannel, the address that Kannel calls back, and our provider in front of it."""

    def __init__(self, smsc: Smsc, calls: HttpProvider, provider: Provider) -> None:
        self.smsc = smsc
        self.provider = provider
        self._calls = calls

    async def send(self, text: str, reference: str) -> None:
        base = f"http://{self._calls.address}/v1/sms"
        await self.provider.send(OutgoingSms(PHONE, text, reference, callback_base=base))

    async def submitted(self) -> dict[str, object]:
        return await self.smsc.until("submit")

    async def call(self, kind: str) -> Callback:
        """The next callback of this kind."""
        async with asyncio.timeout(10):
            while True:
                for heard in self._calls.heard:
                    if urlsplit(heard.path).path == f"/v1/sms/gateway/{kind}":
                        self._calls.heard.remove(heard)
                        return Callback(
                            f"http://{self._calls.address}{heard.path}", heard.headers, heard.body
                        )
                await asyncio.sleep(0.02)


@pytest.fixture
async def carrier(tmp_path: Path) -> AsyncIterator[Carrier]:
    smsc, calls = Smsc(), HttpProvider(lambda _: Answer(200))
    await smsc.start()
    groups = documented_groups().replace("https://chat.example", f"http://{calls.address}")
    kannel = Kannel(tmp_path, smsc.port, groups)
    try:
        await kannel.start()
        await smsc.until("bound")
        url = f"gateway+http://duologue:PASSWORD@127.0.0.1:{kannel.port}/?preset=kannel&from=%2B33757000001&secret=SECRET"
        provider = open_provider(url)
        yield Carrier(smsc, calls, provider)
        await provider.aclose()
    finally:
        await kannel.close()
        await smsc.kill()
        calls.close()


def joined(parts: list[dict[str, object]]) -> bytes:
    """The text of a concatenated SMS, whose parts must be numbered and belong together."""
    found = sorted(bytes.fromhex(str(part["data"])) for part in parts)
    assert {part[:5] for part in found} == {bytes([5, 0, 3, found[0][3], len(parts)])}
    assert [part[5] for part in found] == list(range(1, len(parts) + 1))
    return b"".join(part[6:] for part in found)


async def test_what_the_docs_set_up_sends_whole_texts_and_hears_of_them(carrier: Carrier) -> None:
    await carrier.send("short", "ref-0")
    assert bytes.fromhex(str((await carrier.submitted())["data"])) == b"short"

    plain = "A text of more than one part, with its last words at the end. " * 6
    await carrier.send(plain + "STOP", "ref-1")
    assert joined([await carrier.submitted() for _ in range(3)]) == (plain + "STOP").encode()

    wide = "Добрый день. " * 11
    await carrier.send(wide + "СТОП", "ref-2")
    parts = [await carrier.submitted() for _ in range(3)]
    assert joined(parts).decode("utf-16-be") == wide + "СТОП"
    [first] = [part for part in parts if part["registered"]]

    receipt = (
        f"id:{first['id']} sub:001 dlvrd:001 submit date:2611230930 done date:2611230931 stat:DELIVRD err:000"
    )
    carrier.smsc.deliver(
        receipt.encode(),
        sender=SERVICE[1:],
        esm_class=0x04,
    )
    states = set()
    while "delivered" not in states:
        states |= {each.state for each in carrier.provider.parse_status(await carrier.call("status"))}

    carrier.smsc.deliver(b"an answer", sender=PHONE[1:], to=SERVICE[1:], to_ton=1)
    [message] = carrier.provider.parse_inbound(await carrier.call("inbound"))
    assert (message.sender, message.to, message.text) == (PHONE, SERVICE, "an answer")
    assert message.provider_id
