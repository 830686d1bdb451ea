"""The protocol's page says what the source says, and its client works."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import httpx
import msgspec
import pytest

from duologue.clock import DAY
from duologue.config import Settings
from duologue.core.limits import published
from duologue.errors import CODES
from duologue.protocol import events, frames, render
from duologue_lab.servers.server import DuologueServer
from tests.docs.pages import DOCS, blocks, prose, section, table

PAGE = (DOCS / "protocol.md").read_text()
ANA, BEN = "+33612345678", "+447700900123"
MESSAGES = 20
PATIENCE = 60.0
"""Seconds that a client may take: some waits to reconnect, on a busy machine."""


def tags(union: Any) -> set[str]:
    return {frame.__struct_config__.tag for frame in get_args(union)}


def first_cells(title: str) -> list[str]:
    """The first column of the tables under a heading, without their own headings."""
    return [name for row in table(prose(section(PAGE, title))) for name in re.findall(r"^`?(\w+)`?$", row[0])]


def examples(title: str) -> list[Any]:
    """The frames shown under a heading, one a line."""
    shown = [block.text for block in blocks(section(PAGE, title)) if block.language == "json"]
    return [json.loads(line) for text in shown for line in text.splitlines()]


@pytest.mark.parametrize(
    ("title", "union"),
    [("Client frames", frames.AnyClientFrame), ("Server frames", frames.AnyServerFrame)],
    ids=["client", "server"],
)
def test_every_frame_is_told_and_shown_as_it_is(title: str, union: Any) -> None:
    assert set(first_cells(title)) - {"frame"} == tags(union)
    shown = examples(title)
    assert {frame["op"] for frame in shown} == tags(union)
    for frame in shown:
        again = json.loads(msgspec.json.encode(msgspec.json.decode(json.dumps(frame), type=union)))
        assert {name: value for name, value in again.items() if name in frame or value is not None} == frame


def test_every_close_code_is_told_with_whether_to_reconnect() -> None:
    rows = [row for row in table(section(PAGE, "Close codes")) if row[0].isdecimal()]
    assert {int(code): told for code, *told in rows} == {
        code: [close.name, close.reconnect, close.meaning] for code, close in frames.CLOSE_CODES.items()
    }


def test_every_error_code_is_explained() -> None:
    text = (DOCS / "errors.md").read_text()
    assert [code for code in CODES if not re.search(rf"^#+ .*\b{code}\b|`{code}`", text, re.MULTILINE)] == []


def test_every_event_type_is_told() -> None:
    rows = [row[0] for row in table(section(PAGE, "Events"))]
    assert {name for cell in rows for name in re.findall(r"`(\w+\.\w+)`", cell)} == set(
        render.EVENT_TYPES.values()
    )


def test_the_event_shown_is_one() -> None:
    (shown,) = [json.loads(block.text) for block in blocks(section(PAGE, "Events"))[:1]]
    assert msgspec.to_builtins(msgspec.convert(shown, events.Event)) == shown


def test_every_limit_is_told_with_its_value() -> None:
    rows = {row[0].strip("`"): row[1] for row in table(section(PAGE, "Limits")) if row[0] != "limit"}
    limits = msgspec.to_builtins(published(Settings().event_retention_days * DAY))
    assert rows == {name: str(value) for name, value in limits.items() if name != "rates"}


def test_every_rate_is_told_with_its_values() -> None:
    rows = [[row[0].strip("`"), *row[1:5]] for row in table(section(PAGE, "Rates")) if row[0] != "rate"]
    rates = published(Settings().event_retention_days * DAY).rates
    assert rows == [
        [rate.name, str(rate.quota), str(rate.window), str(rate.burst), rate.per] for rate in rates
    ]


def test_every_subprotocol_is_told() -> None:
    assert re.findall(r"^\| `(duologue[\w.]+)`", PAGE, re.MULTILINE) == [
        frames.SUBPROTOCOL_JSON,
        frames.SUBPROTOCOL_MSGPACK,
    ]


def load_client(folder: Path) -> Any:
    """The module that the page's Python is."""
    (source,) = [block.text for block in blocks(section(PAGE, "A whole client"))]
    path = folder / "whole_client.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("whole_client", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_client_shown_comes_back_where_it_may() -> None:
    final = {code for code, close in frames.CLOSE_CODES.items() if close.reconnect == "no"}
    (source,) = [block.text for block in blocks(section(PAGE, "A whole client"))]
    told = re.search(r"^DO_NOT_RECONNECT = \{(.+)\}$", source, re.MULTILINE)
    assert told
    assert {int(code) for code in told[1].split(",")} == final


async def sign_in(client: httpx.AsyncClient, phone: str) -> str:
    token: str = (await client.post("/v1/sessions", json={"phone": phone})).raise_for_status().json()["token"]
    return token


class Heard:
    """Events of a device, and a way to wait for them."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.errors: list[Any] = []
        self._news = asyncio.Event()

    def apply(self, event: Any) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, told: Callable[[list[Any]], bool]) -> None:
        """Wait until the events tell that. Raises `TimeoutError`."""
        async with asyncio.timeout(PATIENCE):
            while not told(self.events):
                self._news.clear()
                await self._news.wait()


def texts(applied: list[Any]) -> list[str]:
    return [event["data"]["text"] for event in applied if event["type"] == "message.created"]


@asynccontextmanager
async def running(module: Any, server: DuologueServer, token: str, applied: int = 0) -> AsyncIterator[Any]:
    """The page's client at work, and what it has heard."""
    heard = Heard()
    address = server.url.replace("http", "ws") + "/v1/socket"
    device = module.Device(address, token, heard.apply, None, heard.errors.append)
    device.applied = applied
    task = asyncio.create_task(device.run())
    try:
        yield device, heard
    finally:
        task.cancel()


@pytest.mark.anyio
async def test_the_client_shown_delivers_once_through_a_crash(tmp_path: Path) -> None:
    module = load_client(tmp_path)
    everything = [f"message {number}" for number in range(MESSAGES)]
    with DuologueServer(tmp_path / "data") as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            tokens = [await sign_in(http, phone) for phone in (ANA, BEN)]
        async with (
            running(module, server, tokens[0]) as (ana, told_ana),
            running(module, server, tokens[1]) as (_, told_ben),
        ):
            for number, text in enumerate(everything):
                await ana.send(BEN, text)
                if number == MESSAGES // 2:
                    await asyncio.to_thread(server.restart, kill=True)
            for told in (told_ana, told_ben):
                await told.until(lambda applied: len(texts(applied)) >= MESSAGES)
    for told in (told_ana, told_ben):
        assert [event["seq"] for event in told.events] == list(range(1, len(told.events) + 1))
        assert sorted(texts(told.events)) == sorted(everything)
        assert told.errors == []


@pytest.mark.anyio
async def test_acks_of_a_resumed_client_deliver_all_that_they_cover(tmp_path: Path) -> None:
    module = load_client(tmp_path)
    with DuologueServer(tmp_path / "data") as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            tokens = [await sign_in(http, phone) for phone in (ANA, BEN)]
            for number in range(MESSAGES):
                body = {"to": BEN, "text": "Hello", "client_id": str(number)}
                headers = {"Authorization": f"Bearer {tokens[0]}"}
                (await http.post("/v1/messages", json=body, headers=headers)).raise_for_status()
        async with (
            running(module, server, tokens[0]) as (_, told_ana),
            running(module, server, tokens[1], applied=1),
        ):
            await told_ana.until(
                lambda applied: any(
                    event["type"] == "receipt.updated" and event["data"]["delivered"] == MESSAGES
                    for event in applied
                )
            )
