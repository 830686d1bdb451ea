"""A position is a seq and the time of its event: every way to read the log compares both, and says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest

from duologue.clock import DAY, SECOND, from_rfc3339, rfc3339
from tests.support.client import Api, Device, Frame

pytestmark = pytest.mark.anyio

Try = Callable[[Device, int, str], Awaitable[tuple[int, Frame]]]
"""Resumes from a seq and a time. Returns the HTTP status or close code, 0 if all went well, and what was said."""


async def over_hello(device: Device, seq: int, at: str) -> tuple[int, Frame]:
    async with device.knocking(**device.authorization) as socket:
        await socket.say("hello", after=seq, at=at, ref="r")
        first = await socket.next()
        assert first["ref"] == "r"
        if first["op"] == "ready":
            return 0, first
        return (await socket.closing())[0], first


async def over_ack(device: Device, seq: int, at: str) -> tuple[int, Frame]:
    async with device.online() as socket:
        await socket.say("ack", seq=seq, at=at, ref="r")
        error = await socket.hear("error", ref="r")
        # Any other error leaves the connection open.
        return (await socket.closing())[0] if error["code"] == "log_changed" else 4000, error


async def over_http(device: Device, method: str, path: str, **options: Any) -> tuple[int, Frame]:
    headers = device.authorization | options.pop("headers", {})
    async with device.api.http.stream(method, path, headers=headers, **options) as answer:
        if answer.is_success:
            return 0, {}
        await answer.aread()
        return answer.status_code, answer.json()


async def over_page(device: Device, seq: int, at: str) -> tuple[int, Frame]:
    return await over_http(device, "GET", f"/v1/events?after={seq}&at={quote(at)}")


async def over_poll(device: Device, seq: int, at: str) -> tuple[int, Frame]:
    return await over_http(device, "GET", f"/v1/events?after={seq}&at={quote(at)}&wait=0.05")


async def over_stream(device: Device, seq: int, at: str) -> tuple[int, Frame]:
    return await over_http(device, "GET", f"/v1/events/stream?after={seq}&at={quote(at)}")


async def over_event_id(device: Device, seq: int, at: str) -> tuple[int, Frame]:
    # The query is what a browser's EventSource keeps from its first connection: the header goes before it.
    query = f"after=1&at={quote(rfc3339(0))}"
    return await over_http(
        device, "GET", f"/v1/events/stream?{query}", headers={"Last-Event-ID": f"{seq}@{at}"}
    )


async def over_http_ack(device: Device, seq: int, at: str) -> tuple[int, Frame]:
    return await over_http(device, "POST", "/v1/events/ack", json={"seq": seq, "at": at})


WAYS = [
    over_hello,
    over_ack,
    over_page,
    over_poll,
    over_stream,
    over_event_id,
    over_http_ack,
]
ON_SOCKET = (over_hello, over_ack)
YEAR = 365 * DAY / SECOND
"""Seconds."""
any_way = pytest.mark.parametrize("attempt", WAYS)


def moved(at: str, seconds: float) -> str:
    return rfc3339(from_rfc3339(at) + round(seconds * SECOND))


@pytest.mark.parametrize("attempt", [way for way in WAYS if way is not over_ack])
async def test_the_position_that_was_given_out_is_good_at_every_seq(api: Api, attempt: Try) -> None:
    ana, ben, chat_id = await api.friends()
    for text in ("one", "two"):
        await ben.post(chat_id, text)
    for event in await ana.log():
        assert (await attempt(ana, event["seq"], event["at"]))[0] == 0


@pytest.mark.parametrize("back", [1, 2], ids=["newest", "older"])
async def test_an_ack_of_a_position_delivers_what_it_covers(api: Api, back: int) -> None:
    ana, ben, chat_id = await api.friends()
    for text in ("one", "two"):
        await ben.post(chat_id, text)
    event = (await ana.log())[-back]
    async with ben.online() as peer, ana.online() as socket:
        await socket.say("ack", seq=event["seq"], at=event["at"])
        receipt = await peer.hear("event", type="receipt.updated")
        assert receipt["data"]["delivered"] == event["data"]["seq"]
        assert "error" not in socket.ops()


@any_way
async def test_another_event_at_that_seq_means_that_the_log_has_changed(api: Api, attempt: Try) -> None:
    ana, ben, chat_id = await api.friends()
    for text in ("one", "two", "three"):
        await ben.post(chat_id, text)
    log = await ana.log()
    for event, seconds in product((log[-1], log[-3]), (0.001, -0.001, YEAR, -YEAR)):
        status, said = await attempt(ana, event["seq"], moved(event["at"], seconds))
        assert status == (4012 if attempt in ON_SOCKET else HTTPStatus.CONFLICT)
        assert said["code"] == "log_changed"
        assert (said["latest"], said["latest_at"]) == (log[-1]["seq"], log[-1]["at"])
    assert (await ben.chat(chat_id))["marks"]["peer_delivered"] == 0, "nothing was acknowledged"


@any_way
async def test_a_log_that_ends_before_the_position_has_changed(api: Api, attempt: Try) -> None:
    ana = await api.device()
    log = await ana.log()
    status, said = await attempt(ana, log[-1]["seq"] + 5, log[-1]["at"])
    assert status == (4012 if attempt in ON_SOCKET else HTTPStatus.CONFLICT)
    assert (said["code"], said["latest"]) == ("log_changed", log[-1]["seq"])


MALFORMED = [
    "",
    "now",
    "1764236000123",
    "2026-11-23",
    "2026-11-23T09:30:00",
    "2026-13-23T09:30:00Z",
    "2026-11-23 09:30:00Z",
    "٢٠٢٦-11-23T09:30:00Z",
    "2026-11-23T09:30:00.Z",
    "2026-11-23T09:30:00Z" + " " * 30,
]


@any_way
async def test_a_time_that_is_none_is_refused_and_named(api: Api, attempt: Try) -> None:
    ana = await api.device()
    for at in MALFORMED:
        if attempt is over_event_id and not re.fullmatch("[ -~]*[!-~]", at):
            continue  # no header can say that
        status, said = await attempt(ana, 1, at)
        assert status == (4000 if attempt in ON_SOCKET else HTTPStatus.UNPROCESSABLE_ENTITY), at
        assert said["code"] == "invalid"
        assert said["errors"].keys() & {"at", "last-event-id"}


@any_way
async def test_a_time_without_an_event_is_refused(api: Api, attempt: Try) -> None:
    ana = await api.device()
    status, said = await attempt(ana, 0, rfc3339(0))
    assert status == (4000 if attempt in ON_SOCKET else HTTPStatus.UNPROCESSABLE_ENTITY)
    assert (said["code"], list(said["errors"])) == ("invalid", ["at"])


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/stream"])
async def test_a_time_alone_is_refused(api: Api, path: str) -> None:
    ana = await api.device()
    status, said = await over_http(ana, "GET", f"{path}?at={rfc3339(0)}")
    assert (status, said["code"], list(said["errors"])) == (422, "invalid", ["at"])


async def test_a_time_alone_in_hello_is_refused(api: Api, protocol: str) -> None:
    ana = await api.device()
    async with ana.knocking(protocol, **ana.authorization) as socket:
        await socket.say("hello", at=rfc3339(0))
        assert list((await socket.error("invalid"))["errors"]) == ["at"]
        assert (await socket.closing())[0] == 4000


@pytest.mark.parametrize(
    "spell",
    [
        lambda at: at.replace("Z", "+00:00"),
        lambda at: at.replace("Z", "000Z"),
        lambda at: at.lower(),
        lambda at: re.sub(r"0*Z", "Z", at).replace(".Z", "Z"),
    ],
    ids=["offset", "microseconds", "lower case", "no final zeros"],
)
async def test_the_same_time_may_be_spelled_otherwise(api: Api, spell: Callable[[str], str]) -> None:
    """A client may keep it as a time and not as a text."""
    ana = await api.device()
    newest = (await ana.log())[-1]
    for attempt in (over_hello, over_page, over_event_id):
        assert (await attempt(ana, newest["seq"], spell(newest["at"])))[0] == 0


async def test_a_position_of_somebody_else_tells_nothing_of_theirs(api: Api) -> None:
    ana, _, chat_id = await api.friends()
    for number in range(5):
        await ana.post(chat_id, f"text {number}")
    ana_log, cyd = await ana.log(), await api.device()
    cyd_log = await cyd.log()
    for attempt in WAYS:
        _, said = await attempt(cyd, ana_log[-1]["seq"], ana_log[-1]["at"])
        assert (said["code"], said["latest"]) == ("log_changed", len(cyd_log))
        assert ana_log[-1]["at"] not in str(said)


async def test_a_client_that_knows_no_times_works_as_before(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    newest = len(await ana.log())
    await ben.post(chat_id, "text")
    async with ana.online(after=newest) as socket:
        assert [event["seq"] for event in socket.applied] == [newest + 1]
        await socket.say("ack", seq=newest + 1)
        await socket.settled()
        assert "error" not in socket.ops()
    stream = f"/v1/events/stream?after={newest}"
    for headers in ({}, {"Last-Event-ID": str(newest)}):
        assert (await over_http(ana, "GET", stream, headers=headers))[0] == 0
    page = await ana.call("GET", f"/v1/events?after={newest}")
    assert page["items"][0]["seq"] == newest + 1
    await ana.call("POST", "/v1/events/ack", {"seq": newest})


async def test_every_position_comes_with_its_time(api: Api) -> None:
    ana, ben, chat_id = await api.friends()
    for number in range(3):
        await ben.post(chat_id, f"text {number}")
    log = await ana.log()
    page = await ana.call("GET", "/v1/events?after=0&limit=2")
    assert (page["next"], page["next_at"]) == (2, log[1]["at"])
    page = await ana.call("GET", f"/v1/events?after={page['next']}&at={page['next_at']}&limit=2")
    assert (page["next"], page["next_at"]) == (4, log[3]["at"])
    async with ana.knocking(**ana.authorization) as socket:
        ready = await socket.hello(after=1)
        caught_up = await socket.hear("caught_up")
    assert (ready["latest"], ready["latest_at"]) == (log[-1]["seq"], log[-1]["at"])
    assert (caught_up["seq"], caught_up["at"]) == (log[-1]["seq"], log[-1]["at"])
