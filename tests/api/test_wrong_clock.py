"""Nodes whose wall clock is wrong for some seconds, or when they start: on both engines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from duologue.clock import DAY, MINUTE, SECOND, from_rfc3339, now_ms
from duologue_lab.servers.server import DuologueServer
from duologue_lab.servers.wrong_clock import WrongClock
from tests.support.client import Api, Device, api_of, new_phone
from tests.support.sign_in import SmsApi

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds."""


class Home:
    """A node that signs in by SMS, its clock, and people on it."""

    def __init__(self, server: DuologueServer, clock: WrongClock, api: Api) -> None:
        self.server, self.clock, self.api = server, clock, api
        self.sms = SmsApi(api.http)

    async def device(self) -> Device:
        phone = new_phone()
        new = await self.sms.sign_in(phone)
        return Device(self.api, phone, new["token"], new["user"]["id"], new["session"]["id"])

    async def says(self, detail: str) -> None:
        """Wait until `/readyz` says this; it always answers 200."""
        end = time.monotonic() + PATIENCE
        while True:
            answer = await self.api.http.get("/readyz")
            assert answer.status_code == HTTPStatus.OK, answer.text
            if detail in answer.text:
                return
            assert time.monotonic() < end, answer.text
            await asyncio.sleep(0.1)

    async def sends(self, one: Device, other: Device, text: str) -> None:
        """A message is stored, and at the right time."""
        body = {"to": other.phone, "text": text, "client_id": text}
        message = await one.call("POST", "/v1/messages", body)
        assert abs(from_rfc3339(message["sent_at"]) - now_ms()) < MINUTE


@asynccontextmanager
async def home(folder: Path, database_url: str) -> AsyncIterator[Home]:
    clock = WrongClock(folder / "clock")
    env = {"DUOLOGUE_DATABASE_URL": database_url, "DUOLOGUE_SIGN_IN": "sms"}
    with DuologueServer(folder / "data", env=env, clock=clock) as server:
        async with api_of(server.url) as api:
            yield Home(server, clock, api)


async def test_a_clock_that_is_wrong_for_seconds_or_at_the_start_leaves_no_trace(
    database_url: str, tmp_path: Path
) -> None:
    async with home(tmp_path, database_url) as here:
        ana, ben = await here.device(), await here.device()
        for number, off in enumerate((40 * DAY, -40 * DAY)):
            here.clock.set(off)
            await here.says("The clock has jumped 40 days")
            newcomer = new_phone()
            started = await here.sms.start(newcomer)
            await here.sends(ana, ben, f"meanwhile {number}")
            here.clock.set(0)
            await here.says('"ok"')
            code = await here.sms.code(newcomer)
            answer = await here.sms.redeem(started["id"], code)
            assert answer.status_code == HTTPStatus.CREATED, answer.text
            await here.sends(ana, ben, f"afterwards {number}")
        assert "jumped 40 days ahead" in here.server.log
        assert "jumped 40 days back" in here.server.log
        await _starts_ahead(here, ana, ben)


async def _starts_ahead(here: Home, ana: Device, ben: Device) -> None:
    """A start at +100 days, right some seconds later: no session has ended, and no log was trimmed."""
    log = await numbered(ben)
    here.server.stop()
    here.clock.set(100 * DAY)
    here.server.start()
    await here.says("The clock has")
    newcomer = new_phone()
    await here.sms.start(newcomer)
    assert (await numbered(ben))[: len(log)] == log
    here.clock.set(0)
    await here.says('"ok"')
    assert (await numbered(ben))[: len(log)] == log
    await here.sends(ana, ben, "after")
    answer = await here.sms.ask(newcomer)
    # With PostgreSQL's clock for a witness the code was sent at the right time, a moment ago.
    assert answer.status_code == HTTPStatus.ACCEPTED or int(answer.headers["Retry-After"]) <= MINUTE / SECOND


async def numbered(device: Device) -> list[tuple[int, str]]:
    """The user's log, without what is shown as it is when it is read."""
    return [(event["seq"], event["type"]) for event in await device.log()]
